"""Tools beside the library: noise that is in two splits, the mean of two networks' weights."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from denoise_lib.models import ConvAutoencoder
from denoise_lib.models.checkpoints import load_model, read_record, save_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import mean_weights, overlap


def test_a_recording_that_is_in_another_is_found_and_tones_are_not(monkeypatch):
    draw, time = np.random.default_rng(0), np.arange(64000) / 16000
    monkeypatch.setattr(overlap, "BLOCK", 1 << 15)
    wind = np.cumsum(draw.standard_normal((4, 64000)), axis=1)  # low frequencies prevail
    wind -= wind.mean(axis=1, keepdims=True)
    tone = np.sin(2 * np.pi * 500 * time)
    heard = {"wind": wind[0], "sea": wind[1], "tone": tone + 0.1 * draw.standard_normal(64000)}
    held = {
        "part of the sea, softer": 0.1 * wind[1][20000:50000] + 0.01 * wind[2][:30000],
        "another wind": wind[3],
        "a tone in wind": wind[2] + 0.1 * tone,
    }
    found = list(overlap.alike(held, heard))
    assert found[0][1:] == ("part of the sea, softer", "sea") and found[0][0] > 0.9
    assert all(value < overlap.ALIKE for value, *_ in found[1:])
    assert overlap.closer(held["part of the sea, softer"], heard["sea"]) > 0.9
    assert overlap.closer(held["another wind"], heard["wind"]) < overlap.ALIKE
    assert overlap.closer(held["a tone in wind"], heard["tone"]) < overlap.ALIKE


def test_mean_weights_lie_halfway_and_say_so(tmp_path):
    networks = [ConvAutoencoder(2, 16, 4) for _ in range(2)]
    with torch.no_grad():
        for network, value in zip(networks, (1.0, 2.0), strict=True):
            for weights in network.parameters():
                weights.fill_(value)
    before, after, mean = (tmp_path / f"{name}.safetensors" for name in ("one", "two", "mean"))
    for path, network in zip((before, after), networks, strict=True):
        save_model(path, network, plan={"seed": 0})
    mean_weights.mean_weights(before, after, mean)
    made = load_model(mean)
    assert all((weights == 1.5).all() for weights in made.parameters())
    assert read_record(mean) == read_record(after) | {"mean": True}
    save_model(after, ConvAutoencoder(2, 8, 4), plan={"seed": 0})
    with pytest.raises(SystemExit, match="not the same kind"):
        mean_weights.mean_weights(before, after, mean)
