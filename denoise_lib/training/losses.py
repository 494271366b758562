"""What networks are trained with: wSDR, and other losses to compare with."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from denoise_lib.damage.corruption import Corruption
from denoise_lib.metrics.wsdr import SILENCE, wsdr

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # (estimate, clean, noisy) -> scalar


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


# By the names that networks and commands use.
LOSSES: dict[str, Loss] = {
    "wsdr": wsdr_loss,
    "energy_conserving": energy_conserving_loss,
    "si_sdr": si_sdr_loss,
    "absolute_and_wsdr": absolute_and_wsdr_loss,
    "touched": touched_loss,
}
