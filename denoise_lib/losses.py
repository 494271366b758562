"""wSDR, as measure and as loss, and other losses to compare with."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from denoise_lib.corruption import Corruption

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
    is finite.

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


def wsdr_loss(estimate: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    """Mean wSDR of a batch, for training; see :func:`wsdr`."""
    return wsdr(estimate, clean, noisy).mean()


def energy_conserving_loss(estimate: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    """``|y - e| + |(x - y) - (x - e)|``, averaged over samples and clips.

    The second term is the error of the noise that the estimate implies. With one output it equals
    the first, so this is twice the L1 loss; it is kept in the paper's form.

    References:
        Rethage, Pons, Serra, "A Wavenet for Speech Denoising", ICASSP 2018, sec. 3.3 (eq. 3).
    """
    speech_error = (clean - estimate).abs()
    noise_error = ((noisy - clean) - (noisy - estimate)).abs()
    return (speech_error + noise_error).mean()


def si_sdr_loss(estimate: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    """Minus the mean SI-SDR of a batch, dB; ``noisy`` has no part in it.

    References:
        Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, eq. 5.
    """
    return -scale_invariant_signal_distortion_ratio(estimate, clean).mean()


def absolute_and_wsdr_loss(estimate: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    """Mean wSDR, and beside it the absolute error over that of the noisy batch: -1 is perfect."""
    error = (clean - estimate).abs().mean() / (clean - noisy).abs().mean().clamp_min(SILENCE)
    return wsdr_loss(estimate, clean, noisy) + error


def touched_loss(estimate: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    """Error of the coefficients, each counted by how far the damage moved it.

    ``sum |N| |E| / sum |N|^2`` with N and E the spectra, in the fixed damage's frames, of what the
    damage changed and of what the estimate leaves wrong: 1 for doing nothing, 0 is perfect.
    """
    procedure = Corruption()
    changed, wrong = procedure.stft(noisy - clean).abs(), procedure.stft(estimate - clean)
    size = (wrong.real.square() + wrong.imag.square() + SILENCE).sqrt()  # finite slope at 0
    return (changed * size).sum() / changed.square().sum().clamp_min(SILENCE)
