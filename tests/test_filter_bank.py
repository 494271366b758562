"""The autoencoder as a filter bank: it copies, and its bands are where they should be."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from denoise_lib.metrics.wsdr import wsdr
from denoise_lib.study.filter_bank import cosine_modulated, prototype

SPEECH = Path(__file__).resolve().parents[1] / "audio" / "clean.flac"


@pytest.mark.parametrize(("bands", "taps"), [(32, 512), (32, 1024), (8, 128)])
def test_prototype_is_nearly_orthogonal_to_its_shifts(bands, taps):
    p = prototype(bands, taps)
    assert np.linalg.norm(p) == pytest.approx(1) and p == pytest.approx(p[::-1])
    shifted = [p[: taps - lag] @ p[lag:] for lag in range(2 * bands, taps, 2 * bands)]
    assert np.abs(shifted).max() < 2e-3


@pytest.mark.parametrize("tanh", [True, False])
def test_it_copies_speech(tanh):
    waveform = torch.from_numpy(soundfile.read(SPEECH, dtype="float32")[0])[None]
    with torch.no_grad():
        copy = cosine_modulated(tanh=tanh)(waveform)
    assert float(wsdr(copy, waveform, waveform)) < -0.9999  # no noise: minus the cosine
    assert float(copy.norm() / waveform.norm()) == pytest.approx(1, abs=0.01)


def test_bands_are_evenly_spaced():
    weight = cosine_modulated().encoder.weight.detach()[:, 0]
    peaks = torch.fft.rfft(weight, 4096).abs().argmax(1)
    centres = (torch.arange(32) + 0.5) * 2048 / 32
    # The outermost bands meet their mirror image at 0 and at half the rate: not looked at.
    assert (peaks - centres)[1:-1].abs().max() <= 16
