"""The training loop: it learns, keeps its best, resumes to the same result, survives NaN."""

import errno
import hashlib
import json
import math
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import torch
from small_corpus import small_corpus

from denoise_lib import Corruption, StreetMix
from denoise_lib.data.corpora import Corpus
from denoise_lib.data.crops import CleanCrops, clip_generator, fixed_batch
from denoise_lib.environment import fastest_precision
from denoise_lib.errors import UserError
from denoise_lib.files import locked
from denoise_lib.models import ConvAutoencoder, DCUnet, UNet
from denoise_lib.models.base import find
from denoise_lib.models.checkpoints import (
    load_model,
    load_pretrained,
    read_record,
    save_model,
    write_tensors,
)
from denoise_lib.models.inference import multiplied_in
from denoise_lib.names import MODELS
from denoise_lib.training import loop
from denoise_lib.training.loop import Schedule, train, validate
from denoise_lib.training.losses import si_sdr_loss, wsdr_loss

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [(4, (5, 3), (2, 2)), (6, (5, 3), (2, 1))]


def network():
    torch.manual_seed(0)
    return DCUnet(layers=LAYERS, mask="residual", compression=0.5)


def run(path, steps=12, model=None, damage=None, **options):
    corpus = small_corpus()
    damage = damage or Corruption()
    schedule = Schedule(steps, 5e-3, warmup=3, validate_every=4)
    crops = CleanCrops(corpus, corpus.split("train"), batch=2, seconds=0.4, seed=0, steps=steps)
    valid = fixed_batch(corpus, corpus.split("valid"), Corruption(), seed=0, seconds=1.0)
    return train(model or network(), crops, damage, valid, schedule, path, label="test", **options)


def same_weights(one, other):
    return all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_it_learns_and_keeps_its_best(tmp_path):
    corpus = small_corpus()
    noisy, clean = fixed_batch(corpus, corpus.split("valid"), Corruption(), seed=0, seconds=1.0)
    untrained = validate(network(), noisy, clean)
    model, history = run(tmp_path / "net.safetensors", steps=40)
    best = min(each["valid"] for each in history)
    assert best < untrained - 0.02
    assert validate(model, noisy, clean) == pytest.approx(best, abs=1e-6)
    record = read_record(tmp_path / "net.safetensors")
    assert record["valid"] == best and record["finished"]
    assert record["step"] == min(history, key=lambda each: each["valid"])["step"]
    assert [each["step"] for each in history] == list(range(4, 41, 4))
    assert json.loads((tmp_path / "net.history.json").read_text()) == history
    assert not (tmp_path / "net.state.safetensors").exists()


def test_the_same_call_gives_the_same_weights(tmp_path):
    one, _ = run(tmp_path / "one.safetensors")
    other, _ = run(tmp_path / "other.safetensors")
    assert same_weights(one, other)


class Interrupted(Exception):
    pass


