"""What the notebooks share: rows, players, levels; and the commands built on the same parts."""

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_corpus import small_corpus
from test_cli import run

from denoise_lib import RATE, Corruption, StreetMix, names, wsdr
from denoise_lib.audio import to_level
from denoise_lib.commands import enhance, evaluate, train
from denoise_lib.damage import conditions
from denoise_lib.damage.augment import VariedCorruption, VariedStreet
from denoise_lib.damage.shifted import ChangedCorpus, room
from denoise_lib.data import corpora
from denoise_lib.data.corpora import Clip, Corpus
from denoise_lib.data.crops import clip_generator, fixed_batch, fixed_clip, spread
from denoise_lib.errors import UserError
from denoise_lib.models import ConvAutoencoder, UNet
from denoise_lib.models.base import find
from denoise_lib.models.baselines import BASELINES, Identity, LogMMSE
from denoise_lib.models.checkpoints import load_pretrained, read_record, save_model
from denoise_lib.paths import run_folder
from denoise_lib.study import experiment, inversion
from denoise_lib.study.experiment import Experiment
from denoise_lib.study.run import Run
from denoise_lib.study.strength import strength_for_level
from denoise_lib.study.verdicts import describe_unseen
from denoise_lib.training import loop
from denoise_lib.training.loop import Schedule, weights_digest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def lab(tmp_path):
    run = Run("02_autoencoder", tmp_path / "02_autoencoder", profile="smoke")
    return Experiment(
        run, small_corpus(3.0), batch=2, crop=0.3, max_seconds=1.5, metrics=["wsdr", "si_sdr"]
    )


def network():
    return ConvAutoencoder(4, 64, 16)


def test_denoise_trains_and_scores_every_condition(lab):
    models, scores = lab.denoise(network, Schedule(3, validate_every=3), alone_steps=2)
    assert list(models) == list(scores) == ["zero", "raise", "both"]
    assert {name: history[-1]["step"] for name, history in lab.histories.items()} == {
        "both": 3,
        "zero": 2,
        "raise": 2,
    }
    # Each change alone goes on from the network for both.
    start = weights_digest(models["both"])
    assert read_record(lab.run.out / "zero.safetensors")["plan"]["start"] == start
    assert read_record(lab.run.out / "raise.safetensors")["plan"]["start"] == start
    lab.run.finish()
    rows = json.loads((lab.run.out / "results.json").read_text())["rows"]
    keys = {(r["condition"], r["split"], r["metric"]) for r in rows}
    assert keys == {
        (c, s, m) for c in models for s in ("test", "unseen_voice") for m in ("wsdr", "si_sdr")
    } | {(c, "valid", "wsdr") for c in models}, "and what the page chooses the best network by"
    for row in rows:
        assert row["model"] == "autoencoder" and row["n"] == 3
    with open(lab.run.out / "clips.csv", encoding="utf-8") as file:
        per_clip = [
            r
            for r in csv.DictReader(file)
            if (r["condition"], r["metric"], r["split"]) == ("both", "wsdr", "test")
        ]
    mean = np.mean([float(r["denoised"]) for r in per_clip])
    assert lab.run.value("both", "autoencoder")["denoised"] == pytest.approx(mean)


def test_noisy_scores_do_not_depend_on_the_model(lab):
    _, scores = lab.denoise(network, Schedule(2, validate_every=2), alone_steps=1)
    untouched = lab.score(Identity(), "both", Corruption())
    noisy = [each["noisy"] for each in scores["both"]["test"]]
    assert noisy == [each["noisy"] for each in untouched["test"]]
    assert noisy == [each["denoised"] for each in untouched["test"]]


