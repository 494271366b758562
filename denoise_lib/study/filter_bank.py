"""A cosine-modulated filter bank: the autoencoder's weights, written down, not learned."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.signal import firwin

from denoise_lib.models import ConvAutoencoder

BETA = 10.0  # of the Kaiser window: side lobes some 100 dB down
SMALL = 0.1  # gain before the tanh and its inverse after it: tanh(u) is u to within u^3 / 3


def prototype(bands: int, taps: int) -> np.ndarray:
    """Low-pass whose cosine modulations are nearly a perfect-reconstruction filter bank.

    Perfect reconstruction asks that the prototype's autocorrelation vanishes at every multiple of
    ``2 bands`` but 0. A Kaiser-windowed low-pass has one free number, its cut-off; the one that
    comes nearest is searched.

    Args:
        bands: Number of bands, which is also the decimation.
        taps: Length in samples, more than ``2 bands``.

    Returns:
        (taps,), of norm 1.

    References:
        Lin and Vaidyanathan, "A Kaiser Window Approach for the Design of Prototype Filters of
        Cosine Modulated Filterbanks", IEEE Signal Processing Letters 5(6), 1998, eq. 5.
    """

    def filtered(cutoff: float) -> np.ndarray:
        taps_of = firwin(taps, cutoff, window=("kaiser", BETA))
        return taps_of / np.linalg.norm(taps_of)

    def error(cutoff: float) -> float:
        p = filtered(cutoff)
        return np.abs(np.correlate(p, p, "full")[taps - 1 :: 2 * bands][1:]).max()

    middle = 1 / (2 * bands)  # of the band, re half the sample rate
    # Near twice the width there is a second minimum, where neighbours but one overlap too.
    found = minimize_scalar(
        error, bounds=(0.95 * middle, 1.4 * middle), method="bounded", options={"xatol": 1e-9}
    )
    return filtered(found.x)


def cosine_modulated(taps: int = 512, tanh: bool = True) -> ConvAutoencoder:
    """The one-layer autoencoder of the study with the weights of a filter bank that copies.

    32 bands at a stride of 32, as in MPEG-1 audio, with a prototype of ``taps`` samples in the
    middle of the 2048 that the layer has.

    References:
        Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 8.4.
    """
    model = ConvAutoencoder(tanh=tanh)
    bands, kernel = model.config["channels"], model.config["kernel"]
    band, time = np.arange(bands)[:, None], np.arange(taps)
    phase = (2 * band + 1) * np.pi / (2 * bands) * (time - (taps - 1) / 2)
    filters = np.cos(phase + (-1.0) ** band * np.pi / 4) * prototype(bands, taps)
    # Each band's energy is that of a cosine, half the prototype's, and each of the `bands` channels
    # keeps one sample in `bands`: sqrt(2) makes analysis and synthesis together a gain of 1.
    filters *= np.sqrt(2)
    before = (kernel - taps) // 2
    weight = np.pad(filters, ((0, 0), (before, kernel - taps - before)))[:, None]
    weight = torch.from_numpy(weight).to(torch.float32)
    with torch.no_grad():
        model.encoder.weight.copy_(weight * SMALL)
        model.decoder.weight.copy_(weight / SMALL)
        model.encoder.bias.zero_()
        model.decoder.bias.zero_()
    return model
