"""The whole report at its smallest, through the command line, and its page in a browser."""

import functools
import hashlib
import json
import math
import re

import pytest
from page_checks import check_page, chromium, opened
from project_copy import copy_project, denoise

from denoise_lib.damage import conditions
from denoise_lib.metrics.measures import ALL_METRICS
from denoise_lib.models.baselines import BASELINES
from denoise_lib.report.runner import Study

pytestmark = pytest.mark.slow

NOTEBOOKS = [
    "01_noise_design",
    "02_autoencoder",
    "03_wavenet",
    "04_dcunet",
    "05_street_noise",
    "06_why_it_works",
    "07_ideas",
    "08_outside",
]
BUILT = ("report/build", "report/index.html", "report/results.json")
ROW = {"experiment", "condition", "model", "split", "n", "total", "metric", "noisy", "denoised"}


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
    clone = copy_project(tmp_path_factory.mktemp("clone"))
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
    assert all(set(row) >= ROW for row in rows)
    found = {(row["condition"], row["model"], row["split"], row["metric"]) for row in rows}
    for split in ("test", "unseen_voice"):
        for model in ("autoencoder", "wavenet", "dcunet"):
            for condition in ("zero", "raise", "both"):
                assert (condition, model, split, "wsdr") in found
                assert (condition, model, split, "pesq") in found
        assert ("street", "dcunet", split, "wsdr") in found
        networks = ("germain", "dcunet-stft", "dcunet-street", "unet-street", "repair", "speech")
        for model in ("identity", "clean", "gain", *BASELINES, *networks):
            for metric in ("wsdr", "si_sdr", "pesq", "stoi"):
                assert ("both", model, split, metric) in found
                assert ("street", model, split, metric) in found
    away = {row["condition"] for row in rows if row["experiment"] == "08_outside:away"}
    assert away == set(conditions.OUT_OF_DOMAIN)
    for model in ("identity", "clean", "rnnoise", "webrtc", "repair", "speech"):
        for condition in ("both", "street"):
            assert (condition, model, "test", "dnsmos") in found
    assert ("in a room", "repair", "test", "si_sdr") in found
    experiments = {row["experiment"] for row in rows}
    assert {f"06_why_it_works:overlap {each}" for each in (2, 4)} <= experiments
    assert {"06_why_it_works:neighbours", "06_why_it_works:random, tanh"} <= experiments
    measured = {(each["name"], each["of"]) for each in results(built[0])["measurements"]}
    assert ("correlation of levels 1 apart along time", "it") in measured
    assert ("coefficients that stand out", "noisy, street") in measured
    ideas = {"seed 0", "seed 1", "level", "resynthesis", "wavenet"}
    assert {f"07_ideas:{each}" for each in ideas} <= experiments
    assert ("computing per second of audio", "CQT magnitudes") in measured
    assert ("mask at the coefficient", "repair, zeroed") in measured
    assert {"05_street_noise:before", "05_street_noise:retrained"} <= experiments
    compared = {
        (each["a"], each["b"], each["condition"]) for each in results(built[0])["differences"]
    }
    ours = {("repair", other, "both") for other in ("dcunet", "dcunet-stft", "germain")}
    assert ours | {("speech", "rnnoise", "street"), ("speech", "dcunet", "street")} <= compared
    assert ("SI-SDR of clean speech", "speech") in measured
    for kind in ("zeroed", "raised"):
        for estimate in ("clean", "repair"):
            assert (f"average precision, {kind} positions", f"{estimate}, both") in measured
    assert ("both", "repair, explained", "test", "si_sdr") in found
    assert "06_why_it_works:0.2 of positions wrong" in experiments


def test_results_are_scores_and_measurements_have_units(built):
    found = results(built[0])
    assert {row["metric"] for row in found["results"]} <= set(ALL_METRICS)
    assert {row["split"] for row in found["results"]} <= {"train", "valid", "test", "unseen_voice"}
    units = {line["name"].split(",")[0]: line["unit"] for line in found["measurements"]}
    assert units["training time"] == units["computing per second of audio"] == "s"
    assert units["coefficients that stand out"] == "%" and units["mask at the coefficient"] == "dB"
    assert all(math.isfinite(line["value"]) and line["n"] for line in found["measurements"])


