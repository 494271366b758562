"""How much an error disturbs a listener, after the model behind PESQ; for training."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from denoise_lib import RATE

N_FFT, HOP, BANDS = 512, 256, 49
LEVEL = 10**8.5  # mean power of a frame of speech at 325 to 3250 Hz, as the standard scales it
MOST = 45.0  # limit of a frame's disturbance
STRETCH = 20  # frames that are aggregated at first, 0.3 s


class _Bands(NamedTuple):
    """Bands of equal width in Bark.

    weights: of each frequency's power in each band, the input filter included, (freq, band).
    width: of each band, Bark, (band,).
    threshold: power that can just be heard, (band,).
    exponent: by which loudness grows with power; a little larger below 4 Bark, (band,).
    speech: 1 for frequencies that the level is taken from, (freq,).
    """

    weights: Tensor
    width: Tensor
    threshold: Tensor
    exponent: Tensor
    speech: Tensor


def raw_pesq(estimate: Tensor, clean: Tensor) -> Tensor:
    """About what PESQ would say before the mapping of P.862.2; differentiable.

    Disturbances are aggregated by the L6 norm over stretches of 20 frames (0.3 s) that overlap by
    half, so that the worst frames count most, and then by the root mean square of the stretches. Up
    to 9 frames at the end are left out, where the standard adds silent ones.

    Args:
        estimate, clean: (batch, time) at 16 kHz, time >= 512.

    Returns:
        (batch,), 4.5 for a copy; about 0.2 more than the program's where that is 2. Gradients
        reach ``estimate``.

    References:
        ITU-T P.862, sec. 10.2; P.862.2 for the filter. As a loss: Martin-Donas et al., "A Deep
        Learning Loss Function Based on the Perceptual Evaluation of the Speech Quality", IEEE SPL
        25 (11), 2018, sec. II.
    """
    first, second = (_over_time(each) for each in disturbances(estimate, clean))
    return 4.5 - 0.1 * first - 0.0309 * second


def disturbances(estimate: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Difference in loudness of each frame, and the same with what was added counted more.

    Spectra on the Bark scale become loudness. What a constant filter or the gain of a frame did is
    made up for in part, small differences do not count, and in the second value what was added to
    something soft counts up to twelve times. This is simpler than the standard: bands are of equal
    width, scale and threshold of hearing are closed forms, gains are not smoothed from frame to
    frame, and nothing is aligned in time. The standard limits a frame's disturbance to 45; here it
    saturates smoothly (30 becomes 28.7, and 45 becomes 37.8), so that a gradient remains.

    Args:
        estimate, clean: (batch, time) at 16 kHz, time >= 512.

    Returns:
        Two of (batch, frames), each in [0, 45]. Gradients reach ``estimate``.
    """
    bands = _bands(clean.device)
    both = torch.cat([clean, estimate])
    window = torch.hann_window(N_FFT, device=both.device)
    spectrum = torch.stft(both, N_FFT, HOP, window=window, center=False, return_complex=True)
    power = (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)
    gain = LEVEL / (power @ bands.speech).mean(-1).clamp_min(1e-12)
    x, y = ((power @ bands.weights) * gain[:, None, None]).chunk(2)
    softness = ((x.sum(-1) + 1e5) / 1e7) ** -0.04  # errors in soft frames count a little more
    x, y = _compensated(x, y, bands.threshold)
    wrong = _audible(_loudness(x, bands), _loudness(y, bands))
    added = ((y + 50) / (x + 50)) ** 1.2
    added = torch.where(added < 3, 0.0, added.clamp_max(12.0))
    first = ((wrong * bands.width).square().sum(-1) + 1e-9).sqrt() * bands.width.sum().sqrt()
    second = (wrong.abs() * added * bands.width).sum(-1)
    return _saturated(first * softness), _saturated(second * softness)


def _saturated(frames: Tensor) -> Tensor:
    """Disturbances of frames, which saturate smoothly at ``MOST``."""
    return frames * (1 + (frames / MOST) ** 4) ** -0.25