def test_one_split_of_changed_speech(lab):
    """Only the wanted split, and the clips as they come from the other corpus."""

    def backwards(waveform):
        return waveform.flip(-1)

    changed = ChangedCorpus(lab.corpus, backwards)
    damage = Corruption()
    scores = lab.score(
        Identity(), "backwards", damage, "08_unet:away", splits=("test",), corpus=changed
    )
    assert list(scores) == ["test"]
    for each, clip in zip(scores["test"], lab.clips("test"), strict=True):
        clean = to_level(backwards(lab.corpus.waveform(clip))[: round(1.5 * RATE)])
        noisy = damage(clean, clip_generator(clip.name, 0))
        assert each["clip"] == clip.name
        assert each["noisy"]["wsdr"] == pytest.approx(float(wsdr(noisy, clean, noisy)), abs=1e-6)
    at_home = lab.score(Identity(), "home", damage)
    assert list(at_home) == ["test", "unseen_voice"]
    assert all(
        one["noisy"] != other["noisy"]
        for one, other in zip(scores["test"], at_home["test"], strict=True)
    )
    assert {row["split"] for row in lab.run.rows if row["condition"] == "backwards"} == {"test"}


def test_reference_rows_bound_the_table(lab):
    lab.metrics = ["wsdr", "snr", "si_sdr", "lsd"]
    scores = lab.reference("both", Corruption())
    noisy = lab.score(network().eval(), "both", Corruption())
    for split in ("test", "unseen_voice"):
        for metric in lab.metrics:
            identity = lab.run.value("both", "identity", metric, split)
            other = lab.run.value("both", "autoencoder", metric, split)
            assert identity["noisy"] == identity["denoised"] == other["noisy"]
            assert identity["n"] == 3
        for metric, best in (("wsdr", -1), ("lsd", 0)):
            row = lab.run.value("both", "clean", metric, split)
            assert row["denoised"] == pytest.approx(best, abs=1e-6)
        for metric in ("snr", "si_sdr"):
            row = lab.run.value("both", "clean", metric, split)
            assert (row["denoised"], row["n"], row["total"]) == (None, 0, 3)
            assert row["reason"] == "infinite: a perfect copy"
        assert [each["noisy"] for each in scores[split]] == [each["noisy"] for each in noisy[split]]
    lab.run.finish()  # nothing in it that JSON cannot hold


def test_inversion_is_scored_on_each_clip_s_own_damage(lab):
    row = inversion.score_inverted(lab, "both")
    assert row["denoised"] == pytest.approx(-1, abs=1e-4) and row["n"] == 3
    identity = lab.score(Identity(), "both", Corruption())["test"]
    assert row["noisy"] == pytest.approx(np.mean(lab.values(identity, "noisy")))
    worse = inversion.score_inverted(lab, "both", 0.1, "02_autoencoder:wrong")
    assert worse["denoised"] > row["denoised"] and worse["noisy"] == row["noisy"]
    finer = inversion.score_inverted(lab, "both", 0.0, "02_autoencoder:finer", hop=80)
    assert finer["denoised"] == pytest.approx(-1, abs=1e-4)
    assert finer["noisy"] < row["noisy"]  # twice the frames: more is left of every sample


