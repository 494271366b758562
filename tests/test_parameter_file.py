"""Saved parameters: the notebook plays what the room plays, and where it does not, it is said."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import nbformat
import pytest
import torch
import yaml

from denoise_lib import Corruption, cli
from denoise_lib.errors import UserError
from denoise_lib.listening_room import parameter_file
from denoise_lib.listening_room.scene import Scene, Setting
from denoise_lib.report import runner
from denoise_lib.report.parameters import cell_parameters, file_values, given_values

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def scene(speech, street, tmp_path_factory):
    return Scene(speech, street, tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def setting(scene):
    return Setting(parameter_file.first_clip(scene))


def names_after(notebook, values, until, folder):
    """What a notebook of the report has in its names, run with these values up to a cell.

    Args:
        until: text of the last cell to run; figures and players are left out.
    """
    node = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4)
    given = given_values(values, cell_parameters(node, notebook), notebook)
    code = [cell.source for cell in node.cells if cell.cell_type == "code"]
    names = {}
    exec(code[0], names)
    names |= given | {"out": str(folder), "metrics": ["wsdr"]}
    for source in code[1:]:
        if source.startswith(("from", "clip =", "versions =")):
            exec(source, names)
        if until in source:
            return names
    raise AssertionError(f"{notebook} has no cell with {until!r}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"damage": "zero", "zero": 0.37},
        {"damage": "raise", "raised": 0.81, "value": 2.3, "quantile": 0.85},
        {"n_fft": 512, "hop": 96, "seed": 5, "window": "hann"},
    ],
)
def test_the_noise_notebook_plays_what_is_heard(scene, setting, changes, tmp_path, capsys):
    setting = replace(setting, **changes)
    setting = replace(setting, seed=parameter_file.own_seed(scene, setting))
    found = parameter_file.made_for(scene, setting)
    parameter_file.write(found, "mine.yaml", tmp_path)
    values = file_values(tmp_path / "report" / "mine.yaml")
    assert found.remarks == (f"It plays {setting.sound} with this very damage.",)
    names = names_after("01_noise_design", values, "versions[condition]", tmp_path / "out")
    assert names["clip"].name == setting.sound
    assert torch.equal(names["versions"]["clean"], scene.clean(setting))
    assert torch.equal(names["versions"][setting.damage], scene.noisy(setting))


def test_the_street_notebook_takes_snr_and_seed(scene, setting):
    found = parameter_file.made_for(scene, replace(setting, damage="street", snr_db=-2.5))
    assert found.notebook == "05_street_noise"
    assert found.values == {"snr_db": -2.5, "seed": 0}
    assert "minutes" in found.remarks[-1]
    found = parameter_file.made_for(scene, replace(setting, damage="street", recording="Mill1"))
    assert "not Mill1 alone" in " ".join(found.remarks)


def test_what_the_notebook_cannot_do_is_said(scene, setting):
    other = next(clip.name for clip in scene.clips("train"))
    remarks = parameter_file.made_for(scene, replace(setting, sound=other)).remarks
    assert remarks == (f"It plays {setting.sound}, which it draws by the seed, not {other}.",)
    with pytest.raises(UserError, match="nothing is damaged"):
        parameter_file.made_for(scene, replace(setting, damage="none"))
    with pytest.raises(UserError, match="longer than the frame"):
        parameter_file.made_for(scene, replace(setting, hop=1000))


def test_every_parameter_of_the_damage_is_saved(scene, setting):
    values = parameter_file.made_for(scene, replace(setting, window="hann")).values
    assert values["window"] == "hann"
    assert set(Corruption().parameters) <= set(values)


def test_seeds_are_those_that_draw_the_clip(scene, setting):
    # A clip that could be drawn, but is not by seed 0.
    clip = next(
        each.name
        for each in scene.clips("test")
        if 2.6 < each.samples / 16000 < 4.4 and each.name != setting.sound
    )
    for damage in ("both", "street"):
        found = list(islice(parameter_file.seeds(scene, clip, damage), 3))
        assert len(set(found)) == 3
        chosen = Setting(clip, damage)
        for seed in found:
            assert parameter_file.plays(scene, replace(chosen, seed=seed))
        assert parameter_file.own_seed(scene, chosen) == found[0]
        assert parameter_file.own_seed(scene, replace(chosen, seed=found[1])) == found[1]
        assert parameter_file.next_seed(scene, replace(chosen, seed=found[0])) == found[1]


def test_seeds_of_sounds_that_no_notebook_plays(scene):
    unseen = scene.clips("unseen_voice")[0].name
    for sound, damage in ((unseen, "both"), ("upload.wav", "street"), (unseen, "none")):
        setting = Setting(sound, damage, seed=4)
        assert not parameter_file.plays(scene, setting)
        assert parameter_file.next_seed(scene, setting) == 5


def test_the_shown_command_is_understood(scene, setting, tmp_path, monkeypatch, capsys):
    command = parameter_file.write(parameter_file.made_for(scene, setting), "mine.yaml", tmp_path)
    assert command == 'make notebook NB=01_noise_design P="-f report/mine.yaml"'
    text = (tmp_path / "report" / "mine.yaml").read_text(encoding="utf-8")
    assert command in text and [p.name for p in (tmp_path / "report").iterdir()] == ["mine.yaml"]
    assert yaml.safe_load(text) == parameter_file.made_for(scene, setting).values
    calls = []
    monkeypatch.setattr(runner, "notebook", lambda *args: calls.append(args))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.main(["notebook", "01_noise_design", "-f", "report/mine.yaml", "-p", "seed", "9"])
    ((name, values, profile),) = calls
    assert (name, profile) == ("01_noise_design", "quick")
    assert values == parameter_file.made_for(scene, setting).values | {"seed": "9"}


@pytest.mark.parametrize(
    "name", ["", "../room.yaml", "my room.yaml", "a;b.yaml", "room.txt", "-f.yaml"]
)
def test_names_that_a_shell_could_not_take(scene, setting, tmp_path, name):
    with pytest.raises(UserError, match="letters, digits"):
        parameter_file.write(parameter_file.made_for(scene, setting), name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("a: b: c", "not YAML"),
        ("a: 2001-52-14", "not YAML"),
        ("- 1", "name: value"),
        ("", "name: value"),
        ("1: 2", "name: value"),
    ],
)
def test_a_file_that_holds_no_parameters_is_one_line(tmp_path, text, message, capsys):
    path = tmp_path / "p.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit) as caught:
        cli.main(["notebook", "01_noise_design", "-f", str(path)])
    err = capsys.readouterr().err
    assert caught.value.code == 1
    assert err.startswith("denoise: ") and message in err and err.count("\n") == 1


def test_values_of_a_file_are_checked_like_typed_ones():
    node = nbformat.read(ROOT / "notebooks" / "01_noise_design.ipynb", as_version=4)
    known = cell_parameters(node, "01_noise_design")
    given = given_values({"hop": 160.0, "zero": 0, "speech": "default"}, known, "01")
    assert given == {"hop": 160, "zero": 0.0, "speech": "default"}
    assert [type(value) for value in given.values()] == [int, float, str]
    for wrong in ({"hop": 0.5}, {"speech": 3}, {"hop": [1]}, {"windows": "hann"}, {"out": "x"}):
        with pytest.raises(UserError):
            given_values(wrong, known, "01")
