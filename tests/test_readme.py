"""README's table: written from results, in step with the published ones; publishing."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
import torch
from safetensors.torch import load_file

from denoise_lib import cli, enhance
from denoise_lib.audio import load
from denoise_lib.commands import train as train_command
from denoise_lib.errors import UserError
from denoise_lib.models.base import find
from denoise_lib.models.checkpoints import pretrained_names, read_record
from denoise_lib.paths import PRETRAINED as CHECKPOINTS
from denoise_lib.paths import cache_folder
from denoise_lib.report import provenance
from denoise_lib.report import publish as publishing
from denoise_lib.report.parameters import names
from denoise_lib.report.publish import END, START, publish, published_networks, rewritten, table
from denoise_lib.report.runner import Study
from denoise_lib.training import loop

ROOT = Path(__file__).resolve().parents[1]
PRETRAINED = published_networks(ROOT / "notebooks")
HEADLINE = {
    "01_noise_design:volume": ["volume"],
    "02_autoencoder": ["fixed"],
    "04_dcunet": ["fixed"],
    "08_outside": ["fixed"],
    "05_street_noise:before": ["before"],
    "05_street_noise:retrained": ["retrained"],
}
PUBLISHED = (
    "clean",
    "ex_01_80",
    "ex_0_50",
    "ex_1_95",
    "out_01",
    "ex_street",
    "out_street",
    "ex_street2",
    "out_street2",
)


def row(
    condition,
    model,
    noisy,
    denoised,
    *,
    split="test",
    experiment="04_dcunet",
    ci95=None,
    metric="wsdr",
):
    return {
        "experiment": experiment,
        "condition": condition,
        "model": model,
        "split": split,
        "n": 100,
        "total": 100,
        "voices": 3,
        "metric": metric,
        "noisy": noisy,
        "denoised": denoised,
        "ci95": ci95,
    }


def results(**changes):
    rows = [
        row("identity", "dcunet", -0.1, -0.2, split="train"),
        row("both", "autoencoder", -0.80, -0.81, experiment="02_autoencoder"),
        row("both", "dcunet", 1.9, 3.1, metric="pesq"),
        row("both", "dcunet", -0.80, -0.9449, ci95=[-0.95, -0.94]),
        row("both", "dcunet", 7.5, 12.2, metric="si_sdr"),
        row("both", "repair", -0.80, -0.97, experiment="08_outside"),
        row("both", "twice the volume", -0.80, -0.82, experiment="01_noise_design:volume"),
        row("both", "half the volume", -0.80, -0.78, experiment="01_noise_design:volume"),
        row("both", "dcunet", -0.79, -0.93, split="unseen_voice"),
        row("street", "dcunet", -0.39, -0.45, experiment="05_street_noise:before"),
        row("street", "dcunet", -0.39, -0.91, experiment="05_street_noise:retrained"),
    ]
    past = {"commit": "abcdef0123", "dirty": False, "elapsed": 1200.0, "machine": {"cores": 2}}
    return {"profile": "quick", "provenance": past | changes, "headline": HEADLINE, "results": rows}


def test_table_holds_each_number_in_its_place():
    lines = (
        table(results())
        .replace("\N{MINUS SIGN}", "-")
        .replace("\N{NO-BREAK SPACE}", " ")
        .replace("\N{EN DASH}", "none")
        .splitlines()
    )
    assert (
        "| zeroing and raising | -0.800, 7.5 dB | -0.820 | -0.926 | "
        "-0.945 [-0.950, -0.940], 12.2 dB (DCUnet) | -0.970 (repair) |" in lines
    )
    street = [line for line in lines if line.startswith("| street noise")]
    assert [line.split(" | ")[1:] for line in street] == [
        ["-0.390", "none", "-0.5", "-0.450 (DCUnet)", "none |"],
        ["-0.390", "none", "-0.94", "-0.910 (DCUnet)", "none |"],
    ]
    assert street[0] != street[1]
    assert "20 minutes on 2 cores" in lines[-1] and "`abcdef0`" in lines[-1]
    assert not any("zeroing alone" in line for line in lines), "no line without results"


def test_table_says_where_clips_have_no_score():
    found = results()
    best, other = (line for line in found["results"] if line["condition"] == "street")
    best |= {"denoised": None, "n": 90}
    other |= {"n": 90}
    text = table(found).replace("\N{NO-BREAK SPACE}", " ")
    street = [line for line in text.splitlines() if line.startswith("| street noise")]
    assert "no score of 10 of 100" in street[0] and "90 of 100" in street[1]


def test_rewriting_keeps_everything_outside_the_markers():
    text = f"# Title\n\n{START}\nold\n{END}\n\nEnd.\n"
    new = rewritten(text, results())
    assert new.startswith(f"# Title\n\n{START}\n") and new.endswith(f"{END}\n\nEnd.\n")
    assert "old" not in new and rewritten(new, results()) == new


@pytest.mark.parametrize("text", ["no markers", START, f"{END} {START}"])
def test_readme_without_markers_is_refused(text):
    with pytest.raises(UserError, match="no results table"):
        rewritten(text, results())


def test_readme_is_in_step_with_the_published_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    published = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))
    assert rewritten(text, published) == text, "README's table is out of step: run `make publish`"


@pytest.fixture
def built(tmp_path):
    """A folder with a page to publish."""
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("<p>page</p>")
    (tmp_path / "report" / "results.json").write_text(json.dumps(results()))
    (tmp_path / "README.md").write_text(f"{START}\n{END}\n")
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    build = tmp_path / "report" / "build" / "quick"
    for number, name in enumerate(PUBLISHED):
        add_example(build / ("01_noise_design", "05_street_noise")[number % 2], name)
    add_runs(tmp_path)
    for source in PRETRAINED.values():
        (build / source).parent.mkdir(parents=True, exist_ok=True)
        (build / source).write_bytes(source.encode())
    return tmp_path


def add_runs(root):
    """A record for each notebook that says that it was run with what there is now."""
    study = Study("quick", root)
    made = {}
    for name in study.names:
        folder = study.build / name
        folder.mkdir(parents=True, exist_ok=True)
        made[name] = study.fingerprint(name, made, ["requirements.lock"])
        record = {"fingerprint": made[name], "reached": ["requirements.lock"]}
        (folder / "run.json").write_text(json.dumps(record))
        (folder / "results.json").write_text("{}")


def add_example(folder, name):
    """An example that a run has kept, one of whose versions is to be published."""
    path = folder / "examples" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"publish_as": name, "what": f"what {name} is", "whole": f"{name}-whole.flac"}
    versions = [{"name": "clean"}, {"name": "noisy", "scores": {"wsdr": -0.5}, **entry}]
    path.write_text(json.dumps({"clip": "en/one", "versions": versions}))
    (path.parent / entry["whole"]).write_text(f"sound of {name}")


def test_publish_copies_the_page_and_brings_readme_in_step(built):
    publish(built)
    assert (built / "docs" / "index.html").read_text() == "<p>page</p>"
    assert json.loads((built / "docs" / "results.json").read_text()) == results()
    assert table(results()) in (built / "README.md").read_text(encoding="utf-8")


def test_publish_copies_example_clips_with_credits_and_trained_networks(built):
    publish(built)
    for name in PUBLISHED:
        assert (built / "audio" / f"{name}.flac").read_text() == f"sound of {name}"
    told = (built / "audio" / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}.flac` | what {name} is | −0.500 |" in told for name in PUBLISHED)
    assert "Allison Smith, CC BY-SA 3.0" in told and "LinCity-NG" in told
    for name, source in PRETRAINED.items():
        shipped = built / "denoise_lib" / "pretrained" / f"{name}.safetensors"
        assert shipped.read_text() == source


def test_published_sounds_and_networks_are_there():
    """The repository holds what `make publish` makes, and the networks load and run."""
    for name in PUBLISHED:
        assert len(load(ROOT / "audio" / f"{name}.flac", quiet=True)) > 16000
    assert (ROOT / "audio" / "README.md").exists()
    trained = ["germain", "repair", "speech", "unet-street"]
    assert pretrained_names() == sorted([*PRETRAINED, *trained])
    for name in pretrained_names():
        assert enhance(0.05 * torch.ones(1000), name).shape == (1000,)


def test_the_notebooks_declare_what_is_published():
    assert PRETRAINED == {
        "dcunet-stft": "04_dcunet/both.safetensors",
        "dcunet-street": "05_street_noise/street.safetensors",
    }
    code = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").glob("*.ipynb")
    )
    declared = set(re.findall(r'\(\\"(\w+)\\", \\"', code)) | set(
        re.findall(r'\\"(ex_\w+|out_\w+)\\",', code)
    )
    assert set(PUBLISHED) <= declared
    # Reading what a report publishes would make the next one another.
    assert not re.findall(r'load_pretrained\(\\"(?:dcunet-stft|dcunet-street)', code)


def test_readme_is_short_before_its_details():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before = re.sub(
        r"<[^>]*>", "", text.partition("\n# Details\n")[0].partition("\n## Details\n")[0]
    )
    assert len(before.split()) < 900


def test_what_readme_shows_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(
        r'(?:src|srcset|href)="([^":]+)"', text
    )
    missing = [path for path in linked if not (ROOT / path).exists()]
    assert linked and not missing


def test_readme_names_every_notebook():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("| `notebooks/` |")]
    for name in names(ROOT / "notebooks"):
        assert f" {name[:2]} " in line, name


def test_where_each_shipped_network_comes_from_is_said():
    told = (CHECKPOINTS / "README.md").read_text(encoding="utf-8")
    lines = {line.split("`")[1]: line for line in told.splitlines() if line.startswith("| `")}
    assert set(pretrained_names()) <= set(lines)
    for name in PRETRAINED:
        notebook, checkpoint = PRETRAINED[name].split("/")
        assert notebook in lines[name] and checkpoint in lines[name]


def test_the_commands_in_the_note_are_those_that_made_the_networks(monkeypatch):
    told = (CHECKPOINTS / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    (denoise train denoise_lib/.*)$", told, re.MULTILINE)
    assert len(lines) == len(set(pretrained_names()) - set(PRETRAINED))
    taken = []

    def training(*given, **options):
        taken.append((given, options))
        raise UserError("enough is known")

    monkeypatch.setattr(loop, "train", training)
    fetched = cache_folder() / "corpora"
    wide = all(any(fetched.glob(f"wide_{each}*")) for each in ("speech", "noise"))
    for line in lines if wide else [each for each in lines if "--speech wide" not in each]:
        # What a network started from need not be shipped; one of its shape has its plan.
        made = read_record(ROOT / shlex.split(line)[2])
        monkeypatch.setattr(
            train_command, "_started", lambda *_, made=made: find(made["model"])(**made["config"])
        )
        with pytest.raises(SystemExit):
            cli.main(shlex.split(line)[1:])
        (network, crops, damage, valid, schedule, out), options = taken.pop()
        assert CHECKPOINTS / out.name == ROOT / out
        kept = read_record(ROOT / out)["plan"]
        how = [options[each] for each in ("loss", "margin", "precision", "fixed_norms")]
        plan = loop._plan(network, crops, damage, valid, schedule, *how)
        for key in (
            "model",
            "vary",
            "loss",
            "margin",
            "schedule",
            "precision",
            "batch",
            "samples",
            "seed",
            "corpus",
            "clips",
        ):
            assert plan[key] == kept[key], (line, key)
        assert plan["fixed_norms"] == kept.get("fixed_norms", False)
        damages = [each["damage"][1].get("damages", [each["damage"]]) for each in (plan, kept)]
        assert len(damages[0]) == len(damages[1])
        parameters = {name: each.dtype for name, each in load_file(ROOT / out).items()}
        halved = torch.float16 in parameters.values()
        assert halved == ("--half" in line) == options["half"]


def edit_code(path):
    """Add a line to the last cell of code of a notebook."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].source += "\nprint('more')"
    nbformat.write(notebook, path)