def test_positions_found_behind_a_network_and_behind_the_clean_clip(lab):
    measured = inversion.score_found(lab, Identity(), "both", "02_autoencoder:found", "identity")
    perfect = inversion.score_found(lab, None, "both", "02_autoencoder:found", "clean")
    assert set(measured) == set(perfect) == {"zeroed", "raised"}
    for kind, measures in perfect.items():
        assert measures["average precision"] > measured[kind]["average precision"], kind
        assert measures["average precision"] > 1.5 * measures["share"], kind
        for metric, value in measures.items():
            (line,) = (
                each
                for each in lab.run.measurements
                if (each["name"], each["of"]) == (f"{metric}, {kind} positions", "clean, both")
            )
            assert line["value"] == value and line["n"] == 3
    # By hand: the counts of one kind, pooled over the clips.
    hits = found = touched = 0
    for clip in lab.clips("test"):
        noisy, clean = (each[None] for each in fixed_clip(lab.corpus, clip, Corruption(), 0, 1.5))
        there = inversion.find(noisy, noisy, Corruption())
        truth = Corruption().draw(Corruption().stft(clean), clip_generator(clip.name, 0)).raised
        said = (there.evidence >= 0.5) & there.candidates.raised
        hits += int((said & truth).sum())
        found += int(said.sum())
        touched += int((truth & there.candidates.raised).sum())
    assert measured["raised"]["precision"] == pytest.approx(hits / found)
    assert measured["raised"]["recall"] == pytest.approx(hits / touched)
    explained = lab.run.value("both", "clean, explained")
    assert explained["denoised"] < -0.99 and explained["noisy"] == pytest.approx(
        lab.run.value("both", "identity")["denoised"]
    )
    assert set(inversion.score_found(lab, None, "zero", "02_autoencoder:zero", "clean")) == {
        "zeroed"
    }


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_scored_under_their_own_names(lab, name):
    lab.score(find(name)(), "both", Corruption())
    lab.run.finish()
    assert lab.run.value("both", name)["n"] == 3


def test_identity_check_trains_and_scores_the_same_few_clips(lab):
    model, row = lab.identity(network, Schedule(5, validate_every=5), 2)
    assert [entry["step"] for entry in lab.histories["identity"]] == [1, 2, 3, 4, 5]
    assert row["condition"] == "identity" and row["split"] == "train" and row["n"] == 2
    # Without noise wSDR is minus the cosine between clip and copy; whole clips are scored.
    lab.max_seconds = 0
    cosines = []
    for clean in map(lab.clean, lab.drawn("train", 2)):
        with torch.inference_mode():
            cosines.append(float(torch.cosine_similarity(model(clean[None]), clean[None])))
    assert row["denoised"] == pytest.approx(-np.mean(cosines), abs=1e-5)
    assert lab.copies(model, 2, "02_autoencoder:again")["denoised"] == row["denoised"]


def test_weights_depend_on_the_seed_alone(lab):
    one = lab.seeded(network)
    torch.rand(5)
    other = lab.seeded(network)
    assert torch.equal(one.encoder.weight, other.encoder.weight)


def test_player_plays_what_is_scored_and_keeps_it(lab):
    clip = lab.drawn("test", 1)[0]
    player = lab.player(clip, "both", {"autoencoder": network().eval()}, title="t", listen_for="l")
    assert "autoencoder" in player._repr_html_()
    kept = json.loads(next((lab.run.out / "examples").glob("*.json")).read_text())
    assert [each["name"] for each in kept["versions"]] == ["clean", "noisy", "autoencoder"]
    noisy, clean = fixed_clip(lab.corpus, clip, Corruption(), 0, 1.5)
    assert kept["versions"][1]["scores"]["wsdr"] == pytest.approx(float(wsdr(noisy, clean, noisy)))
    samples, rate = soundfile.read(lab.run.out / "examples" / kept["versions"][1]["sound"])
    assert rate == RATE and np.abs(samples - noisy.numpy()).max() < 1e-4


def test_drawn_clips_fit_to_listen_to_and_come_from_their_split(lab):
    drawn = lab.drawn("test", 10)
    assert drawn and drawn == lab.drawn("test", 10)
    assert all(c.split == "test" and 2.5 * RATE <= c.samples <= 4.5 * RATE for c in drawn)


@pytest.mark.parametrize(("parameter", "target"), [("zero", -0.6), ("raised", -0.95)])
def test_strength_for_level_reaches_the_level(lab, parameter, target):
    clips = lab.corpus.split("valid")
    nothing = Corruption(zero=0, raised=0)
    found = strength_for_level(lab, clips, nothing, parameter, target)
    scores = [float(wsdr(*_pair(lab, clip, found))) for clip in clips]
    assert np.mean(scores) == pytest.approx(target, abs=0.03)


def _pair(lab, clip, damage):
    noisy, clean = fixed_clip(lab.corpus, clip, damage, 0, 1.5)
    return noisy, clean, noisy


