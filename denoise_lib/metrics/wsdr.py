"""wSDR: the study's measure, and what most networks are trained on."""

from __future__ import annotations

import torch
from torch import Tensor

# Products of two signals' energies below this count as silence. It bounds the gradient there; at
# the nominal speech level one sample's energy squared is already (0.05 ** 2) ** 2 = 6e-6.
SILENCE = 1e-14


def _negative_cosine(u: Tensor, v: Tensor) -> Tensor:
    """-<u, v> / (|u| |v|) over time, (batch, time) -> (batch,); 0 where one of them is silent."""
    energies = u.square().sum(-1) * v.square().sum(-1)
    return -(u * v).sum(-1) / energies.clamp_min(SILENCE).sqrt()


def wsdr(estimate: Tensor, clean: Tensor, noisy: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Weighted signal-to-distortion ratio of each clip; -1 is perfect, lower is better.

    With ``y`` clean, ``x`` noisy and ``e`` the estimate:
    ``a d(y, e) + (1 - a) d(x - y, x - e)``, ``d(u, v) = -<u, v> / (|u| |v|)``,
    ``a = |y|^2 / (|y|^2 + |x - y|^2)``. A term whose signal is silent counts 0, and its gradient
    is finite. It does not depend on a common volume; below a level of about -115 dBFS, where
    energies come near those that count as silence, it is drawn towards 0.

    Args:
        estimate: Denoised waveform.
        clean: Reference waveform.
        noisy: What the estimate was made from.
        lengths: Samples of each clip that count, (batch,), for batches padded at the end.

    Shape:
        All three (time,) or (batch, time).

    Returns:
        Values in [-1, 1], () or (batch,).

    Raises:
        ValueError: The shapes differ.

    References:
        Choi et al., "Phase-aware Speech Enhancement with Deep Complex U-Net", ICLR 2019, sec. 3.3.
    """
    if not estimate.shape == clean.shape == noisy.shape:
        raise ValueError(
            "wsdr: estimate, clean and noisy must have one shape, got "
            f"{tuple(estimate.shape)}, {tuple(clean.shape)}, {tuple(noisy.shape)}"
        )
    if lengths is not None:
        inside = torch.arange(clean.shape[-1], device=clean.device) < lengths[:, None]
        estimate, clean, noisy = (each * inside for each in (estimate, clean, noisy))
    noise = noisy - clean
    speech_energy, noise_energy = clean.square().sum(-1), noise.square().sum(-1)
    weight = speech_energy / (speech_energy + noise_energy).clamp_min(SILENCE)
    return weight * _negative_cosine(clean, estimate) + (1 - weight) * _negative_cosine(
        noise, noisy - estimate
    )
