"""The whole report at its smallest, through the command line, and its page in a browser."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from page_checks import check_page, chromium, opened

from denoise_lib.damage import conditions
from denoise_lib.metrics.measures import ALL_METRICS
from denoise_lib.models.baselines import BASELINES

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = [
    "01_noise_design", "02_autoencoder", "03_wavenet", "04_dcunet", "05_street_noise",
    "06_why_it_works", "07_ideas", "08_shipped",
]  # fmt: skip
PARTS = ["denoise_lib", "notebooks", "pics", "report/template", "requirements.lock"]
BUILT = ("report/build", "report/index.html", "report/results.json")
ROW = {"experiment", "condition", "model", "split", "n", "total", "metric", "noisy", "denoised"}


def denoise(clone, *arguments, fails=False):
    """Run the command in a clone; returns what it printed (on stderr, where it fails)."""
    environment = os.environ | {"PYTHONPATH": str(clone)}
    done = subprocess.run(
        [sys.executable, "-m", "denoise_lib.cli", *arguments],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert (done.returncode == 1) == fails and done.returncode in (0, 1), done.stderr
    return done.stderr if fails else done.stdout


def sources(clone):
    """Digest of every file that the report does not build."""
    files = (
        path for path in clone.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    names = {path.relative_to(clone).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if not name.startswith(BUILT)
    }


def records(clone):
    folder = clone / "report" / "build" / "smoke"
    return {name: json.loads((folder / name / "run.json").read_text()) for name in NOTEBOOKS}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A copy of the project where `report --profile smoke` has run: (folder, what was printed)."""
    clone = tmp_path_factory.mktemp("clone")
    for part in PARTS:
        source, target = ROOT / part, clone / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copyfile(source, target)
    before = sources(clone)
    printed = denoise(clone, "report", "--profile", "smoke")
    assert sources(clone) == before, "the report leaves everything but the built files as it was"
    return clone, printed


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


def results(clone):
    return json.loads((clone / "report" / "results.json").read_text(encoding="utf-8"))


def test_every_notebook_runs_and_shows_its_progress(built):
    clone, printed = built
    for number, name in enumerate(NOTEBOOKS, start=1):
        assert f"[{number}/{len(NOTEBOOKS)}] {name}  done after" in printed
    assert "[4/8] 04_dcunet  both: step 4/4" in printed
    assert not list((clone / "report").rglob("*.failed.ipynb"))
    assert not list((clone / "report").rglob("*.partial"))


def test_results_hold_every_condition_model_and_split(built):
    rows = results(built[0])["results"]
    assert all(ROW <= set(row) for row in rows)
    found = {(row["condition"], row["model"], row["split"], row["metric"]) for row in rows}
    for split in ("test", "unseen_voice"):
        for model in ("autoencoder", "wavenet", "dcunet"):
            for condition in ("zero", "raise", "both"):
                assert (condition, model, split, "wsdr") in found
                assert (condition, model, split, "pesq") in found
        assert ("street", "dcunet", split, "wsdr") in found
        networks = ("germain", "dcunet-stft", "unet", "tuned unet")
        for model in ("identity", "clean", "gain", *BASELINES, *networks):
            for metric in ("wsdr", "snr", "si_sdr", "lsd", "pesq", "stoi"):
                assert ("both", model, split, metric) in found
                assert ("street", model, split, metric) in found
    away = {row["condition"] for row in rows if row["experiment"] == "08_shipped:away"}
    assert away == set(conditions.OUT_OF_DOMAIN)
    for model in ("identity", "clean", "unet", "tuned unet"):
        for condition in ("both", "street"):
            assert (condition, model, "test", "dnsmos") in found
    assert ("in a room", "unet-varied", "test", "wsdr") in found
    experiments = {row["experiment"] for row in rows}
    assert {f"06_why_it_works:overlap {each}" for each in (2, 4)} <= experiments
    assert {"06_why_it_works:neighbours", "06_why_it_works:random, tanh"} <= experiments
    assert ("time 1", "clean", "it", "correlation") in found
    ideas = {"seed 0", "seed 1", "seeds", "level", "resynthesis", "wavenet", "mask", "hole"}
    assert {f"07_ideas:{each}" for each in ideas} <= experiments
    assert ("resynthesis", "CQT magnitudes", "test", "seconds") in found
    assert {"05_street_noise:before", "05_street_noise:retrained"} <= experiments
    compared = {(each["a"], each["b"], each["condition"]) for each in results(built[0])["differences"]}
    tuned = {("tuned unet", other, "both") for other in ("dcunet", "unet", "unet-both", "germain")}
    assert tuned | {("tuned unet", "rnnoise", "street")} <= compared
    for kind in ("zeroed", "raised"):
        for estimate in ("clean", "unet", "tuned unet"):
            assert ("both", estimate, "test", f"average precision, {kind}") in found
    assert ("both", "tuned unet, explained", "test", "si_sdr") in found
    for each in ("standing out", "0.2 of positions wrong"):
        assert f"06_why_it_works:{each}" in experiments