def test_resume_gives_what_an_uninterrupted_run_gives(tmp_path):
    calls = {"n": 0}

    def cut(waveform, generator):
        calls["n"] += 1
        if calls["n"] == 7:  # in the middle between two validations
            raise Interrupted
        return Corruption()(waveform, generator)

    cut.parameters = Corruption().parameters
    whole, history = run(tmp_path / "whole.safetensors", damage=cut_free(cut))
    with pytest.raises(Interrupted):
        run(tmp_path / "cut.safetensors", damage=cut)
    assert (tmp_path / "cut.state.safetensors").exists()
    resumed, resumed_history = run(tmp_path / "cut.safetensors", damage=cut)
    assert calls["n"] == 7 + 8  # went on from step 4, not from the start
    assert same_weights(whole, resumed)
    for one, other in zip(resumed_history, history, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def cut_free(cut):
    """The same damage without the interruption, and the same description of itself."""

    def whole(waveform, generator):
        return Corruption()(waveform, generator)

    whole.parameters = cut.parameters
    return whole


def test_a_finished_training_is_read_back_and_another_plan_is_not(tmp_path, capsys):
    path = tmp_path / "net.safetensors"
    first, _ = run(path)
    again, _ = run(path)
    assert "read back" in capsys.readouterr().out
    assert same_weights(first, again)
    run(path, steps=8)
    assert "read back" not in capsys.readouterr().out
    assert read_record(path)["plan"]["schedule"]["steps"] == 8


def test_a_state_that_a_killed_process_left_beside_a_finished_training_goes(tmp_path, capsys):
    path, state = tmp_path / "net.safetensors", tmp_path / "net.state.safetensors"
    run(path)
    state.write_bytes(b"left over")
    run(path)
    assert "read back" in capsys.readouterr().out and not state.exists()


def test_a_few_broken_steps_are_skipped_and_many_stop(tmp_path):
    calls = {"n": 0}

    def sometimes(estimate, clean, noisy):
        training = estimate.requires_grad  # and not validating
        calls["n"] += training
        broken = float("nan") if training and calls["n"] in (3, 4) else 1.0
        return broken * wsdr_loss(estimate, clean, noisy)

    model, history = run(tmp_path / "net.safetensors", loss=sometimes)
    assert history[-1]["skipped"] == 2
    assert all(torch.isfinite(each).all() for each in model.state_dict().values())

    def always(estimate, clean, noisy):
        return (torch.nan if estimate.requires_grad else 1) * wsdr_loss(estimate, clean, noisy)

    with pytest.raises(UserError, match="not finite for 10 steps"):
        run(tmp_path / "other.safetensors", loss=always)


def test_margin_leaves_the_ends_of_a_crop_out(tmp_path):
    lengths = set()

    def watching(estimate, clean, noisy):
        if estimate.requires_grad:
            lengths.add((estimate.shape[-1], clean.shape[-1], noisy.shape[-1]))
        return wsdr_loss(estimate, clean, noisy)

    run(tmp_path / "net.safetensors", steps=2, loss=watching, margin=100)
    assert lengths == {(6400 - 200,) * 3}


def test_schedule_rises_then_falls_to_nothing():
    schedule = Schedule(100, 1.0, warmup=10)
    factors = [schedule.factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == pytest.approx(0.98, abs=0.02)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0 < factors[-1] < 0.001


def test_validation_leaves_mode_and_buffers_alone():
    model = network().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    validate(model, torch.randn(3, 3000), torch.randn(3, 3000))
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("make", [network, lambda: UNet.from_preset("tiny")])
def test_batch_norms_can_keep_their_statistics(tmp_path, make, fixed):
    """Over two validations, after which the network is brought back to training."""
    start = make()
    statistics = {name: each.clone() for name, each in start.named_buffers()}
    weights = {name: each.detach().clone() for name, each in start.named_parameters()}
    _, history = run(tmp_path / "net.safetensors", steps=8, model=start, fixed_norms=fixed)
    assert (
        len(history) == 2
        and read_record(tmp_path / "net.safetensors")["plan"]["fixed_norms"] == fixed
    )
    same = [torch.equal(each, statistics[name]) for name, each in start.named_buffers()]
    assert all(same) if fixed else not all(same)
    changed = [not torch.equal(each, weights[name]) for name, each in start.named_parameters()]
    assert all(changed)


@pytest.mark.parametrize("name", MODELS)
def test_checkpoints_rebuild_their_model(tmp_path, name):
    torch.manual_seed(1)
    small = {
        "autoencoder": {"channels": 3, "kernel": 64, "stride": 8},
        "causal": {"n_fft": 64, "hop": 32, "widths": (4, 6), "frames": (2, 1), "dilations": (1, 2)},
        "wavenet": {"channels": 3, "stacks": 1, "depth": 3, "final": (4, 2)},
        "dcunet": {"layers": LAYERS, "mask": "polar"},
        "germain": {"channels": 3, "levels": 3},
        "informed": {"layers": LAYERS, "mfcc": 2, "multiples": [0.5, 3.0]},
        "unet": {"layers": "tiny", "n_fft": 64, "hop": 16, "fine_bins": 12, "fine_channels": 4},
    }
    model = find(name)(**small[name]).eval()
    save_model(tmp_path / "net.safetensors", model, seed=3)
    loaded = load_pretrained(str(tmp_path / "net.safetensors"))
    x = 0.05 * torch.randn(2, 1000)
    with torch.inference_mode():
        assert torch.equal(model(x), loaded(x))
    assert not loaded.training
    assert read_record(tmp_path / "net.safetensors")["seed"] == 3


def test_half_the_size_and_nearly_the_same(tmp_path):
    """Weights are rounded to 16 bits; what batch norms have measured is kept as it is."""
    torch.manual_seed(0)
    network = find("unet").from_preset("tiny")
    noisy = 0.05 * torch.randn(1, 8000)
    torch.nn.init.normal_(network.fine_out.weight, std=0.1)
    network.train()(noisy)  # moves the statistics
    for name, half in (("whole", False), ("half", True)):
        save_model(tmp_path / f"{name}.safetensors", network, half=half)
    whole, rounded = (load_model(tmp_path / f"{each}.safetensors") for each in ("whole", "half"))
    for name, each in rounded.named_parameters():
        assert each.dtype == torch.float32
        assert torch.equal(each, whole.get_parameter(name).half().float())
    for name, each in rounded.named_buffers():
        assert torch.equal(each, whole.get_buffer(name))
    error = rounded(noisy) - whole(noisy)
    assert 0 < error.norm() < 1e-3 * whole(noisy).norm()
    sizes = [(tmp_path / f"{each}.safetensors").stat().st_size for each in ("half", "whole")]
    parameters = sum(each.numel() for each in network.parameters())
    assert sizes[1] - sizes[0] == pytest.approx(2 * parameters, rel=0.02)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "no.safetensors").write_bytes(b"nothing of the kind")
    for path in ("no.safetensors", "missing.safetensors"):
        with pytest.raises(UserError, match=path):
            load_model(tmp_path / path)
    with pytest.raises(UserError, match="'dcunet-mars'"):
        load_pretrained("dcunet-mars")


def header(path, **changes):
    """A checkpoint of 200 bytes and more whose record is changed and which holds no weight."""
    record = {"model": "autoencoder", "config": ConvAutoencoder(2, 16, 4).config, "rate": 16000}
    write_tensors(path, {}, record | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "mars"}, "'mars'"),
        ({"model": 3}, "another version"),
        ({"config": {"wings": 2}}, "another version"),
        ({"config": []}, "another version"),
        ({"config": ConvAutoencoder(2, 16, 4).config | {"channels": "2"}}, "another version"),
        ({"model": "dcunet", "config": {"layers": [[2, [5, 3], [2, 0]]]}}, "another version"),
        ({"rate": "48 kHz"}, "samples per second"),
        ({}, "tensors differ, such as"),
    ],
)
def test_a_checkpoint_of_others_is_one_line(tmp_path, changes, message):
    header(tmp_path / "net.safetensors", **changes)
    with pytest.raises(UserError, match=message):
        load_model(tmp_path / "net.safetensors")