def test_folders_of_runs(tmp_path):
    assert run_folder("02_autoencoder", "smoke").parts[-4:] == (
        "report",
        "build",
        "smoke",
        "02_autoencoder",
    )
    assert run_folder("02_autoencoder", "smoke", str(tmp_path)) == tmp_path
    lab = Experiment(Run("05_street_noise", tmp_path / "05_street_noise", "smoke"), small_corpus())
    with pytest.raises(UserError, match="make notebook NB=04_dcunet PROFILE=smoke"):
        lab.needed("04_dcunet")


# The commands ---------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path):
    save_model(tmp_path / "net.safetensors", network())
    return tmp_path / "net.safetensors"


def denoise(*arguments):
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "denoise_lib.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.slow
def test_enhance_command(tmp_path, checkpoint):
    noisy = 0.1 * np.random.default_rng(0).standard_normal((44100, 2)).astype(np.float32)
    soundfile.write(tmp_path / "in.wav", noisy, 44100)
    done = denoise("enhance", tmp_path / "in.wav", tmp_path / "out.flac", "--model", checkpoint)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    out = soundfile.info(tmp_path / "out.flac")
    assert (out.frames, out.samplerate, out.channels) == (44100, 44100, 2)


@pytest.mark.slow
def test_a_baseline_is_used_by_its_name(tmp_path, monkeypatch, capsys):
    noisy = 0.05 * np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    soundfile.write(tmp_path / "in.wav", noisy, RATE, subtype="FLOAT")
    enhance.enhance([str(tmp_path / "in.wav"), str(tmp_path / "out.wav")], model="log_mmse")
    # The level of the recording is that of the networks already.
    expected = LogMMSE()(torch.from_numpy(noisy)[None])[0].numpy()
    np.testing.assert_allclose(soundfile.read(tmp_path / "out.wav")[0], expected, atol=1e-4)
    monkeypatch.setattr(corpora, "open_speech", lambda source, *rate: small_corpus())
    evaluate.evaluate(
        "log_mmse",
        condition="raise",
        split="test",
        speech="x",
        noise="x",
        snr=0,
        seed=0,
        max_seconds=1.0,
        table=None,
    )
    assert "log_mmse, raise, test, 3 clips" in capsys.readouterr().out


def test_evaluate_takes_conditions_away_from_home_and_few_clips(tmp_path, monkeypatch, capsys):
    corpus = small_corpus()
    monkeypatch.setattr(corpora, "open_speech", lambda source, *rate: corpus)
    evaluate.evaluate(
        "gain",
        condition="in a room",
        split="valid",
        speech="x",
        noise="x",
        snr=0,
        seed=3,
        max_seconds=1.0,
        table=tmp_path / "clips.csv",
        metrics="wsdr",
        max_clips=2,
    )
    assert "gain, in a room, valid, 2 clips" in capsys.readouterr().out
    with open(tmp_path / "clips.csv", encoding="utf-8") as file:
        found = {each["clip"]: each for each in csv.DictReader(file)}
    clips = spread(corpus.split("valid"), 2)
    assert set(found) == {clip.name for clip in clips}
    for clip in clips:
        noisy, clean = fixed_clip(ChangedCorpus(corpus, room), clip, Corruption(), 3, 1.0)
        for side, estimate in (("noisy", noisy), ("denoised", noisy / 2)):
            assert float(found[clip.name][side]) == pytest.approx(
                float(wsdr(estimate, clean, noisy)), abs=1e-5
            )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "experiment", "condition"),
    [
        ("germain", "08_outside:compared", "both"),
        ("log_mmse", "08_outside:compared", "street"),
        ("repair", "08_outside:away", "in a room"),
        ("rnnoise", "08_outside:away", "frames of 60 ms, Hann"),
        ("repair", "08_outside:away", "read, another studio"),
    ],
)
def test_evaluate_reproduces_the_published_tables(tmp_path, capsys, model, experiment, condition):
    published = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))
    (row,) = [
        row
        for row in published["results"]
        if (row["experiment"], row["condition"], row["model"], row["split"], row["metric"])
        == (experiment, condition, model, "test", "wsdr")
    ]
    parameters = published["provenance"]["parameters"]["08_outside"]
    evaluate.evaluate(
        model,
        condition=condition,
        split="test",
        speech="default",
        noise="default",
        snr=parameters["snr_db"],
        seed=parameters["seed"],
        max_seconds=parameters["max_seconds"],
        table=tmp_path / "clips.csv",
        metrics="wsdr",
        max_clips=row["n"],
    )
    with open(tmp_path / "clips.csv", encoding="utf-8") as file:
        scores = list(csv.DictReader(file))
    assert len(scores) == row["n"]
    for side in ("noisy", "denoised"):
        mean = np.mean([float(each[side]) for each in scores])
        assert mean == pytest.approx(row[side], abs=1e-3), side  # other processors round otherwise


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("missing.wav", "out.wav", "missing.wav"),
        ("in.wav", "out.xyz", "out.xyz"),
        ("text.wav", "out.wav", "text.wav"),
    ],
)
def test_enhance_refuses_in_one_line(tmp_path, checkpoint, source, target, says):
    soundfile.write(tmp_path / "in.wav", np.zeros(1000), RATE)
    (tmp_path / "text.wav").write_text("this is no sound")
    done = denoise("enhance", tmp_path / source, tmp_path / target, "--model", checkpoint)
    assert done.returncode == 1 and says in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert not (tmp_path / target).exists()


