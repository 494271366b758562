"""`denoise verify` on results that are the same, and on ones with one thing moved."""

import argparse
import copy
import importlib.util
import json
import math
import re
import sys
from pathlib import Path

import pytest

from denoise_lib import cli
from denoise_lib.errors import UserError
from denoise_lib.report.verify import compare

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "docs" / "results.json"


@pytest.fixture(scope="module")
def published():
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))


def write(tmp_path, results):
    path = tmp_path / "other.json"
    path.write_text(json.dumps(results), encoding="utf-8")
    return path


def moved(tmp_path, published, change, tolerance=0.0):
    other = copy.deepcopy(published)
    change(other)
    return compare(PUBLISHED, write(tmp_path, other), tolerance).moved


def test_a_report_is_equal_to_itself(tmp_path, published):
    compared, lines = compare(PUBLISHED, write(tmp_path, published))
    assert lines == []
    scores = len(published["results"])
    assert compared > 8 * scores, "noisy, denoised, two ends, n, total, voices, cell and more"


def test_times_and_machines_are_left_out(tmp_path, published):
    def another_machine(results):
        past = results["provenance"]
        past["seconds"] = dict.fromkeys(past["seconds"], 1.0)
        past |= {"finished": "1999-12-31T23:59:59+00:00", "machine": {"cores": 64}}
        past["peak_memory_mib"] = {}
        for line in results["measurements"]:
            line["value"] *= 2 if line["unit"] == "s" else 1

    assert moved(tmp_path, published, another_machine) == []


@pytest.mark.parametrize("side", ["noisy", "denoised"])
def test_the_last_bit_counts(tmp_path, published, side):
    row = published["results"][3]
    above = math.nextafter(row[side], math.inf)
    (line,) = moved(
        tmp_path, published, lambda results: results["results"][3].update({side: above})
    )
    assert f"{row['experiment']}, {row['condition']}, {row['model']}" in line
    assert f": {side}: {row[side]!r} and {above!r}" in line


def test_what_moved_beyond_the_tolerance_is_named_furthest_first(tmp_path, published):
    def change(results):
        results["results"][0]["denoised"] += 1e-4
        results["results"][0]["ci95"][1] += 0.02
        results["differences"][0]["mean"] += 0.01
        line = next(line for line in results["measurements"] if line["unit"] != "s")
        line["value"] *= 1 + 1e-4

    assert len(moved(tmp_path, published, change)) == 4
    lines = moved(tmp_path, published, change, 1e-3)
    assert [line.partition(",")[0] for line in lines] == ["results", "differences"]
    assert "ci95: 1" in lines[0] and "0.02 apart" in lines[0]
    assert moved(tmp_path, published, change, 0.03) == []


def test_above_one_a_tolerance_is_in_proportion(tmp_path, published):
    at, row = next(
        (at, row)
        for at, row in enumerate(published["results"])
        if row["metric"] == "si_sdr" and (row["denoised"] or 0) > 10
    )

    def change(results):
        results["results"][at]["denoised"] = row["denoised"] * 1.002

    assert len(moved(tmp_path, published, change, 1e-3)) == 1
    assert moved(tmp_path, published, change, 3e-3) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r["results"].pop(5), "only in"),
        (lambda r: r["results"].append(dict(r["results"][5])), "(2): n: only in"),
        (lambda r: r["results"][5].update(denoised=None), "and None"),
        (lambda r: r["provenance"].update(commit="abc"), "provenance: commit"),
        (lambda r: r["provenance"]["versions"].update(torch="1.0"), "versions: torch"),
        (lambda r: r["results"][5].update(n=str(r["results"][5]["n"])), ": n:"),
        (lambda r: r["provenance"].update(dirty=1), "provenance: dirty"),
        (lambda r: r["headline"].popitem(), "headline"),
    ],
)
def test_no_tolerance_covers_what_is_not_a_number_moved(tmp_path, published, change, says):
    lines = moved(tmp_path, published, change, 1e9)
    assert any(says in line for line in lines), lines