def test_a_record_that_is_a_list_is_one_line(tmp_path):
    write_tensors(tmp_path / "net.safetensors", {}, [1])
    with pytest.raises(UserError, match="not a checkpoint"):
        load_model(tmp_path / "net.safetensors")


def test_a_small_file_allocates_no_large_network(tmp_path):
    """Refused by its header: what it names would take 40 GB."""
    config = ConvAutoencoder(2, 16, 4).config | {"channels": 10_000_000, "kernel": 1024}
    header(tmp_path / "net.safetensors", config=config)
    with pytest.raises(UserError, match="tensors differ"):
        load_model(tmp_path / "net.safetensors")


@pytest.mark.parametrize("write", [save_model, write_tensors])
def test_a_full_disk_is_an_error_of_the_system_that_names_the_file(tmp_path, monkeypatch, write):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    what = [ConvAutoencoder(2, 16, 4)] if write is save_model else [{}, {}]
    with pytest.raises(OSError, match=r"No space left on device: .*net\.safetensors"):
        write(tmp_path / "net.safetensors", *what)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    save_model(path, ConvAutoencoder(2, 16, 4), seed=1)
    monkeypatch.setattr("safetensors.torch.save", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_model(path, ConvAutoencoder(2, 16, 4), seed=2)
    assert read_record(path)["seed"] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["net.safetensors"]


# What a training is, and which one it goes on with --------------------------------------------


def settings(**changes):
    """Arguments of a training of two steps; some of them changed."""
    corpus = changes.pop("corpus", small_corpus())
    train_clips = changes.pop("clips", corpus.split("train"))
    valid_clips = changes.pop("valid_clips", corpus.split("valid"))
    seconds, seed = changes.pop("valid_seconds", 1.0), changes.pop("seed", 0)
    unheard = changes.pop("valid_damage", Corruption())
    vary = changes.pop("vary", None)
    return {
        "model": ConvAutoencoder(2, 64, 16),
        "crops": CleanCrops(
            corpus, train_clips, batch=2, seconds=0.2, seed=seed, steps=2, vary=vary
        ),
        "damage": Corruption(),
        "validation": fixed_batch(corpus, valid_clips, unheard, seed=0, seconds=seconds),
        "schedule": Schedule(2, validate_every=1),
    } | changes


def noise(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(5000, generator=generator) for _ in range(2)]


class Vary:
    def __init__(self, share):
        self.parameters = {"share": share}

    def __call__(self, crops, generator):
        return crops


SMALL = small_corpus()
CHANGES = {
    "seed": ({}, {"seed": 1}),
    "loss": ({}, {"loss": si_sdr_loss}),
    "corpus": ({}, {"corpus": Corpus("small", SMALL.rate, SMALL.clips, SMALL._reader, "e" * 64)}),
    "clips": ({"clips": SMALL.split("train")[:2]}, {"clips": SMALL.split("train")[1:]}),
    "validation clips": ({}, {"valid_clips": SMALL.split("valid")[:2]}),
    "validation damage": ({}, {"valid_damage": Corruption.for_condition("zero")}),
    "validation seconds": ({}, {"valid_seconds": 0.9}),
    "damage": ({}, {"damage": Corruption.for_condition("zero")}),
    "noise": ({"damage": StreetMix(noise(0))}, {"damage": StreetMix(noise(1))}),
    "start": ({}, {"model": ConvAutoencoder(2, 64, 16)}),
    "schedule": ({}, {"schedule": Schedule(2, validate_every=1, clip_norm=1.0)}),
    "margin": ({}, {"margin": 10}),
    "norms": ({}, {"fixed_norms": True}),
    "variety": ({"vary": Vary(0.1)}, {"vary": Vary(0.2)}),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_another_training_is_never_read_back(tmp_path, capsys, changed):
    """One thing changed at a time: neither is it finished already, nor does it go on."""
    one, other = CHANGES[changed]
    path = tmp_path / "net.safetensors"
    torch.manual_seed(0)
    first = settings(**one)
    if changed != "start":
        other = other | {"model": ConvAutoencoder(2, 64, 16)}
        other["model"].load_state_dict(first["model"].state_dict())
    again = first | {"model": ConvAutoencoder(2, 64, 16)}
    again["model"].load_state_dict(first["model"].state_dict())
    train(**first, checkpoint=path)
    capsys.readouterr()
    train(**again, checkpoint=path)
    assert "read back" in capsys.readouterr().out  # it is the same without a change
    train(**settings(**(one | other)), checkpoint=path)
    assert "read back" not in capsys.readouterr().out


def test_outside_noise_of_other_recordings_is_another_damage():
    from denoise_lib.damage.outside import OutsideNoise

    one, same, other = (OutsideNoise({"recordings": noise(seed)}) for seed in (0, 0, 1))
    assert one.parameters == same.parameters != other.parameters


def test_a_plan_names_all_that_fixes_the_result(tmp_path):
    """Under names that stay, so that trainings of other versions are read back."""
    given = settings(vary=Vary(0.1), margin=10, fixed_norms=True)
    start = {name: each.clone() for name, each in given["model"].state_dict().items()}
    train(**given, checkpoint=tmp_path / "net.safetensors")
    plan, crops = read_record(tmp_path / "net.safetensors")["plan"], given["crops"]

    def digest(named):
        total = hashlib.sha256()
        for name, tensor in named:
            total.update(name.encode() + tensor.contiguous().numpy().tobytes())
        return total.hexdigest()

    names = json.dumps([[each.name, each.voice, each.samples] for each in crops.clips])
    assert plan == {
        "model": "autoencoder",
        "config": given["model"].config,
        "start": digest(start.items()),
        "corpus": ["small", SMALL.digest],
        "clips": len(crops.clips),
        "clip_names": hashlib.sha256(names.encode()).hexdigest(),
        "validation": digest(zip(("noisy", "clean"), given["validation"], strict=True)),
        "batch": 2,
        "samples": crops.samples,
        "seed": 0,
        "vary": "Vary",
        "vary_parameters": {"share": 0.1},
        "damage": ["Corruption", json.loads(json.dumps(Corruption().parameters))],
        "loss": "wsdr_loss",
        "margin": 10,
        "schedule": {
            "steps": 2,
            "learning_rate": 2e-3,
            "warmup": 50,
            "weight_decay": 0.01,
            "clip_norm": 5.0,
            "validate_every": 1,
        },
        "precision": "32-true",
        "fixed_norms": True,
        "processes": 1,
    }


def test_a_plan_names_speeds_and_parts_where_there_are_any(tmp_path):
    given = settings()
    given["crops"].speeds = [0.9, 1.1]
    train(**given, checkpoint=tmp_path / "net.safetensors", accumulate=2)
    plan = read_record(tmp_path / "net.safetensors")["plan"]
    assert (plan["speeds"], plan["accumulate"]) == ([0.9, 1.1], 2)


def test_functions_of_a_plan_are_told_by_name_and_what_they_were_given():
    name = "vary"
    assert loop._named(None) is None and loop._named(noise) == "noise"
    assert loop._named(Vary(0.1)) == "Vary" and loop._named(partial(noise)) == "noise"
    assert loop._named(partial(noise, seed=name)) == ["noise", {"seed": "vary"}]


# What it tells --------------------------------------------------------------------------------


def test_the_history_and_what_is_told_of_it(tmp_path, capsys):
    """The mean loss since the last validation, with the batch in one part or in two."""
    values, told = [], []

    def watched(estimate, clean, noisy):
        value = wsdr_loss(estimate, clean, noisy)
        if value.requires_grad:
            values.append(float(value.detach()))
        return value

    for parts in (1, 2):
        values.clear()
        told.clear()
        path = tmp_path / f"{parts}.safetensors"
        options = {"loss": watched, "progress": told.append, "accumulate": parts}
        _, history = run(path, steps=6, **options)
        steps = [sum(values[i : i + parts]) / parts for i in range(0, len(values), parts)]
        assert [each["step"] for each in history] == [4, 6]
        losses = [each["loss"] for each in history]
        assert losses == pytest.approx([sum(steps[:4]) / 4, sum(steps[4:]) / 2], abs=1e-6)
        schedule = Schedule(6, 5e-3, warmup=3)
        assert [each["rate"] for each in history] == [5e-3 * schedule.factor(n) for n in (3, 5)]
        assert all({*each} == HISTORY for each in history)
        assert told == [{"training": "test", "steps": 6, **each} for each in history]
        lines = capsys.readouterr().out.splitlines()
        assert lines == [
            f"test: step {each['step']}/6  loss {each['loss']:.4f}  valid {each['valid']:.4f}  "
            f"{each['seconds']:.1f} s"
            for each in history
        ]
        run(path, steps=6, **options)
        assert capsys.readouterr().out == (
            f"test: read back the finished training in {parts}.safetensors\n"
        )


HISTORY = {"step", "loss", "valid", "valid_loss", "rate", "skipped", "seconds"}


def test_a_log_counts_seconds_skipped_steps_and_the_best(monkeypatch):
    clock = iter([13.04, 14.0])
    monkeypatch.setattr(loop.time, "perf_counter", lambda: next(clock))
    log = loop._Log(started=10.0)
    for value in (1.0, None, 2.0):
        log.add(value, "net")
    assert (log.step, log.skipped, log.broken) == (3, 1, 0)
    assert log.validated(-0.5, 0.7, 1e-3, "net") is True
    first = {"step": 3, "loss": 1.5, "valid": -0.5, "valid_loss": 0.7, "rate": 1e-3}
    first |= {"skipped": 1, "seconds": 3.0}
    assert log.history == [first]
    for _ in range(loop.MOST_BROKEN_STEPS - 1):
        log.add(None, "net")
    assert log.validated(-0.6, 0.7, 1e-4, "net") is False and log.best == 0.7
    last = {"step": 12, "loss": None, "valid": -0.6, "valid_loss": 0.7, "rate": 1e-4}
    last |= {"skipped": 10, "seconds": 4.0}
    assert log.history == [first, last]
    assert log.last() == {"step": 12, "valid": -0.6, "valid_loss": 0.7}
    assert loop._progress_line("net", 20, last) == (
        "net: step 12/20  loss none  valid -0.6000  valid loss 0.7000  4.0 s"
    )
    with pytest.raises(UserError) as error:
        log.add(None, "net")
    assert str(error.value) == (
        "net: the loss or its gradient was not finite for 10 steps up to step 13: lower the "
        "learning rate or look at the data"
    )
    with pytest.raises(UserError, match="^net: the validation at step 13 is not finite: lower the"):
        log.validated(float("inf"), 0.7, 1e-4, "net")
    with pytest.raises(UserError, match="the validation at step 13 is not finite"):
        log.validated(-0.6, float("nan"), 1e-4, "net")


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (
            4,
            "a batch of 2 crops cannot be dealt to 1 processes in 4 parts: make it a multiple of 4",
        ),
        (
            3,
            "a batch of 2 crops cannot be dealt to 1 processes in 3 parts: make it a multiple of 3",
        ),
    ],
)
def test_a_batch_that_cannot_be_dealt_is_refused(tmp_path, parts, told):
    with pytest.raises(UserError) as error:
        run(tmp_path / "net.safetensors", accumulate=parts)
    assert str(error.value) == f"test: {told}" and not list(tmp_path.iterdir())


