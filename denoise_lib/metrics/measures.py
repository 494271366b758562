"""Scores of denoised speech for each clip: the table of measures, and how to compute them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.audio import (
    perceptual_evaluation_speech_quality,
    scale_invariant_signal_distortion_ratio,
    short_time_objective_intelligibility,
    signal_noise_ratio,
)

from denoise_lib import RATE
from denoise_lib.audio import resample
from denoise_lib.metrics.dnsmos import dnsmos
from denoise_lib.metrics.wsdr import wsdr

PERFECT = "infinite: a perfect copy"
LSD_FRAME, LSD_HOP = 0.032, 0.008  # s
LSD_RANGE = 60.0  # dB below the clean clip's largest magnitude; what is lower counts as that


def log_spectral_distance(estimate: Tensor, clean: Tensor, rate: int = RATE) -> Tensor:
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
    frame, hop = round(LSD_FRAME * rate), round(LSD_HOP * rate)
    window = torch.hann_window(frame, dtype=clean.dtype, device=clean.device)
    magnitude = torch.stft(
        torch.stack([estimate, clean]),
        frame,
        hop,
        window=window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    ).abs()
    floor = magnitude[1].max() * 10 ** (-LSD_RANGE / 20)
    level = 20 * magnitude.clamp_min(floor).log10()  # (2, freq, frames)
    return (level[0] - level[1]).square().mean(0).sqrt().mean()


def _silent_clean(estimate: Tensor, clean: Tensor) -> str | None:
    return None if clean.any() else "undefined: the clean clip is silent"


def _not_finite(estimate: Tensor, clean: Tensor) -> str | None:
    """Some measures would make a number of it all the same, STOI even a very good one."""
    if not estimate.isfinite().all():
        return "undefined: the estimate is not finite"
    return None if clean.isfinite().all() else "undefined: the clean clip is not finite"


class _NoScoreError(Exception):
    """A measure has none for a clip; the text says why."""


def _pesq(estimate: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    from pesq import BufferTooShortError, NoUtterancesError

    try:
        return perceptual_evaluation_speech_quality(estimate, clean, RATE, "wb")
    except NoUtterancesError:
        raise _NoScoreError("PESQ finds no speech in it") from None
    except BufferTooShortError:
        raise _NoScoreError("PESQ needs a quarter of a second") from None


def _stoi(estimate: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    """STOI; pystoi would warn, and put 1e-5 in the place of a score, where speech is too short."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return short_time_objective_intelligibility(estimate, clean, RATE)
        except RuntimeWarning:
            raise _NoScoreError("STOI needs 0.4 s of speech without its pauses") from None


def _infinite(estimate: Tensor, clean: Tensor) -> str | None:
    """Why a ratio of energies is no number; torchmetrics would put a small constant in place."""
    perfect = PERFECT if torch.equal(estimate, clean) else None
    return _silent_clean(estimate, clean) or perfect


def _scale_free(estimate: Tensor, clean: Tensor) -> str | None:
    silent = None if estimate.any() else "undefined: the estimate is silent"
    return _silent_clean(estimate, clean) or silent or _infinite(estimate, clean)


@dataclass(frozen=True)
class Measure:
    """How one score of a clip is taken.

    Args:
        take: (estimate, clean, noisy), each (time,), to a number.
        undefined: (estimate, clean) to the reason why there is no score, or None.
        fails: Whether ``take`` refuses some clips by an exception, which is then the reason.
        slow: Whether many clips are worth a process for each core.
        usual: Whether it is taken where nobody chooses.
        only_rate: The sample rate at which it is defined, to which waveforms are brought; None
            where it is taken at their own.
        rated: Whether ``take`` wants their rate as its last argument.
    """

    take: Callable[..., Tensor | float]
    undefined: Callable[[Tensor, Tensor], str | None] = lambda estimate, clean: None
    fails: bool = False
    slow: bool = False
    usual: bool = False
    only_rate: int | None = None
    rated: bool = False


# How each is written, and which way is better, is said in names.METRICS under the same keys.
MEASURES = {
    "wsdr": Measure(wsdr, usual=True),  # -1 .. 1
    # |clean|^2 over |clean - estimate|^2, dB.
    "snr": Measure(lambda estimate, clean, _: signal_noise_ratio(estimate, clean), _infinite),
    "si_sdr": Measure(
        lambda estimate, clean, _: scale_invariant_signal_distortion_ratio(estimate, clean),
        _scale_free,
        usual=True,
    ),
    "lsd": Measure(
        lambda estimate, clean, _, rate: log_spectral_distance(estimate, clean, rate),
        _silent_clean,
        rated=True,
    ),
    # PESQ wide-band (ITU-T P.862.2), MOS-LQO, 1.04 .. 4.64.
    "pesq": Measure(_pesq, fails=True, slow=True, usual=True, only_rate=RATE),
    # 0 .. 1.
    "stoi": Measure(_stoi, fails=True, slow=True, usual=True, only_rate=RATE),
    # OVRL, about 1 .. 5.
    "dnsmos": Measure(lambda estimate, *_: dnsmos(estimate), slow=True, only_rate=RATE),
}
ALL_METRICS = tuple(MEASURES)
METRICS = tuple(name for name, measure in MEASURES.items() if measure.usual)


def any_slow(metrics: tuple[str, ...]) -> bool:
    """Whether one of these measures is slow."""
    return any(MEASURES[metric].slow for metric in metrics)


def brought_down(metrics: Iterable[str], rate: int) -> list[str]:
    """Those of some measures for which waveforms of a rate are resampled."""
    only = {name: each.only_rate for name, each in MEASURES.items() if each.only_rate}
    return [each for each in metrics if only.get(each, rate) != rate]


def score(
    estimate: Tensor,
    clean: Tensor,
    noisy: Tensor,
    metrics: tuple[str, ...] = METRICS,
    rate: int = RATE,
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Some scores of one clip.

    PESQ, STOI and DNSMOS are taken at 16 kHz: of waveforms at another rate, resampled ones.

    Args:
        metrics: Names of the measures.
        rate: Samples per second of the waveforms.

    Shape:
        All waveforms (time,).

    Returns:
        Values by name, None where a measure is not defined for the clip or not a number, and the
        reasons for those.

    Raises:
        ValueError: There is no such measure.
    """
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for metric in metrics:
        if metric not in MEASURES:
            raise ValueError(f"unknown metric {metric!r}: use one of {', '.join(ALL_METRICS)}")
        measure = MEASURES[metric]
        value, reason = None, _not_finite(estimate, clean) or measure.undefined(estimate, clean)
        if not reason:
            try:
                waveforms = [
                    resample(each, rate, measure.only_rate or rate)
                    for each in (estimate, clean, noisy)
                ]
                value = float(measure.take(*waveforms, *([rate] if measure.rated else [])))
            except _NoScoreError as error:
                reason = f"undefined: {error}"
            except Exception as error:  # PESQ's own exceptions derive from Exception directly
                if not measure.fails:
                    raise
                reason = f"{type(error).__name__}: {error}"
            else:
                reason = "not a number" if math.isnan(value) else None
        values[metric] = None if reason else value
        if reason:
            reasons[metric] = reason
    return values, reasons
