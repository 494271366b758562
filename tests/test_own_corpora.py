"""The notebooks on corpora of one's own, in every layout, at 16 and at 48 kHz."""

import json
from pathlib import Path

import pytest
import trees

from denoise_lib import study
from denoise_lib.display import show
from denoise_lib.errors import UserError
from denoise_lib.models.checkpoints import read_record
from denoise_lib.report.parameters import cell_parameters, names, profile_values, read_notebook

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
STUDY = names(FOLDER)[:5]
KNOWN = {name: cell_parameters(read_notebook(FOLDER, name), name) for name in names(FOLDER)}
SMOKE, FULL = (profile_values(FOLDER, each, KNOWN) for each in ("smoke", "full"))
# Shorter than the smoke profile: this is about corpora, and networks are trained in others.
SHORT = {"max_seconds": 1.2, "metrics": ["wsdr", "si_sdr"], "steps": 2, "identity_steps": 2}
SHORT |= {"alone_steps": 1, "unet_steps": 1, "unet_alone_steps": 1, "ablation_steps": 1}
SHORT |= {"crop": 0.3, "sweep_snr_db": [0.0], "variants": ["unet"], "batch": 2, "unet_batch": 2}
SHORT |= {"compared_metrics": ["wsdr", "si_sdr"]}
ORIGINAL = {"rate": 48_000, "n_fft": 2048, "hop": 512}  # in the full profile


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """A folder with a corpus in each layout, and street noise."""
    folder = tmp_path_factory.mktemp("corpora")
    trees.plain(folder / "plain")
    trees.vctk(folder / "VCTK-Corpus-0.92")
    trees.voicebank(folder / "VoiceBank")
    trees.streets(folder / "streets")
    return folder


def run(name, folder, monkeypatch, **values):
    """Run a notebook's cells in this process: what they show, and the rows they leave."""
    shown, space = [], {}
    monkeypatch.setattr(show, "_display", shown.append)
    for cell in read_notebook(FOLDER, name).cells:
        if cell.cell_type != "code":
            continue
        exec(compile(cell.source, f"{name}.ipynb", "exec"), space)
        if "parameters" in cell.metadata.get("tags", []):
            space |= {key: value for key, value in values.items() if key in KNOWN[name]}
            space["out"] = str(folder / name)
    rows = json.loads((folder / name / "results.json").read_text())["rows"]
    return "\n".join(shown), rows


@pytest.mark.parametrize(
    ("layout", "fractions"),
    [
        ("plain", [0.8, 0.1, 0.1]),
        ("VoiceBank", [0.6, 0.25, 0.1]),  # a quarter of its training set validates
    ],
)
def test_the_study_runs_on(layout, fractions, corpora, tmp_path, monkeypatch):
    places = {"speech": str(corpora / layout), "noise": str(corpora / "streets")}
    for name in STUDY:
        values = SMOKE[name] | SHORT | places | {"fractions": fractions}
        shown, rows = run(name, tmp_path, monkeypatch, **values)
        assert {row["split"] for row in rows} - {"train", "valid"} == {"test"}, name
        assert "keeps no voice out of the training" in shown


def test_the_full_profile_is_the_original_s_protocol_on_vctk(corpora, tmp_path, monkeypatch):
    """At 48 kHz in frames of 2048, from VCTK's own layout; as long as a smoke run, with the small
    networks, and with shares of the clips that 48 clips have."""
    places = {"speech": str(corpora / "VCTK-Corpus-0.92"), "noise": str(corpora / "streets")}
    small = {"03_wavenet": {"preset": "light"}, "04_dcunet": {"preset": "small"}}
    for name, full in FULL.items():
        original = ORIGINAL if name in STUDY else {}  # what goes beyond the study stays at 16 kHz
        assert full.items() >= {**original, "fractions": [0.1, 0.01, 0.01]}.items()
        values = full | SMOKE[name] | SHORT | places | small.get(name, {})
        values |= {"fractions": [0.6, 0.2, 0.2], "workers": 0, "seeds": [0, 1], "wide": False}
        values["noise_steps"] = 0  # the smoke report trains that ablation
        if name == "01_noise_design":
            values["metrics"] = ["wsdr", "stoi"]
        shown, rows = run(name, tmp_path, monkeypatch, **values)
        scored = {row["split"] for row in rows} - {"train", "valid"}
        least = {"test", "unseen_voice"} if name in STUDY else {"test"}
        assert least <= scored <= {"test", "unseen_voice"}
        assert "keeps no voice" not in shown
        assert ("STOI are taken" in shown) == (name == "01_noise_design")
        for path in (tmp_path / name).glob("*.safetensors") if original else ():
            record = read_record(path)
            assert record["rate"] == 48_000
            if record["model"] in ("dcunet", "unet"):
                assert (record["config"]["n_fft"], record["config"]["hop"]) == (2048, 512)
            if path.stem in ("both", "zero", "raise"):
                frame = record["plan"]["damage"][1]
                assert (frame["n_fft"], frame["hop"]) == (2048, 512)
        if name == "05_street_noise":
            assert "Made for 16000 samples per second: speech, street U-Net" in shown


def test_a_corpus_too_small_for_its_fractions_is_refused_before_anything_runs(corpora, tmp_path):
    where = corpora / "VCTK-Corpus-0.92"
    with pytest.raises(UserError, match=r"too small .*\[0.1, 0.01, 0.01\]: train 0, valid 0, test"):
        study.open("04_dcunet", "full", tmp_path / "out", speech=where, fractions=[0.1, 0.01, 0.01])
    assert not (tmp_path / "out").exists()


def test_clips_too_short_to_validate_on_are_refused_before_anything_runs(tmp_path):
    for number in range(20):
        trees.write(tmp_path / "short" / f"{number}.wav", trees.speech(16_000, number, 1.5), 16_000)
    with pytest.raises(UserError, match=r"train \d+, valid \d, .* lasts 2 s \(the longest 1.5 s\)"):
        study.open(
            "02_autoencoder",
            "quick",
            tmp_path / "out",
            speech=tmp_path / "short",
            fractions=[0.5, 0.25, 0.25],
        )
    assert not (tmp_path / "out").exists()