def test_a_network_for_another_rate_is_refused(tmp_path):
    model = network()
    model.rate = 48000
    with pytest.raises(UserError) as error:
        run(tmp_path / "net.safetensors", model=model)
    assert str(error.value) == "test: this dcunet is for 48000 Hz, the speech has 16000"


def test_a_factor_is_warmup_times_cosine():
    plain = [0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert [Schedule(8, warmup=0).factor(step) for step in range(8)] == pytest.approx(plain)
    risen = [min(1, (step + 1) / 4) * each for step, each in enumerate(plain)]
    assert [Schedule(8, warmup=4).factor(step) for step in range(8)] == pytest.approx(risen)


def test_scores_are_in_the_order_of_the_clips_however_many_at_once():
    noisy, clean = torch.randn(2, 5, 3000, generator=torch.Generator().manual_seed(0))
    model = network().eval()
    with torch.inference_mode():
        pairs = zip(noisy.split(1), clean.split(1), strict=True)
        alone = torch.stack(
            [torch.stack([wsdr_loss(*m), steep(*m)]) for m in ((model(x), y, x) for x, y in pairs)]
        )
    for at_once in (1, 2, 8):
        found = loop.scores(model, noisy, clean, steep, at_once)
        assert found == pytest.approx(alone, rel=1e-5) and not model.training
        same = loop.scores(model, noisy, clean, at_once=at_once)
        assert torch.equal(same[:, 0], same[:, 1]) and torch.equal(same[:, 0], found[:, 0])
    assert validate(model, noisy, clean) == pytest.approx(float(alone[:, 0].mean()), abs=1e-5)


def test_a_process_without_a_clip_to_validate_on_has_no_scores():
    none = torch.zeros(0, 3000)
    for loss in (wsdr_loss, steep):
        assert loop.scores(network(), none, none, loss).shape == (0, 2)


def test_the_loss_is_validated_in_full_precision():
    given = []

    def watching(*waveforms):
        given.append(torch.is_autocast_enabled("cpu"))
        return wsdr_loss(*waveforms)

    with torch.autocast("cpu", torch.bfloat16):
        loop.scores(network(), *torch.randn(2, 3, 3000), watching)
    assert given == [False] * 3


def test_validation_multiplies_as_the_training_does(tmp_path):
    corpus = small_corpus()
    pair = fixed_batch(corpus, corpus.split("valid"), Corruption(), seed=0, seconds=1.0)
    model, history = run(tmp_path / "net.safetensors", precision="bf16-mixed")
    best = min(each["valid"] for each in history)
    with multiplied_in("bf16-mixed", model, "cpu"):
        assert validate(model, *pair) == pytest.approx(best, abs=1e-7)
    assert best != validate(model, *pair) == pytest.approx(best, abs=0.005)


# What the optimiser does ----------------------------------------------------------------------


@pytest.fixture
def optimiser(monkeypatch):
    """AdamW that notes learning rate, decay and gradient norm of each step."""
    seen = []

    class Watched(torch.optim.AdamW):
        def step(self, *args, **kwargs):
            (group,) = self.param_groups
            norm = torch.cat([each.grad.flatten() for each in group["params"]]).norm()
            seen.append((group["lr"], group["weight_decay"], float(norm)))
            return super().step(*args, **kwargs)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    return seen


def steep(estimate, clean, noisy):
    return 1e4 * wsdr_loss(estimate, clean, noisy)


def test_schedule_decay_and_clipping_reach_the_optimiser(tmp_path, optimiser):
    schedule = Schedule(6, 3e-3, warmup=2, weight_decay=0.07, clip_norm=0.5, validate_every=3)
    crops = settings()["crops"]
    crops.steps = 6
    given = settings(schedule=schedule, crops=crops, loss=steep)
    train(**given, checkpoint=tmp_path / "net.safetensors")
    rates, decays, norms = zip(*optimiser, strict=True)
    assert rates == pytest.approx([3e-3 * schedule.factor(step) for step in range(6)])
    assert len(set(rates)) == 5 and set(decays) == {0.07}
    assert norms == pytest.approx([0.5] * 6, rel=1e-3)  # steep: clipped at every step


def test_the_best_weights_are_kept_where_later_ones_are_worse(tmp_path, monkeypatch):
    losses = [2.0, 1.0, 4.0, 3.0]  # what is trained with decides, and not wSDR
    scores, seen = iter(zip([-0.5, -0.6, -0.1, -0.8], losses, strict=True)), []

    def scripted(model, noisy, clean, loss):
        seen.append({name: each.clone() for name, each in model.state_dict().items()})
        return torch.tensor([next(scores)], dtype=torch.float64)

    monkeypatch.setattr(loop, "scores", scripted)
    model, history = run(tmp_path / "net.safetensors", steps=16)
    assert [each["valid_loss"] for each in history] == losses
    record = read_record(tmp_path / "net.safetensors")
    assert (record["step"], record["valid"], record["valid_loss"]) == (8, -0.6, 1.0)
    for found in (model.state_dict(), load_model(tmp_path / "net.safetensors").state_dict()):
        assert all(torch.equal(found[name], each) for name, each in seen[1].items())
        assert not all(torch.equal(found[name], each) for name, each in seen[3].items())


def test_training_damage_follows_the_seed(tmp_path):
    drawn = []

    def watching(waveform, generator):
        drawn.append(generator.initial_seed())
        return Corruption()(waveform, generator)

    for seed in (0, 1):
        given = settings(seed=seed, damage=watching)
        train(**given, checkpoint=tmp_path / f"{seed}.safetensors")
    expected = [
        clip_generator(f"damage/{step}", seed).initial_seed() for seed in (0, 1) for step in (0, 1)
    ]
    assert drawn == expected and len(set(drawn)) == 4


# Steps that are skipped -----------------------------------------------------------------------


@pytest.mark.parametrize("make", [network, lambda: UNet.from_preset("tiny")])
def test_a_skipped_step_leaves_no_trace_in_the_norms(tmp_path, make):
    """One broken sample on the way in: statistics, weights and validation stay finite."""
    calls = {"n": 0}

    def sometimes(waveform, generator):
        calls["n"] += 1
        noisy = Corruption()(waveform, generator)
        if calls["n"] == 3:
            noisy[0, 100] = torch.nan
        return noisy

    model, history = run(tmp_path / "net.safetensors", model=make(), damage=sometimes)
    assert history[-1]["skipped"] == 1
    assert all(torch.isfinite(each).all() for each in model.state_dict().values())


def test_norms_after_a_skipped_step_are_those_before_it():
    model = network().train()
    fabric = loop._fabric("32-true")
    made, optimizer = fabric.setup(model, torch.optim.AdamW(model.parameters()))
    before = {name: each.clone() for name, each in model.state_dict().items()}
    noisy, clean = torch.full((2, 4000), torch.nan), torch.randn(2, 4000)
    step = (wsdr_loss, noisy, clean, 0, Schedule(1), 1)
    assert loop._step(fabric, made, optimizer, *step) is None
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())