def test_what_is_no_report_is_refused(tmp_path):
    for text in ("[]", '{"results": []}', "no"):
        path = tmp_path / "x.json"
        path.write_text(text)
        with pytest.raises(UserError):
            compare(path, PUBLISHED)


def test_the_command_ends_with_a_status(tmp_path, published, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["verify", str(PUBLISHED), str(write(tmp_path, published))])
    assert caught.value.code == 0 and "are equal to the last bit" in capsys.readouterr().out
    published = copy.deepcopy(published)
    published["results"][0]["n"] += 1
    with pytest.raises(SystemExit) as caught:
        cli.main(["verify", str(PUBLISHED), str(write(tmp_path, published)), "--tolerance", "0.01"])
    assert caught.value.code == 1
    assert "1 differ, of" in capsys.readouterr().out.splitlines()[-1]


# The tool that makes the two reports -----------------------------------------------------------


def tool(name):
    """A module of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_second_report_cannot_read_the_scores_of_the_first(tmp_path, monkeypatch):
    verify, cache = tool("verify"), tmp_path / "cache"
    for name in ("corpora", "packages", "scores"):
        (cache / name).mkdir(parents=True)
    (cache / "lock").write_text("")
    (cache / "corpora" / "clip").write_text("sound")
    monkeypatch.setattr(verify, "cache_folder", lambda: cache)
    made = verify.cache_without_scores(tmp_path / "data")
    assert sorted(each.name for each in made.iterdir()) == ["corpora", "packages"]
    assert (made / "corpora" / "clip").read_text() == "sound"


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("notebooks", [[], ["02_b", "03_c"]])
def test_each_clone_makes_its_report_with_its_own_code(tmp_path, shared, notebooks):
    verify = tool("verify")
    options = argparse.Namespace(shared=shared, notebooks=notebooks, profile="smoke")
    made = verify.commands(tmp_path, options)
    last = [command[command.index("--profile") - 1] for command in made if "--profile" in command]
    assert verify.own_code(tmp_path, options) == ({"PYTHONPATH": str(tmp_path)} if shared else {})
    if shared:
        assert all(command[:3] == [sys.executable, "-m", "denoise_lib.cli"] for command in made)
        assert last == (notebooks or ["report"])
    else:
        assert made[0][0] == "make" and "PROFILE=smoke" in made[0]
        assert made[0][-1] == (".venv/.ready" if notebooks else "report") and last == notebooks


# Mutants ---------------------------------------------------------------------------------------


def test_most_mutants_are_killed_and_what_survives_is_explained():
    text = (ROOT / "docs" / "MUTANTS.md").read_text(encoding="utf-8")
    tried, killed = map(int, re.search(r"^\| all \| \| (\d+) \| (\d+) \|", text, re.M).groups())
    assert tried >= 100 and killed >= 0.9 * tried
    assert "not explained yet" not in text


def test_the_report_on_mutants_counts_and_explains():
    mutants = tool("mutants")
    found = {"mutants": 40, "tried": 10, "seed": 0, "survivors": {"x": ["-a", "+b"], "y": ["-c"]}}
    text = mutants.report({"metrics/wsdr.py": found}, {"x": "equivalent: why"})
    assert "| metrics/wsdr.py | 40 | 10 | 8 | 80% |" in text and "| all | | 10 | 8 | 80% |" in text
    assert "**x**: equivalent: why\n\n```diff\n-a\n+b\n```" in text
    assert "**y**: not explained yet" in text
    assert mutants.changed_lines("--- a\n+++ b\n@@ -1 +1 @@\n same\n-old\n+new\n") == [
        "-old",
        "+new",
    ]
    assert all((ROOT / "denoise_lib" / module).exists() for module in mutants.MODULES)
    names = [name.partition("::")[0] for tests in mutants.MODULES.values() for name in tests]
    assert all((ROOT / name).exists() for name in names)
