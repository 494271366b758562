"""The training loop: it learns, keeps its best, resumes to the same result, survives NaN."""

import json

import pytest
import torch
from small_corpus import small_corpus

from denoise_lib import Corruption
from denoise_lib.data.crops import CleanCrops, fixed_batch
from denoise_lib.errors import UserError
from denoise_lib.models import ConvAutoencoder, DCUnet, UNet
from denoise_lib.models.base import find
from denoise_lib.models.checkpoints import load_model, load_pretrained, read_record, save_model
from denoise_lib.names import MODELS
from denoise_lib.training.loop import Schedule, train, validate
from denoise_lib.training.losses import wsdr_loss

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


def test_a_few_broken_steps_are_skipped_and_many_stop(tmp_path):
    calls = {"n": 0}

    def sometimes(estimate, clean, noisy):
        calls["n"] += 1
        broken = float("nan") if calls["n"] in (3, 4) else 1.0
        return broken * wsdr_loss(estimate, clean, noisy)

    model, history = run(tmp_path / "net.safetensors", loss=sometimes)
    assert history[-1]["skipped"] == 2
    assert all(torch.isfinite(each).all() for each in model.state_dict().values())

    def always(estimate, clean, noisy):
        return torch.nan * wsdr_loss(estimate, clean, noisy)

    with pytest.raises(UserError, match="not finite for 10 steps"):
        run(tmp_path / "other.safetensors", loss=always)


def test_margin_leaves_the_ends_of_a_crop_out(tmp_path):
    lengths = set()

    def watching(estimate, clean, noisy):
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


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "no.safetensors").write_bytes(b"nothing of the kind")
    for path in ("no.safetensors", "missing.safetensors"):
        with pytest.raises(UserError, match=path):
            load_model(tmp_path / path)
    with pytest.raises(UserError, match="'dcunet-mars'"):
        load_pretrained("dcunet-mars")


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    save_model(path, ConvAutoencoder(2, 16, 4), seed=1)
    monkeypatch.setattr("safetensors.torch.save_file", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_model(path, ConvAutoencoder(2, 16, 4), seed=2)
    assert read_record(path)["seed"] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["net.safetensors"]
