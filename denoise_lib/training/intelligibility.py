"""How much of speech can be understood, by STOI; for training."""

from __future__ import annotations

import torch
from torch import Tensor

from denoise_lib import RATE

FRAME, HOP, N_FFT = 410, 205, 512  # samples at 16 kHz: STOI's 25.6 ms and 12.8 ms
BANDS, LOWEST = 15, 150.0  # thirds of an octave; centre of the first, Hz
SEGMENT = 30  # frames that are correlated, 0.38 s
SILENT = 40.0  # dB below the loudest frame of the clean speech; softer frames do not count
MOST = 1 + 10 ** (15 / 20)  # times the clean envelope that a degraded one is clipped to
FLOOR = 1e-9  # keeps slopes finite at 0; of powers at a level of 1


def stoi(estimate: Tensor, clean: Tensor) -> Tensor:
    """STOI without the change to 10 kHz; differentiable.

    Args:
        estimate, clean: (batch, time) at 16 kHz, time >= 512.

    Returns:
        (batch,), 1 for a copy and 0 for silence; within about .03 of what pystoi says, and closer
        where little is wrong. It is 0 for a clip that has fewer than 30 frames of speech.

    References:
        Taal et al., "An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy
        Speech", IEEE TASLP 19 (7), 2011, sec. II.
    """
    window = torch.hann_window(FRAME, device=clean.device)
    level = clean.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-4)
    both = torch.cat([clean / level, estimate / level])
    spectrum = torch.stft(both, N_FFT, HOP, FRAME, window, center=False, return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    loudness = power.chunk(2)[0].sum(1)  # (batch, frames)
    heard = loudness > 10 ** (-SILENT / 10) * loudness.amax(-1, keepdim=True)
    envelope = (_bands(power) @ power + FLOOR).sqrt() - FLOOR**0.5
    # Silent frames are taken out: those that are heard move together, to the front.
    order = heard.logical_not().to(torch.uint8).argsort(dim=-1, stable=True)
    order = order[:, None].expand(-1, BANDS, -1)
    x, y = (each.gather(-1, order) for each in envelope.chunk(2))
    segment = min(SEGMENT, x.shape[-1])
    x, y = (each.unfold(-1, segment, 1) for each in (x, y))  # (batch, band, segments, frames)
    y = torch.minimum(y * (_norm(x) / _norm(y)), MOST * x)
    x, y = (each - each.mean(-1, keepdim=True) for each in (x, y))
    correlation = ((x / _norm(x)) * (y / _norm(y))).sum(-1).mean(1)  # (batch, segments)
    starts = torch.arange(correlation.shape[-1], device=clean.device)
    counts = starts + SEGMENT <= heard.sum(-1, keepdim=True)
    return (correlation * counts).sum(-1) / counts.sum(-1).clamp_min(1)


def _norm(x: Tensor) -> Tensor:
    """Length over the last dimension, (..., 1), with a finite slope at 0."""
    return (x.square().sum(-1, keepdim=True) + FLOOR).sqrt()


def _bands(like: Tensor) -> Tensor:
    """Which frequencies each third of an octave takes in, (band, freq), on ``like``'s device."""
    frequency = torch.arange(N_FFT // 2 + 1) * (RATE / N_FFT)
    centre = LOWEST * 2 ** (torch.arange(BANDS) / 3)
    edges = torch.stack([centre * 2 ** (-1 / 6), centre * 2 ** (1 / 6)])
    low, high = (edges[..., None] - frequency).abs().argmin(-1)[..., None]
    place = torch.arange(len(frequency))
    return ((place >= low) & (place < high)).to(like)