TWO_STEPS = dict(
    speech="x",
    noise="x",
    snr=0,
    steps=2,
    batch=2,
    crop=0.3,
    seed=0,
    start=None,
    precision="32-true",
    workers=0,
)


def test_evaluate_adds_the_list_of_conditions_to_that_error_alone(tmp_path):
    wrong = {"split": "test", "speech": "default", "snr": 0, "seed": 0}
    with pytest.raises(UserError, match="no condition 'snow': use both.*; or, out of domain: home"):
        evaluate.evaluate("gain", condition="both,snow", noise="x", **wrong)
    with pytest.raises(UserError) as error:
        evaluate.evaluate("gain", condition="street,both", noise=str(tmp_path / "none"), **wrong)
    assert "none is not a folder" in str(error.value) and "domain" not in str(error.value)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"config": {"width": 3}}, "ConvAutoencoder: .*'width'"),
        ({"config": {"kernel": 64, "stride": 16}}, "size mismatch"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused_in_one_line(tmp_path, facts, says):
    save_model(tmp_path / "x.safetensors", ConvAutoencoder(), **facts)
    with pytest.raises(UserError, match=says) as error:
        load_pretrained(str(tmp_path / "x.safetensors"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("chunk", [0.0, -1.0, float("inf"), float("nan")])
def test_enhance_refuses_a_chunk_that_is_no_length(tmp_path, chunk):
    with pytest.raises(UserError, match="--chunk"):
        enhance.enhance([str(tmp_path / "in.wav"), str(tmp_path / "out.wav")], chunk=chunk)


def test_train_and_evaluate_commands_on_a_folder(tmp_path, monkeypatch, capsys):
    corpus = small_corpus()
    monkeypatch.setattr(corpora, "open_speech", lambda source, *rate: corpus)
    out = tmp_path / "own.safetensors"
    train.train(out, model="dcunet", preset="small", condition="raise", **TWO_STEPS)
    evaluate.evaluate(
        str(out),
        condition="raise",
        split="test",
        speech="x",
        noise="x",
        snr=0,
        seed=0,
        max_seconds=1.0,
        table=tmp_path / "clips.csv",
    )
    printed = capsys.readouterr().out
    assert "SI-SDR" in printed and "n 3" in printed
    blocks = re.findall(r"^(\S+) +noisy .*\n +denoised .*\n +clean +(.*)$", printed, re.MULTILINE)
    assert [name for name, _ in blocks] == ["wSDR", "SI-SDR", "PESQ", "STOI"]
    clean = dict(blocks)
    assert clean["wSDR"].startswith("\N{MINUS SIGN}1.000") and clean["wSDR"].endswith("n 3")
    assert clean["SI-SDR"] == "no mean: infinite for 3 of 3 clips, which are perfect copies"
    with open(tmp_path / "clips.csv", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 3 * 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("train", "x.pt"), "x.pt"),
        (("train", "x.safetensors", "--model", "segan"), "'segan'"),
        (("train", "x.safetensors", "--condition", "both,snow"), "'snow'"),
        (("train", "x.safetensors", "--preset", "huge"), "'huge'"),
        (("train", "x.safetensors", "--fixed-norms"), "--start"),
        (("train", "x.safetensors", "--vary-share", "0.5"), "--vary, too"),
        (("train", "x.safetensors", "--precision", "64-half"), "'64-half'"),
        (("evaluate", "nosuch"), "neighbourhood"),
        (("evaluate", "repair", "--condition", "in a roomm"), "in a room;"),
        (("evaluate", "dcunet-mars"), "'dcunet-mars'"),
    ],
)
def test_wrong_names_are_refused_in_one_line(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)  # a network trained by mistake is left nowhere else
    status, _, said = run(capsys, *arguments)
    assert status == 1 and says in said and said.startswith("denoise: ") and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_conditions_of_the_command_line():
    assert conditions.damage_for("zero", conditions.Noise("default", "test", 0)).raised == 0
    with pytest.raises(UserError, match="'snow'"):
        conditions.damage_for("snow", conditions.Noise("default", "test", 0))
    assert experiment.no_damage(torch.ones(3)).tolist() == [1, 1, 1]


def test_every_condition_has_a_name_and_every_name_is_made():
    assert list(conditions.CONDITIONS) == list(names.CONDITIONS)
    assert {"home", "in a room"} <= set(conditions.OUT_OF_DOMAIN)
    at_home = {"both", "zero", "raise", "street", "varied", "varied_street", "outside"}
    assert set(conditions.TRAINED) - set(conditions.OUT_OF_DOMAIN) == at_home
    assert "frames of 60 ms, Hann" in conditions.TRAINED and "in a room" not in conditions.TRAINED
    assert conditions.damage_for("frames of 60 ms, Hann", conditions.Noise()).n_fft == 960


def test_mixed_conditions_of_the_command_line(monkeypatch):
    opened = []
    monkeypatch.setattr(
        conditions, "open_noise", lambda source, *rate: opened.append(source) or small_corpus()
    )
    mixture = conditions.damage_for(
        "both, both,zero,raise,street,varied", conditions.Noise("somewhere", "train", 3.0)
    )
    assert opened == ["somewhere"]
    kinds = [type(each) for each in mixture.damages]
    assert kinds == [Corruption] * 4 + [StreetMix, VariedCorruption]
    assert [each.parameters for each in mixture.damages[:4]] == [
        Corruption.for_condition(each).parameters for each in ("both", "both", "zero", "raise")
    ]
    assert mixture.weights == [1.0] * 6 and mixture.damages[4].snr_db == 3.0
    assert isinstance(
        conditions.damage_for("varied", conditions.Noise("x", "test", 0)), VariedCorruption
    )
    streets = conditions.damage_for("varied_street", conditions.Noise("elsewhere", "train", 3.0))
    assert isinstance(streets, VariedStreet) and streets.street.snr_db == 3.0
    assert opened == ["somewhere", "elsewhere"]
    for wrong, named in (("both,snow", "'snow'"), ("both,", "''"), ("snow", "'snow'")):
        says = (
            f"no condition {named}: use both, zero, raise, street, varied, varied_street, outside"
        )
        with pytest.raises(UserError, match=says):
            conditions.damage_for(wrong, conditions.Noise("x", "train", 0))


@pytest.mark.parametrize("share", [None, 0.5])
def test_train_command_with_varied_damage_and_speech(tmp_path, monkeypatch, capsys, share):
    monkeypatch.setattr(corpora, "open_speech", lambda source, *rate: small_corpus())
    asked, damage_for = [], conditions.damage_for
    monkeypatch.setattr(
        conditions,
        "damage_for",
        lambda *given: asked.append((given[0], given[1].split)) or damage_for(*given),
    )
    out = tmp_path / "unet.safetensors"
    train.train(
        out,
        model="unet",
        preset="tiny",
        condition="both,varied",
        **TWO_STEPS,
        vary=True,
        vary_share=share,
        validate="both",
    )
    assert ("both,varied", "train") in asked
    assert [each for each in asked if each[1] == "valid"] == [("both", "valid")]
    assert "both,varied: step 2/2" in capsys.readouterr().out
    plan = read_record(out)["plan"]
    assert plan["vary"] == ("vary_speech" if share is None else ["vary_speech", {"share": share}])
    assert plan["damage"][0] == "OneOf"
    assert [name for name, _ in plan["damage"][1]["damages"]] == ["Corruption", "VariedCorruption"]
    assert load_pretrained(str(out)).config == UNet.from_preset("tiny").config


# Which clips are read, and by whom -------------------------------------------------------------


class Watched(Corpus):
    """A corpus that notes of which split each clip is that it is asked for."""

    def __init__(self, corpus):
        super().__init__(corpus.name, corpus.rate, corpus.clips, corpus._reader, corpus.digest)
        self.read = []

    def waveform(self, clip):
        self.read.append(clip.split)
        return super().waveform(clip)

    def beginning(self, clip, samples):
        self.read.append(clip.split)
        return super().beginning(clip, samples)

    def crop(self, clip, start, samples):
        self.read.append(clip.split)
        return super().crop(clip, start, samples)


@pytest.fixture
def watched(lab):
    lab.corpus = Watched(lab.corpus)
    return lab


@pytest.fixture
def trained_on(monkeypatch):
    """Crops and validation of each training."""
    seen = []
    for module in (experiment, loop):
        real = module.train

        def spy(model, crops, damage, validation, *args, real=real, **options):
            seen.append((crops, validation))
            return real(model, crops, damage, validation, *args, **options)

        monkeypatch.setattr(module, "train", spy)
    return seen


def check_training(corpus, crops, validation, seconds, seed=0):
    """Trained on training clips alone, chosen by validation clips alone."""
    assert {clip.split for clip in crops.clips} == {"train"}
    assert set(corpus.read) == {"train", "valid"}
    corpus.read.clear()
    for step in range(crops.steps):
        crops[step]
    assert set(corpus.read) == {"train"}
    _, clean = fixed_batch(
        corpus, corpus.split("valid"), conditions.no_damage, seed=seed, seconds=seconds
    )
    assert torch.equal(validation[1], clean)


def test_a_notebook_trains_and_validates_on_clips_of_their_own(watched, trained_on):
    watched.train(network(), Corruption(), Schedule(3, validate_every=3), "net")
    ((crops, validation),) = trained_on
    check_training(watched.corpus, crops, validation, 2.0)


def test_a_notebook_scores_what_was_never_trained_on(watched):
    for score in (
        lambda: watched.score(Identity(), "both", Corruption()),
        lambda: watched.reference("both", Corruption()),
    ):
        watched.corpus.read.clear()
        score()
        assert set(watched.corpus.read) == {"test", "unseen_voice"}


def test_the_command_trains_and_validates_on_clips_of_their_own(tmp_path, monkeypatch, trained_on):
    corpus = Watched(small_corpus())
    monkeypatch.setattr(corpora, "open_speech", lambda source, *rate: corpus)
    train.train(tmp_path / "x.safetensors", model="autoencoder", condition="raise", **TWO_STEPS)
    ((crops, validation),) = trained_on
    check_training(corpus, crops, validation, 2.0)
    assert len(validation[0]) > 1


def test_so_many_validation_clips_choose_the_best_weights(tmp_path, monkeypatch, trained_on):
    monkeypatch.setattr(corpora, "open_speech", lambda source, *rate: small_corpus())
    few = {"model": "autoencoder", "condition": "raise", "validation_clips": 1}
    train.train(tmp_path / "x.safetensors", **few, **TWO_STEPS)
    ((_, validation),) = trained_on
    assert [len(each) for each in validation] == [1, 1]


# Corpora of one's own --------------------------------------------------------------------------


def without(corpus, split, seconds=1.0):
    """A corpus that lacks a split, and whose clips are short."""
    clips = [replace(clip, samples=round(seconds * RATE)) for clip in corpus.clips]
    clips = [clip for clip in clips if clip.split != split]
    return Corpus(corpus.name, corpus.rate, clips, corpus._reader, corpus.digest)


def test_clips_to_listen_to_are_found_where_none_is_of_their_length(lab):
    usual = lab.drawn("test", 3)
    assert len(usual) == 3
    lab.corpus = without(lab.corpus, "unseen_voice")
    assert len(lab.drawn("test", 2)) == 2
    with pytest.raises(UserError, match="no clip in the split 'unseen_voice'"):
        lab.drawn("unseen_voice", 1)
    assert not lab.clips("unseen_voice")


def test_clips_nearest_to_the_length_come_first(lab):
    lengths = [0.5, 1.0, 3.0, 6.0, 9.0]
    clips = [Clip(str(each), "a", "test", round(each * RATE)) for each in lengths]
    lab.corpus = Corpus("own", RATE, clips, None, "")
    assert [clip.name for clip in lab.drawn("test", 4)] == ["3.0", "1.0", "6.0", "0.5"]


def test_a_corpus_without_a_second_voice_is_said_to_have_none(lab):
    lab.score(Identity(), "both", Corruption())
    assert "never heard in training wSDR goes from" in describe_unseen(lab.run, "both", "identity")
    other = Run("02_autoencoder", lab.run.out)
    assert describe_unseen(other, "both", "identity") == (
        "this corpus keeps no voice out of training"
    )


def test_the_worst_clip_is_one_without_a_score():
    scores = [
        {"clip": name, "denoised": {"wsdr": value}}
        for name, value in (("a", -0.9), ("b", None), ("c", -0.5))
    ]
    assert experiment.worst(scores)["clip"] == "b"
    assert experiment.worst(scores[::2])["clip"] == "c"


def test_sentences_are_kept_for_the_matrix(lab):
    """Whole, as they are played; what a second call adds stands beside what the first one kept."""
    heard = lab.hear("both", {"identity": Identity()})
    folder = lab.run.out / "sentences"
    lab.hear("both", {"mine": Identity()})
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("both-*.json"))]
    assert [each["order"] for each in records] == list(range(len(records))) and records
    names_of = [[version["name"] for version in each["versions"]] for each in records]
    assert names_of == [["clean", "noisy", "identity", "mine"]] * len(records)
    first = {version["name"]: version for version in records[0]["versions"]}
    assert {name: sound.key for name, sound in heard.versions.items()} == {
        name: first[name]["key"] for name in ("clean", "noisy", "identity")
    }
    assert first["identity"]["key"] == first["noisy"]["key"] == first["mine"]["key"]
    samples, rate = soundfile.read(folder / f"{first['clean']['key']}.flac", dtype="float32")
    clip = lab.clip(records[0]["clip"])
    assert rate == RATE and len(samples) == min(clip.samples, 5 * RATE)
    assert len(samples) / rate == pytest.approx(records[0]["seconds"])
    assert set(first["noisy"]["scores"]) == {"wsdr", "si_sdr", "stoi"}
