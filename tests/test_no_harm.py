"""The default network does no harm to clean speech, silence, music, applause, or no speech."""

from pathlib import Path

import numpy as np
import pytest
import torch

from denoise_lib import RATE, audio, enhance
from denoise_lib.metrics.measures import score

CLEAN = Path(__file__).resolve().parents[1] / "audio" / "clean.flac"


def music(seconds=4.0):
    """Chords of plucked strings, one each half second."""
    time = np.arange(int(seconds * RATE)) / RATE
    out = np.zeros(len(time))
    for number, root in enumerate([220, 247, 196, 165, 220, 294, 262, 196]):
        since = time - number * 0.5
        for ratio in (1, 1.25, 1.5):
            for harmonic in range(1, 8):
                tone = np.sin(2 * np.pi * root * ratio * harmonic * since) / harmonic**1.5
                out += np.where(since >= 0, tone * np.exp(-3 * harmonic**0.5 * since.clip(0)), 0)
    return (0.05 * out / out.std()).astype(np.float32)


def applause(seconds=4.0):
    """Some hundred hands: short bursts of noise at random times."""
    draw = np.random.default_rng(0)
    out = np.zeros(int(seconds * RATE))
    for at in draw.integers(0, len(out) - 200, int(300 * seconds)):
        out[at : at + 200] += draw.standard_normal(200) * np.exp(-np.arange(200) / 40)
    return (0.05 * out / out.std()).astype(np.float32)


def rms_db(x):
    return 10 * np.log10(np.square(x).mean() + 1e-20)


def test_clean_speech_keeps_25_db():
    clean = audio.load(CLEAN, quiet=True)
    assert score(enhance(clean), clean, clean, ("si_sdr",))[0]["si_sdr"] >= 25


def gains(heard, left):
    """What each 20 ms was turned up by, dB, but for those that are quiet."""
    size = RATE // 50
    before, after = (np.square(x[: len(x) // size * size]).reshape(-1, size) for x in (heard, left))
    loud = before.mean(1) > 1e-3 * before.mean()
    return 10 * np.log10(after.mean(1)[loud] / before.mean(1)[loud])


@pytest.mark.parametrize("make", [music, applause])
def test_music_and_applause_do_not_get_louder(make):
    """They may go down as noise does, and no 20 ms comes out louder than it went in."""
    heard = make()
    left = enhance(heard)
    assert gains(heard, left).max() < 1.0 and np.abs(left).max() <= 1.05 * np.abs(heard).max()


@pytest.mark.parametrize("make", [music, applause])
def test_with_a_limit_music_and_applause_move_within_it(make):
    """As the help advises where music is to stay: each 20 ms goes down by 6 dB at most."""
    moved = gains(make(), enhance(make(), attenuation_limit=6))
    assert moved.min() > -6.2 and moved.mean() < -1 and moved.max() < 1.0


@pytest.mark.parametrize("level", [0.001, 0.05, 0.3])
def test_a_clip_without_speech_does_not_get_louder(level):
    noise = (level * np.random.default_rng(0).standard_normal(3 * RATE)).astype(np.float32)
    assert rms_db(enhance(noise)) <= rms_db(noise)


def test_silence_stays_silence():
    assert not enhance(torch.zeros(2 * RATE)).any()
    padded = np.pad(audio.load(CLEAN, quiet=True)[:RATE].numpy(), (RATE, RATE))
    left = enhance(padded)
    assert not left[: RATE // 2].any() and not left[-RATE // 2 :].any()
