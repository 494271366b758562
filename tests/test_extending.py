"""docs/EXTENDING.md, put into a copy of the project: each example is trained, scored and shown."""

import json
import re
import shlex
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from project_copy import ROOT, copy_project, denoise

pytestmark = pytest.mark.slow

TEXT = (ROOT / "docs" / "EXTENDING.md").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"<!-- (\w+)(?:: (\S+))?(?: after: (.*?))? -->\n(`{3,4})\w+\n(.*?)\n\4\n", re.DOTALL
)
# part of the text -> how many files it may touch
MOST_FILES = {"A model": 2, "A damage": 3, "A measure": 2, "A notebook": 3}


def blocks(part):
    """(kind, file, line to put it after, text) of each marked block of a part."""
    found = TEXT[TEXT.index(f"## {part}\n") :]
    found = found[: found.find("\n## ", 3)] if "\n## " in found[3:] else found
    return [(kind, file, after, text) for kind, file, after, _, text in BLOCK.findall(found)]


def as_notebook(text):
    """A notebook from Markdown whose blocks of Python are its cells of code."""
    cells = []
    for number, piece in enumerate(
        re.split(r"```python( parameters)?\n(.*?)\n```", text, flags=re.DOTALL)
    ):
        if number % 3 == 0 and piece.strip():
            cells.append(new_markdown_cell(piece.strip()))
        elif number % 3 == 1:
            tags = {"tags": ["parameters"]} if piece else {}
        elif number % 3 == 2:
            cells.append(new_code_cell(piece, metadata=tags))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture
def extended(request, tmp_path):
    """A copy of the project with one part of the text put in: (folder, commands)."""
    copy_project(tmp_path)
    touched, commands = set(), []
    for kind, file, after, text in blocks(request.param):
        path = tmp_path / file
        if kind == "run":
            commands += [shlex.split(line)[1:] for line in text.splitlines()]
            continue
        touched.add(file)
        if kind == "file":
            assert not path.exists()
            path.write_text(text + "\n", encoding="utf-8")
        elif kind == "notebook":
            nbformat.write(as_notebook(text), path)
        else:
            before = path.read_text(encoding="utf-8")
            assert before.count(f"{after}\n") == 1, (file, after)
            path.write_text(before.replace(f"{after}\n", f"{after}\n{text}\n"), encoding="utf-8")
    assert 0 < len(touched) <= MOST_FILES[request.param], touched
    return tmp_path, commands


def shown(folder):
    """results.json and the page that were built."""
    report = folder / "report"
    page = (report / "index.html").read_text(encoding="utf-8")
    return json.loads((report / "results.json").read_text(encoding="utf-8")), page


def rules_hold(folder):
    """What the project asks of its own files holds for the new ones, too."""
    for arguments in (["format", "--check"], ["check", "--ignore", "E501"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "denoise_lib"]
        config = ["--config", str(ROOT / "pyproject.toml")]
        done = subprocess.run([*command, *config], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("extended", ["A model"], indirect=True)
def test_a_new_model(extended):
    folder, (train, evaluate, notebook) = extended
    rules_hold(folder)
    assert "gate" in denoise(folder, "train", "--help")
    assert "gate.safetensors: step 2 of 2" in denoise(folder, *train)
    assert "gate.safetensors, both, test, 2 clips" in denoise(folder, *evaluate)
    denoise(folder, *notebook)
    results, page = shown(folder)
    (row,) = (r for r in results["results"] if (r["model"], r["metric"]) == ("gate", "wsdr"))
    assert row["experiment"] == "06_why_it_works:ablation" and "learned gate" in page


@pytest.mark.parametrize("extended", ["A damage"], indirect=True)
def test_a_new_damage(extended):
    folder, (train, evaluate, notebook) = extended
    rules_hold(folder)
    # What notebook 08 needs, and itself, without the slow measures, which are tested elsewhere.
    smoke = folder / "notebooks" / "profiles" / "smoke.toml"
    quick = smoke.read_text()
    for name in ("04_dcunet", "05_street_noise", "08_outside"):
        quick = quick.replace(f"[{name}]", f'[{name}]\nmetrics = ["wsdr", "si_sdr"]')
    smoke.write_text(quick)
    assert "clipped" in denoise(folder, "evaluate", "--help")
    assert "clipped: step 2/2" in denoise(folder, *train)
    assert "clipped.safetensors, clipped, test, 2 clips" in denoise(folder, *evaluate)
    denoise(folder, *notebook)
    results, page = shown(folder)
    rows = [r for r in results["results"] if r["condition"] == "clipped" and r["metric"] == "wsdr"]
    assert {r["experiment"] for r in rows} == {"08_outside:away"} and len(rows) == 4
    assert all(-1 < r["noisy"] < 0 for r in rows) and "<td>clipped</td>" in page


@pytest.mark.parametrize("extended", ["A measure"], indirect=True)
def test_a_new_measure(extended, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")  # in processes of their own, too
    folder, (evaluate, notebook) = extended
    assert "level" in denoise(folder, "evaluate", "--help")
    # The nominal level of speech, and of the clean clips to a tenth.
    assert re.search(
        r"clean +−26\.0 dB", denoise(folder, *evaluate).replace("\N{NO-BREAK SPACE}", " ")
    )
    denoise(folder, *notebook)
    results, page = shown(folder)
    assert "level" in {row["metric"] for row in results["results"]} and "<td>level</td>" in page


@pytest.mark.parametrize("extended", ["A notebook"], indirect=True)
def test_a_new_notebook(extended):
    folder, (notebook,) = extended
    denoise(folder, *notebook)
    results, page = shown(folder)
    rows = [row for row in results["results"] if row["experiment"] == "09_loudness"]
    assert {row["n"] for row in rows} == {2} and len(rows) == 8
    text = re.sub("<[^>]+>", "", page)  # a word of the glossary is a link
    assert 'id="09_loudness"' in page and "How far does the volume alone move wSDR?" in text
    assert all(f'href="#09_loudness-cell-{row["cell"]}"' in page for row in rows)