def test_publish_refuses_what_differs_from_the_commit(built, monkeypatch):
    """What is published belongs to the commit that it names; what was published does not count."""
    shipped = "denoise_lib/pretrained/dcunet-stft.safetensors"
    monkeypatch.setattr(publishing, "uncommitted", lambda root: [shipped, "notebooks/x.py"])
    with pytest.raises(UserError, match="^notebooks/x.py differs from the commit"):
        publish(built)
    monkeypatch.setattr(publishing, "uncommitted", lambda root: [shipped])
    publish(built)


def test_what_differs_from_the_commit(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    assert provenance.uncommitted(tmp_path) == []
    (tmp_path / "denoise_lib").mkdir()
    for name in ("denoise_lib/one.py", "denoise_lib/two.py", "README.md"):
        (tmp_path / name).write_text("")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    assert provenance.uncommitted(tmp_path) == [] and not provenance.commit(tmp_path)[1]
    for name in ("denoise_lib/one.py", "denoise_lib/new.py", "README.md"):
        (tmp_path / name).write_text("x = 1")
    assert provenance.uncommitted(tmp_path) == ["denoise_lib/one.py", "denoise_lib/new.py"]
    assert provenance.commit(tmp_path)[1]


def replace_results(built, **changes):
    value = results()
    value["profile"] = changes.pop("profile", "quick")
    value["provenance"] |= changes
    (built / "report" / "results.json").write_text(json.dumps(value))


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda built: shutil.rmtree(built / "report"), "does not exist"),
        (lambda built: (built / "report" / "index.html").unlink(), "does not exist"),
        (lambda built: replace_results(built, profile="smoke"), "profile 'smoke'"),
        (lambda built: replace_results(built, dirty=True), "uncommitted changes"),
        (lambda built: replace_results(built, commit=None), "different commits"),
        (lambda built: (built / "report" / "index.html").write_bytes(bytes(20_000_001)), "20.0 MB"),
        (lambda built: (built / "README.md").write_text("prose"), "no results table"),
        (
            lambda built: shutil.rmtree(built / "report" / "build" / "quick" / "04_dcunet"),
            "04_dcunet",
        ),
        (  # the code is not what made the numbers
            lambda built: edit_code(built / "notebooks" / "03_wavenet.ipynb"),
            "03_wavenet was run with other code, parameters or packages",
        ),
        (  # a run that leaves example clips alone
            lambda built: shutil.rmtree(built / "report" / "build" / "quick" / "01_noise_design"),
            "01_noise_design has not been run",
        ),
    ],
)
def test_publish_refuses_and_copies_nothing(built, spoil, message):
    spoil(built)
    with pytest.raises(UserError, match=message):
        publish(built)
    assert not (built / "docs").exists()
