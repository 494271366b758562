"""What networks are trained with: wSDR, and other losses to compare with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from denoise_lib.damage.corruption import Corruption
from denoise_lib.metrics.wsdr import SILENCE, wsdr
from denoise_lib.training.disturbance import raw_pesq
from denoise_lib.training.intelligibility import stoi

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # (estimate, clean, noisy) -> scalar
LOSS_FRAMES = (512, 1280)  # samples; hops are half of them


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


def outside_loss(estimate: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    """Level of the error re the speech, compressed spectral errors, and what PESQ and STOI measure.

    Per clip ``2 log10(|y - e|^2 / |y|^2 + 10^-3.5)``, which stops rewarding at 35 dB, so that clean
    clips do not rule a batch; and in two frames, Hann's, 30 times the mean square error of
    magnitudes to the power of 0.3, twice as much where they are too small, and 10 times that of the
    complex values with such magnitudes. Too small is worse: it takes soft speech away. All are
    taken at the speech's own level, -60 dBFS at least; ``noisy`` has no part in it. Two perceptual
    terms follow: twice what the error takes from PESQ's raw score, ``4.5 - raw_pesq``, and ten
    times what it takes from STOI, ``1 - stoi``.

    References:
        The bounded ratio: Wisdom et al., "Unsupervised Sound Separation Using Mixture Invariant
        Training", NeurIPS 2020, eq. 2. Compressed spectra: Braun, Tashev, "A consolidated view of
        loss functions for supervised deep learning-based speech enhancement", TSP 2021, eq. 7.
    """
    level = clean.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-3)
    estimate, clean = estimate / level, clean / level
    error = (estimate - clean).square().mean(-1)
    ratio = error / (clean.square().mean(-1) + 1e-6).clamp_max(1.0)
    loss = 2 * (ratio + 10**-3.5).log10().mean()
    for n_fft in LOSS_FRAMES:
        window = torch.hann_window(n_fft, device=clean.device)
        frame = {"n_fft": n_fft, "hop_length": n_fft // 2, "window": window}
        both = torch.cat([estimate, clean])
        spectrum = torch.stft(both, **frame, pad_mode="constant", return_complex=True)
        spectrum = spectrum * window.square().sum().rsqrt()
        power = spectrum.real.square() + spectrum.imag.square() + 1e-6
        wrong = torch.sub(*(power**0.15).chunk(2))
        parts = (torch.view_as_real(spectrum) * power[..., None] ** -0.35).chunk(2)
        costs = wrong.square() * (1 + (wrong < 0).to(wrong))
        loss = loss + 30 / len(LOSS_FRAMES) * costs.mean()
        loss = loss + 10 / len(LOSS_FRAMES) * (parts[0] - parts[1]).square().sum(-1).mean()
    loss = loss + 2 * (4.5 - raw_pesq(estimate, clean).mean())
    return loss + 10 * (1 - stoi(estimate, clean).mean())


# By the names that networks and commands use.
LOSSES: dict[str, Loss] = {
    "wsdr": wsdr_loss,
    "energy_conserving": energy_conserving_loss,
    "si_sdr": si_sdr_loss,
    "absolute_and_wsdr": absolute_and_wsdr_loss,
    "touched": touched_loss,
    "outside": outside_loss,
}
