"""`denoise verify` on results that are the same, and on ones with one thing moved."""

import copy
import json
import math
from pathlib import Path

import pytest

from denoise_lib import cli
from denoise_lib.errors import UserError
from denoise_lib.report.verify import compare

PUBLISHED = Path(__file__).resolve().parents[1] / "docs" / "results.json"


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