def test_every_line_leads_to_the_output_of_the_cell_that_made_it(built):
    clone, _ = built
    text = (clone / "report" / "index.html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'\bid="([^"]+)"', text))
    for line in (found := results(clone))["results"] + found["measurements"]:
        notebook = line["experiment"].partition(":")[0]
        assert f"{notebook}-cell-{line['cell']}" in anchors, line
        path = clone / "report/build/smoke" / notebook / "executed.ipynb"
        code = code_of(path)[line["cell"]]
        assert re.search(MAKES, code), line


# Calls that add lines to a run.
MAKES = (
    r"\.(score|reference|denoise|identity|copies|harm|measure)\(|score_\w+\(|ablation\(|_seeds\("
)


@functools.cache
def code_of(path):
    """Source of each executed cell by its number."""
    cells = json.loads(path.read_text())["cells"]
    return {
        cell["execution_count"]: "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code"
    }


def test_noisy_scores_are_the_same_whatever_the_network(built):
    noisy = {}
    for row in results(built[0])["results"]:
        # These are scored on beginnings of their own length; a clean clip's ratios are infinite, so
        # n is 0.
        own = ("06_why_it_works:ablation", "08_outside:positions")
        beginnings = row["model"] == "inversion" or row["experiment"] in own
        compared = row["n"] and row["metric"] in ALL_METRICS and not beginnings
        if row["condition"] in ("zero", "raise", "both") and compared:
            key = row["condition"], row["split"], row["metric"]
            noisy.setdefault(key, []).append((row["n"], row["noisy"]))
    assert all(len(values) >= 3 for values in noisy.values())
    assert not {key: values for key, values in noisy.items() if len(set(values)) > 1}


def test_provenance_is_whole_and_tells_no_folder_of_the_machine(built):
    clone, _ = built
    past = results(clone)["provenance"]
    assert list(past["seconds"]) == NOTEBOOKS and set(past["corpora"]) == {
        "speech",
        "noise",
        "read",
    }
    assert past["seed"] == 0 and past["versions"]["torch"] and past["machine"]["cores"]
    # Of 4 GiB on 2 cores; each further core has a process that scores.
    most = 4096 + 400 * max(0, past["machine"]["cores"] - 2)
    assert all(0 < peak < most for peak in past["peak_memory_mib"].values())
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


# What is touched -> the notebooks that run again. Those behind another (05 reads 04, 07 reads 04,
# 08 reads both) run again with it.
ALL = NOTEBOOKS
TOUCHED = {
    "denoise_lib/report/page.py": [],
    "denoise_lib/listening_room/room.py": [],
    "denoise_lib/cli.py": [],
    "denoise_lib/commands/train.py": [],
    "denoise_lib/damage/corruption.py": ALL,
    "denoise_lib/study/run.py": ALL,
    "denoise_lib/models/autoencoder.py": ["02_autoencoder", "06_why_it_works"],
    "denoise_lib/models/wavenet.py": ["03_wavenet", "07_ideas"],
    "denoise_lib/models/dcunet.py": [*ALL[3:]],
    "denoise_lib/models/germain.py": ["06_why_it_works", "08_outside"],
    "denoise_lib/models/informed.py": ["07_ideas"],
    "denoise_lib/models/baselines/rnnoise.py": ["08_outside"],
    "denoise_lib/study/constant_q.py": ["07_ideas"],
    "denoise_lib/study/filter_bank.py": ["06_why_it_works"],
    "denoise_lib/pretrained/repair.safetensors": ["07_ideas", "08_outside"],
    "denoise_lib/pretrained/unet-street.safetensors": ["05_street_noise", "08_outside"],
    "denoise_lib/pretrained/dcunet-stft.safetensors": [],
    "requirements.lock": ALL,
}


@pytest.mark.parametrize("file", TOUCHED)
def test_a_notebook_runs_again_exactly_when_what_it_reaches_has_changed(built, file):
    clone, _ = built
    path = clone / file
    before = path.read_bytes()
    try:
        if path.suffix == ".py":
            described = before.replace(b'"""', b'"""Better prose. ', 1)
            path.write_bytes(described + b"\n# a comment\n")
            assert Study("smoke", clone).stale() == [], "a docstring and a comment"
        path.write_bytes(before + b"\nTOUCHED = 1\n")
        assert Study("smoke", clone).stale() == TOUCHED[file]
    finally:
        path.write_bytes(before)


def test_another_code_cell_or_parameter_runs_its_notebook_again(built):
    clone, _ = built
    path = clone / "notebooks" / "06_why_it_works.ipynb"
    before = path.read_text(encoding="utf-8")
    try:
        path.write_text(before.replace("# Why it works", "# Why does it work"), encoding="utf-8")
        assert Study("smoke", clone).stale() == [], "prose"
        path.write_text(before.replace("reach = 12 ", "reach = 11 "), encoding="utf-8")
        assert Study("smoke", clone).stale() == ["06_why_it_works"]
    finally:
        path.write_text(before, encoding="utf-8")
    study = Study("smoke", clone)
    study.override("04_dcunet", {"steps": "3"})
    assert study.stale() == ["04_dcunet", "05_street_noise", "07_ideas", "08_outside"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "--profile", "fast"], "no profile 'fast'; choose one of full, quick, smoke"),
        (["notebook", "09_x", "--profile", "smoke"], "no notebook '09_x'; there are 01_noise"),
        (["notebook", "03_wavenet", "-p", "step", "2"], "03_wavenet: unknown parameter 'step'"),
        (["notebook", "03_wavenet", "-p", "steps", "few"], "steps = 'few' does not fit"),
    ],
)
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
        assert "steps is 2, while the profile has 4" in page.inner_text("body")
