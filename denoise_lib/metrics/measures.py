"""Scores of denoised speech, clip by clip: wSDR, SNR, SI-SDR, LSD, PESQ-WB, STOI, DNSMOS."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.audio import (
    perceptual_evaluation_speech_quality,
    scale_invariant_signal_distortion_ratio,
    short_time_objective_intelligibility,
    signal_noise_ratio,
)

from denoise_lib import RATE
from denoise_lib.metrics.dnsmos import dnsmos
from denoise_lib.metrics.wsdr import wsdr

METRICS = ("wsdr", "si_sdr", "pesq", "stoi")
ALL_METRICS = ("wsdr", "snr", "si_sdr", "lsd", "pesq", "stoi", "dnsmos")
SLOW = {"pesq", "stoi", "dnsmos"}  # taken in one process per core
PERFECT = "infinite: a perfect copy"
LSD_FRAME, LSD_HOP = 512, 128  # samples: 32 ms and 8 ms
LSD_RANGE = 60.0  # dB below the clean clip's largest magnitude; what is lower counts as that


def score(
    estimate: Tensor, clean: Tensor, noisy: Tensor, metrics: tuple[str, ...] = METRICS
) -> tuple[dict[str, float | None], dict[str, str]]:
    """All scores of one clip.

    ========  ==========================================  ==============
    wsdr      :func:`denoise_lib.wsdr`                    -1 .. 1, lower is better
    snr       |clean|^2 over |clean - estimate|^2, dB     higher is better
    si_sdr    scale-invariant SDR, dB                     higher is better
    lsd       :func:`log_spectral_distance`, dB           0 and more, lower is better
    pesq      PESQ wide-band (ITU-T P.862.2), MOS-LQO     1.04 .. 4.64, higher is better
    stoi      short-time objective intelligibility        0 .. 1, higher is better
    dnsmos    :func:`denoise_lib.metrics.dnsmos.dnsmos` (OVRL)    about 1 .. 5, higher is better
    ========  ==========================================  ==============

    Shape:
        All waveforms (time,) at 16 kHz.

    Returns:
        Values by name, None where a measure is not defined for the clip or not finite, and the
        reasons for those.

    Raises:
        ValueError: Unknown measure.
    """
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for metric in metrics:
        if reason := _undefined(metric, estimate, clean):
            values[metric], reasons[metric] = None, reason
            continue
        try:
            value = float(_measure(metric, estimate, clean, noisy))
        except Exception as error:  # PESQ's own exceptions derive from Exception directly
            if metric not in ("pesq", "stoi"):
                raise
            value, reasons[metric] = float("nan"), f"{type(error).__name__}: {error}"
        values[metric] = value if value == value else None
        if value != value:
            reasons.setdefault(metric, "not a number")
    return values, reasons


def log_spectral_distance(estimate: Tensor, clean: Tensor) -> Tensor:
    """Mean distance of two log spectra, dB; 0 is perfect.

    The root of the mean square over frequency of ``20 log10(|E| / |Y|)``, averaged over frames, of
    STFTs with a Hann window of 32 ms every 8 ms. Magnitudes more than 60 dB below the clean clip's
    largest are raised to that: without a floor digital silence, whose logarithm has no bound, would
    decide the mean. Pauses count like speech all the same, so the floor matters for noise in them.

    Shape:
        Both (time,).

    Returns:
        (); NaN for a silent clean clip, which has no largest magnitude.

    References:
        Gray, Markel, "Distance Measures for Speech Processing", IEEE Trans. ASSP 24 (5), 1976,
        sec. III, as a root mean square over frequency.
    """
    window = torch.hann_window(LSD_FRAME, dtype=clean.dtype, device=clean.device)
    magnitude = torch.stft(
        torch.stack([estimate, clean]), LSD_FRAME, LSD_HOP, window=window,
        center=True, pad_mode="constant", return_complex=True,
    ).abs()  # fmt: skip
    floor = magnitude[1].max() * 10 ** (-LSD_RANGE / 20)
    level = 20 * magnitude.clamp_min(floor).log10()  # (2, freq, frames)
    return (level[0] - level[1]).square().mean(0).sqrt().mean()


def _undefined(metric: str, estimate: Tensor, clean: Tensor) -> str | None:
    """Why a ratio of energies is no number; torchmetrics would put a small constant in place."""
    if metric in ("snr", "si_sdr", "lsd") and not clean.any():
        return "undefined: the clean clip is silent"
    if metric == "si_sdr" and not estimate.any():
        return "undefined: the estimate is silent"
    if metric in ("snr", "si_sdr") and torch.equal(estimate, clean):
        return PERFECT
    return None


def _measure(metric: str, estimate: Tensor, clean: Tensor, noisy: Tensor) -> Tensor | float:
    if metric == "wsdr":
        return wsdr(estimate, clean, noisy)
    if metric == "snr":
        return signal_noise_ratio(estimate, clean)
    if metric == "si_sdr":
        return scale_invariant_signal_distortion_ratio(estimate, clean)
    if metric == "lsd":
        return log_spectral_distance(estimate, clean)
    if metric == "pesq":
        return perceptual_evaluation_speech_quality(estimate, clean, RATE, "wb")
    if metric == "stoi":
        return short_time_objective_intelligibility(estimate, clean, RATE)
    if metric == "dnsmos":
        return dnsmos(estimate)
    raise ValueError(f"unknown metric {metric!r}: use one of {', '.join(ALL_METRICS)}")
