"""What every notebook and profile keeps to; they run in test_smoke.py."""

import ast
import re
import tomllib
from pathlib import Path

import nbformat
import pytest

from denoise_lib.report.parameters import GIVEN, cell_parameters, names, profile_values

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NUMBERED = names(FOLDER)
ALL = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
PROFILES = ["full", "quick", "smoke"]


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def known():
    return {name: cell_parameters(read(name), name) for name in NUMBERED}


def test_the_five_notebooks_are_there():
    study = ["01_noise_design", "02_autoencoder", "03_wavenet", "04_dcunet", "05_street_noise"]
    assert NUMBERED[:5] == study


@pytest.mark.parametrize("name", ALL)
def test_notebook_is_valid_and_stripped(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in code_of(notebook):
        assert cell.outputs == [] and cell.execution_count is None
    assert not any("papermill" in cell.metadata for cell in notebook.cells)


@pytest.mark.parametrize("name", ALL)
def test_sounds_come_from_the_player_alone(name):
    # IPython's Audio brings every sound to the same peak, which hides the levels compared here.
    assert not re.search(r"\bAudio\(", "\n".join(cell.source for cell in code_of(read(name))))


@pytest.mark.parametrize("name", NUMBERED)
def test_every_parameter_says_what_it_is(name, known):
    missing = [parameter.name for parameter in known[name].values() if not parameter.help]
    assert missing == []
    assert {*GIVEN, "seed"} <= set(known[name])
    (cell,) = [cell for cell in read(name).cells if "parameters" in cell.metadata.get("tags", [])]
    assert cell is code_of(read(name))[0] or cell.source == code_of(read(name))[0].source


@pytest.mark.parametrize("name", NUMBERED)
def test_corpora_are_parameters(name, known):
    # The runner knows from these parameters which corpora a run depends on.
    code = "\n".join(cell.source for cell in code_of(read(name)))
    assert ("study.open(" in code and "speech=speech" in code) == ("speech" in known[name])
    assert ("Noise(noise" in code) == ("noise" in known[name])
    opened = set(re.findall(r"open_(?:speech|noise)\((.*?)\)", code))
    assert opened == ({'"wide"', "pairs"} if "pairs" in known[name] else set())


@pytest.mark.parametrize("name", NUMBERED)
def test_notebook_starts_with_its_question_and_ends_complete(name):
    notebook = read(name)
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    assert code_of(notebook)[-1].source.rstrip().endswith(".finish()")
    assert f'"{name}"' in "".join(cell.source for cell in code_of(notebook))


@pytest.mark.parametrize("name", NUMBERED)
def test_notebook_is_thin(name):
    # Algorithms belong to the library, where they have tests; a factory of one line may stand here.
    for cell in code_of(read(name)):
        lines = [line for line in cell.source.splitlines() if not line.startswith("%")]
        assert len(lines) <= 45
        for node in ast.walk(ast.parse("\n".join(lines))):
            assert not isinstance(node, (ast.ClassDef, ast.While))
            if isinstance(node, ast.FunctionDef):
                assert [type(line) for line in node.body] == [ast.Return], node.name


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_sets_known_parameters_and_says_what_to_expect(profile, known):
    values = profile_values(FOLDER, profile, known)
    assert set(values) == set(NUMBERED)
    assert not any(key in GIVEN for table in values.values() for key in table)
    text = (FOLDER / "profiles" / f"{profile}.toml").read_text(encoding="utf-8")
    head = text[: text.index("\n[")]
    for line in ("# Command:", "# Machine:", "# Expected:", "# Wall time:"):
        assert line in head


def test_there_are_no_other_profiles():
    found = sorted(path.stem for path in (FOLDER / "profiles").glob("*"))
    assert found == PROFILES
    for profile in PROFILES:
        tomllib.loads((FOLDER / "profiles" / f"{profile}.toml").read_text(encoding="utf-8"))