def _over_time(frames: Tensor) -> Tensor:
    """Disturbances (batch, frames) as one of a clip, (batch,)."""
    stretches = frames.unfold(-1, min(STRETCH, frames.shape[-1]), STRETCH // 2)
    loudest = (stretches**6).mean(-1) + 1e-9  # the root's slope at 0 stays finite
    return loudest.pow(1 / 3).mean(-1).sqrt()


def _compensated(x: Tensor, y: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Clean bands through the estimate's constant filter; the estimate at the clean level.

    Both (batch, frames, band). A filter may be +-20 dB, a frame's gain -35 to 7 dB; what is made
    up for is taken as given, without a gradient.
    """
    heard = x * (x > 100 * threshold)
    active = (heard.sum(-1, keepdim=True) > 1e7).to(x)
    of_x, of_y = ((each * (heard > 0) * active).sum(1, keepdim=True) for each in (x, y))
    count = 1000 * active.sum(1, keepdim=True).clamp_min(1)
    x = x * ((of_y + count) / (of_x + count)).clamp(0.01, 100).detach()
    of_x, of_y = ((each * (each > threshold)).sum(-1, keepdim=True) + 5e3 for each in (x, y))
    return x, y * (of_x / of_y).clamp(3e-4, 5).detach()


def _loudness(power: Tensor, bands: _Bands) -> Tensor:
    """Zwicker's law: the band's exponent above the threshold, 0 below; sone per Bark."""
    above = (0.5 + 0.5 * power / bands.threshold) ** bands.exponent - 1
    return 0.1866 * (bands.threshold / 0.5) ** bands.exponent * above.clamp_min(0)


def _audible(x: Tensor, y: Tensor) -> Tensor:
    """Difference of two loudnesses less a quarter of the smaller, which masks it."""
    difference = y - x
    return difference.sign() * (difference.abs() - 0.25 * torch.minimum(x, y)).clamp_min(0)


def _bands(device: torch.device) -> _Bands:
    """Bark scale, 6 * asinh(f / 600 Hz), and Terhardt's threshold of hearing.

    References:
        Hermansky, "Perceptual linear predictive analysis of speech", JASA 87 (4), 1990, eq. 3,
        after Schroeder. Terhardt, "Calculating virtual pitch", Hearing Research 1, 1979, eq. 1.
    """
    step = RATE / N_FFT
    frequency = torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * step
    below, above = (
        6 * torch.asinh((frequency + side).clamp_min(0) / 600) for side in (-step / 2, step / 2)
    )
    edges = torch.linspace(0, float(above[-1]), BANDS + 1, dtype=torch.float64)
    inside = torch.minimum(above[:, None], edges[1:]) - torch.maximum(below[:, None], edges[:-1])
    weights = inside.clamp_min(0) / (above - below)[:, None]
    weights *= _wideband(frequency)[:, None]
    bark = (edges[1:] + edges[:-1]) / 2
    exponent = 0.23 * (6 / (bark + 2)).clamp(1, 2) ** 0.15
    khz = 0.6 * torch.sinh(bark / 6)
    threshold_db = 3.64 * khz**-0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
    speech = (frequency >= 325) & (frequency <= 3250)
    parts = (weights, edges.diff(), 10 ** (threshold_db.clamp_max(70) / 10), exponent, speech)
    return _Bands(*(each.to(device, torch.float32) for each in parts))


def _wideband(frequency: Tensor) -> Tensor:
    """Power response of P.862.2's input filter: a high-pass of second order at 16 kHz.

    It is 9 dB in the pass band, 3 dB less at 100 Hz and 0 at 0 Hz, and follows the alignment of
    level, so that sound is louder than in P.862.

    References:
        ITU-T P.862.2 (11/2007) and its reference code, ``WB_InIIR_Hsos_16k``.
    """
    z = torch.exp(-2j * torch.pi * frequency / RATE)
    response = 2.740826 * (1 - z) ** 2 / (1 - 1.9444777 * z + 0.94597794 * z**2)
    return response.abs().square()