def test_a_validation_without_a_score_is_one_line(tmp_path):
    noisy, clean = torch.full((2, 4000), torch.nan), torch.randn(2, 4000)
    for _ in range(2):  # the second time as well: nothing it left is in the way
        with pytest.raises(UserError, match="validation at step 1 is not finite"):
            train(**settings(validation=(noisy, clean)), checkpoint=tmp_path / "net.safetensors")


# What a record tells of the trainings before ----------------------------------------------------


def test_a_record_keeps_the_plans_of_all_trainings_before(tmp_path):
    paths = [tmp_path / f"{name}.safetensors" for name in ("first", "second", "third")]
    run(paths[0], steps=4)
    run(paths[1], steps=5, model=load_model(paths[0]))
    run(paths[2], steps=6, model=load_pretrained(str(paths[1])))
    record = read_record(paths[2])
    lengths = [each["schedule"]["steps"] for each in (record["plan"], *record["earlier"])]
    assert lengths == [6, 5, 4]
    assert read_record(paths[0])["earlier"] == []


@pytest.mark.slow
def test_plans_are_added_to_an_older_record_only_where_the_weights_agree(tmp_path):
    tool = ROOT / "tools" / "earlier.py"
    first, second, other = (tmp_path / f"{name}.safetensors" for name in ("one", "two", "other"))
    run(first, steps=4)
    run(other, steps=4, damage=Corruption(zero=0.0))
    run(second, steps=5, model=load_model(first))
    expected, weights = read_record(second), load_model(second)
    bare = {key: value for key, value in expected.items() if key != "earlier"}
    write_tensors(second, weights.state_dict(), bare)
    refused = subprocess.run([sys.executable, tool, second, other], capture_output=True, text=True)
    assert refused.returncode and "other weights" in refused.stderr
    assert read_record(second) == bare
    subprocess.run([sys.executable, tool, second, first], check=True)
    assert read_record(second) == expected and same_weights(load_model(second), weights)


