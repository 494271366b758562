"""README's table: written from results, in step with the published ones; publishing."""

import json
import shutil
from pathlib import Path

import pytest

from denoise_lib.errors import UserError
from denoise_lib.publish import publish
from denoise_lib.readme import END, START, rewritten, table

ROOT = Path(__file__).resolve().parents[1]


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
        row("both", "dcunet", -0.79, -0.93, split="unseen_voice"),
        row("street", "dcunet", -0.39, -0.45, experiment="05_street_noise:before"),
        row("street", "dcunet", -0.39, -0.91, experiment="05_street_noise:retrained"),
    ]
    past = {
        "commit": "abcdef0123",
        "dirty": False,
        "seconds": {"04_dcunet": 1200.0},
        "machine": {"cores": 2},
    }
    return {"profile": "quick", "provenance": past | changes, "results": rows}


def test_table_holds_each_number_in_its_place():
    lines = (
        table(results()).replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "none").splitlines()
    )
    assert (
        "| zeroing and raising | -0.800 | -0.926 | -0.810 | none | -0.945 [-0.950, -0.940] | -1 |"
        in lines
    )
    assert "| zeroing and raising | -0.790 | none | none | -0.930 | -1 |" in lines
    street = [line for line in lines if line.startswith("| street noise")]
    assert [line.split(" | ")[1:] for line in street] == [
        ["-0.390", "-0.500", "none", "none", "-0.450", "none |"],
        ["-0.390", "-0.940", "none", "none", "-0.910", "none |"],
    ]
    assert street[0] != street[1]
    assert "20 minutes on 2 cores" in lines[-1] and "`abcdef0`" in lines[-1]
    assert not any("zeroing alone" in line for line in lines), "no line without results"


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
    return tmp_path


def test_publish_copies_the_page_and_brings_readme_in_step(built):
    publish(built)
    assert (built / "docs" / "index.html").read_text() == "<p>page</p>"
    assert json.loads((built / "docs" / "results.json").read_text()) == results()
    assert table(results()) in (built / "README.md").read_text(encoding="utf-8")


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
        (lambda built: (built / "report" / "index.html").write_bytes(bytes(8_000_001)), "8.0 MB"),
        (lambda built: (built / "README.md").write_text("prose"), "no results table"),
    ],
)
def test_publish_refuses_and_copies_nothing(built, spoil, message):
    spoil(built)
    with pytest.raises(UserError, match=message):
        publish(built)
    assert not (built / "docs").exists()