def test_noisy_scores_are_the_same_whatever_the_network(built):
    noisy = {}
    for row in results(built[0])["results"]:
        # Inversion and positions are scored on the beginnings of clips; a clean clip's ratios are
        # infinite, so n is 0.
        beginnings = row["model"] == "inversion" or row["experiment"] == "08_shipped:positions"
        compared = row["n"] and row["metric"] in ALL_METRICS and not beginnings
        if row["condition"] in ("zero", "raise", "both") and compared:
            key = row["condition"], row["split"], row["metric"]
            noisy.setdefault(key, []).append((row["n"], row["noisy"]))
    assert all(len(values) >= 3 for values in noisy.values())
    assert all(len(set(values)) == 1 for values in noisy.values()), noisy


def test_provenance_is_whole_and_tells_no_folder_of_the_machine(built):
    clone, _ = built
    past = results(clone)["provenance"]
    assert list(past["seconds"]) == NOTEBOOKS and set(past["corpora"]) == {"speech", "noise"}
    assert past["seed"] == 0 and past["versions"]["torch"] and past["machine"]["cores"]
    assert all(0 < peak < 4096 for peak in past["peak_memory_mib"].values()), "of 4 GiB"
    for name in ("index.html", "results.json"):
        assert str(clone) not in (clone / "report" / name).read_text(encoding="utf-8")


def test_page_in_a_browser(built, browser):
    path = built[0] / "report" / "index.html"
    assert check_page(browser, path) > 10
    with opened(browser, path) as page:
        text = page.inner_text("body")
        assert "smoke" in text and "mean nothing" in text
        for name in NOTEBOOKS:
            assert page.locator(f'[id="{name}"]').count() == 1
        names = page.locator(".glance thead .whole")
        assert set(names.all_inner_texts()) == {"U-Net"}
        rows = names.evaluate_all("all => all.map(each => each.getClientRects().length)")
        assert set(rows) == {1}, "a name of a network goes over two lines"


# From here on the tests build on each other's state, in this order.


def test_second_report_runs_no_notebook(built):
    clone, _ = built
    before = records(clone)
    page = (clone / "report" / "index.html").read_bytes()
    printed = denoise(clone, "report", "--profile", "smoke")
    assert "8 of 8 notebooks were up to date already" in printed and "[1/8]" not in printed
    assert records(clone) == before
    assert (clone / "report" / "index.html").read_bytes() == page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "--profile", "fast"], "no profile 'fast'; choose one of full, quick, smoke"),
        (["notebook", "09_x", "--profile", "smoke"], "no notebook '09_x'; there are 01_noise"),
        (["notebook", "03_wavenet", "-p", "step", "2"], "03_wavenet: unknown parameter 'step'"),
        (["notebook", "03_wavenet", "-p", "steps", "few"], "steps = 'few' does not fit"),
    ],
)  # fmt: skip
def test_wrong_request_gets_one_line_and_changes_nothing(built, arguments, message):
    clone, _ = built
    before = records(clone)
    said = denoise(clone, *arguments, fails=True)
    assert said.startswith("denoise: ") and message in said and said.count("\n") == 1
    assert records(clone) == before


def test_one_notebook_again_with_another_value(built, browser):
    clone, _ = built
    before = records(clone)
    printed = denoise(clone, "notebook", "03_wavenet", "-p", "steps", "2", "--profile", "smoke")
    after = records(clone)
    assert [name for name in NOTEBOOKS if after[name] != before[name]] == ["03_wavenet"]
    assert after["03_wavenet"]["parameters"]["steps"] == 2 and "step 2/2" in printed
    assert results(clone)["provenance"]["parameters"]["03_wavenet"]["steps"] == 2
    with opened(browser, clone / "report" / "index.html") as page:
        assert "steps = 2, where the profile has 4" in page.inner_text("body")