# Files that were damaged, and two at once ------------------------------------------------------

DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-50]),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"nothing of the kind" * 9),
    "of another network": lambda path: save_model(path, ConvAutoencoder(2, 16, 4), plan=None),
}


class Stop(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("damaged", DAMAGES)
@pytest.mark.parametrize("file", ["net.state.safetensors", "net.safetensors"])
def test_an_interrupted_training_with_a_damaged_file_starts_over(tmp_path, capsys, file, damaged):
    def stopping(entry):
        raise Stop

    whole, _ = run(tmp_path / "whole.safetensors", steps=8)
    with pytest.raises(Stop):
        run(tmp_path / "net.safetensors", steps=8, progress=stopping)
    DAMAGES[damaged](tmp_path / file)
    model, history = run(tmp_path / "net.safetensors", steps=8)
    assert same_weights(model, whole) and len(history) == 2
    lines = capsys.readouterr().err.splitlines()
    if (file, damaged) == ("net.state.safetensors", "of another network"):
        assert not lines  # not damaged: of another training, which says nothing
    else:
        (line,) = lines
        assert "starting over" in line and "net.state.safetensors" in line


@pytest.mark.parametrize("other", ["plan", "score"])
def test_a_state_beside_the_checkpoint_of_another_training_is_not_used(tmp_path, capsys, other):
    """Neither with a better score of another plan, nor with a worse one of the same plan."""

    def stopping(entry):
        raise Stop

    path = tmp_path / "net.safetensors"
    with pytest.raises(Stop):
        run(path, steps=8, progress=stopping)
    record, state = read_record(path), tmp_path / "net.state.safetensors"
    higher = {"valid_loss": record["valid_loss"] + 1e-3}
    worse = higher if other == "score" else {"plan": {}, "valid_loss": -2.0}
    save_model(path, network(), **{key: record[key] for key in loop.KEPT if key in record} | worse)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    assert loop._State(path, read_record(state)["plan"], model, optimizer)._read() is None
    assert "net.safetensors is not of this training); starting over" in capsys.readouterr().err


@pytest.mark.parametrize("damaged", ["truncated", "empty", "garbage"])
@pytest.mark.parametrize("file", ["net.history.json", "net.safetensors"])
def test_a_finished_training_with_a_damaged_file_is_made_anew(tmp_path, capsys, file, damaged):
    whole, _ = run(tmp_path / "net.safetensors", steps=4)
    DAMAGES[damaged](tmp_path / file)
    model, _ = run(tmp_path / "net.safetensors", steps=4)
    assert same_weights(model, whole)
    (line,) = capsys.readouterr().err.splitlines()
    assert "training it again" in line and file in line


def test_a_second_training_to_the_same_file_waits(tmp_path, monkeypatch):
    path, waiting, lines = tmp_path / "net.safetensors", threading.Event(), []

    def told(line):
        lines.append(line)
        waiting.set()

    monkeypatch.setattr("denoise_lib.progress.say", told)
    thread = threading.Thread(target=run, args=(path, 4))
    with locked(tmp_path / ".net.lock", "training net.safetensors"):
        thread.start()
        assert waiting.wait(60)
        assert not path.exists()
    thread.join(60)
    assert not thread.is_alive() and read_record(path)["finished"]
    assert lines == [f"waiting for process {os.getpid()}, which is training net.safetensors"]


# Devices and processes ------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["16-mixed", "64-half", "64-true"])
def test_other_precisions_are_refused(tmp_path, precision):
    with pytest.raises(UserError, match=precision):
        run(tmp_path / "net.safetensors", precision=precision)


@pytest.mark.parametrize(
    ("capabilities", "used", "expected"),
    [
        ({}, "AVX512", "32-true"),
        ({"avx512_bf16": False, "amx_bf16": False}, "AVX512", "32-true"),
        ({"avx512_bf16": True}, "AVX512", "bf16-mixed"),
        ({"amx_bf16": True}, "AVX512", "bf16-mixed"),
        ({"avx512_bf16": True}, "AVX2", "32-true"),
    ],
)
def test_the_fastest_precision_is_one_that_the_processor_has(
    tmp_path, monkeypatch, capabilities, used, expected
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: used)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert fastest_precision() == expected
    train(**settings(), checkpoint=tmp_path / "net.safetensors", precision="auto")
    assert read_record(tmp_path / "net.safetensors")["plan"]["precision"] == expected


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
if len(sys.argv) > 2:
    sys.ps1 = ">>> "  # as in a notebook's kernel
import torch
from small_corpus import small_corpus
from denoise_lib import Corruption
from denoise_lib.data.crops import CleanCrops, fixed_batch
from denoise_lib.models import ConvAutoencoder
from denoise_lib.training.loop import Schedule, train
torch.manual_seed(0)
corpus = small_corpus()
crops = CleanCrops(corpus, corpus.split("train"), batch=4, seconds=0.3, seed=0, steps=4)
valid = fixed_batch(corpus, corpus.split("valid"), Corruption(), seed=0, seconds=1.0)
schedule = Schedule(4, 5e-3, warmup=1, validate_every=2)
network, path = ConvAutoencoder(4, 64, 16), Path(sys.argv[1])
train(network, crops, Corruption(), valid, schedule, path, label="test")
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(tests=str(Path(__file__).parent)), encoding="utf-8")
    return path


def started(command, **environment):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_a_kernel_beside_several_devices_trains_on_one(script, tmp_path):
    """Lightning's own variable stands for two GPUs, SLURM's for a job of several tasks."""
    slurm = {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "job", "SLURM_JOB_ID": "1"}
    done = started([script, tmp_path / "net.safetensors", "kernel"], LT_DEVICES="2", **slurm)
    assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "net.safetensors")
    assert record["finished"] and record["plan"]["processes"] == 1
