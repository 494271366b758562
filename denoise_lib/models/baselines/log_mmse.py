"""Log-spectral amplitude estimator (Ephraim, Malah) or Wiener filter, on a tracked noise floor."""

from __future__ import annotations

import torch
from torch import Tensor

from denoise_lib import RATE
from denoise_lib.models.base import Denoiser

SMALLEST_POWER = 1e-12  # of a coefficient; speech at the nominal level has about 1


def exp1(x: Tensor) -> Tensor:
    """Exponential integral ``E1(x) = int_x^inf exp(-t) / t dt`` for x > 0; relative error < 1e-6.

    References:
        Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 5.1.53 and 5.1.56.
    """
    # Above 80 the value is below 1e-36 and the powers of x would leave the range of float32.
    small, large = x.clamp_max(1), x.clamp(1, 80)
    near = -torch.log(small) + _polynomial(
        small, 0.00107857, -0.00976004, 0.05519968, -0.24991055, 0.99999193, -0.57721566
    )
    above = _polynomial(large, 1, 8.5733287401, 18.0590169730, 8.6347608925, 0.2677737343)
    below = _polynomial(large, 1, 9.5733223454, 25.6329561486, 21.0996530827, 3.9584969228)
    return torch.where(x <= 1, near, torch.exp(-large) / large * above / below)


def _polynomial(x: Tensor, first: float, *others: float) -> Tensor:
    value = torch.full_like(x, first)
    for coefficient in others:
        value = value * x + coefficient
    return value


def wiener_gain(prior: Tensor, posterior: Tensor) -> Tensor:
    """``prior / (1 + prior)``: the least squared error of the complex coefficient."""
    return prior / (1 + prior)


def log_mmse_gain(prior: Tensor, posterior: Tensor) -> Tensor:
    """``prior / (1 + prior) * exp(E1(v) / 2)`` with ``v = posterior * prior / (1 + prior)``.

    The least squared error of the logarithm of the magnitude.

    Args:
        prior: A-priori SNR, expected power of speech over that of noise (not in dB).
        posterior: A-posteriori SNR, measured power over expected power of noise.

    References:
        Ephraim, Malah, "Speech enhancement using a minimum mean-square error log-spectral amplitude
        estimator", IEEE Trans. ASSP 33(2), 1985, eq. 20.
    """
    wiener = wiener_gain(prior, posterior)
    # As v goes to 0 the gain goes to infinity, and its product with the coefficient to a constant.
    return wiener * torch.exp(0.5 * exp1((wiener * posterior).clamp_min(1e-6)))


GAINS = {"log_mmse": log_mmse_gain, "wiener": wiener_gain}


class NoiseTracker:
    """Power of the noise in each bin, followed from frame to frame (MCRA).

    With P the power of a frame and S that power smoothed over three bins (1/4, 1/2, 1/4) and over
    time (0.8): speech is taken to be present where S exceeds five times the minimum of S over the
    last 1 to 2 s; p is that decision smoothed (0.2). The noise follows
    ``noise <- a noise + (1 - a) P``, ``a = 0.95 + 0.05 p``: it stands still where speech is.

    Args:
        first: Power of the first frame, taken as noise, (batch, freq).
        window: Frames after which the minimum is renewed; 125 hops of 8 ms are 1 s.

    References:
        Cohen, Berdugo, "Noise estimation by minima controlled recursive averaging for robust speech
        enhancement", IEEE Signal Processing Letters 9(1), 2002, with its constants, which
        are for 16 kHz, frames of 512 and a hop of 128 samples.
    """

    SMOOTHING, PRESENCE, NOISE, RATIO = 0.8, 0.2, 0.95, 5.0

    def __init__(self, first: Tensor, window: int = 125) -> None:
        self.noise = first
        self.smooth = self.minimum = self.recent = _over_bins(first)
        self.presence = torch.zeros_like(first)
        self.window, self.frame = window, 0

    def update(self, power: Tensor) -> None:
        """Take in one frame's power, (batch, freq); ``noise`` is then that of the next frame."""
        self.smooth = self.smooth + (1 - self.SMOOTHING) * (_over_bins(power) - self.smooth)
        self.frame += 1
        if self.frame % self.window == 0:
            self.minimum = torch.minimum(self.recent, self.smooth)
            self.recent = self.smooth
        else:
            self.minimum = torch.minimum(self.minimum, self.smooth)
            self.recent = torch.minimum(self.recent, self.smooth)
        present = (self.smooth > self.RATIO * self.minimum).to(power)
        self.presence = self.presence + (1 - self.PRESENCE) * (present - self.presence)
        share = (1 - self.NOISE) * (1 - self.presence)
        self.noise = self.noise + share * (power - self.noise)


def _over_bins(power: Tensor) -> Tensor:
    """Smoothed over three bins, the outermost repeated at the edges; (batch, freq)."""
    padded = torch.cat([power[:, :1], power, power[:, -1:]], dim=1)
    return 0.25 * padded[:, :-2] + 0.5 * power + 0.25 * padded[:, 2:]


class LogMMSE(Denoiser):
    """Every STFT coefficient times a gain from its two signal-to-noise ratios; phase kept.

    ``posterior = P / noise``, ``prior = 0.98 A^2 / noise + 0.02 max(posterior - 1, 0)`` with A the
    estimated magnitude one frame earlier ("decision-directed"), at least ``floor_db``. The noise
    comes from :class:`NoiseTracker`, which knows the past only: a chunk of a long recording is
    run in on ``context``, so it differs slightly from one pass.

    Args:
        gain: "log_mmse" (the default) or "wiener".
        floor_db: Least a-priori SNR, dB; it bounds how far noise is pressed down.

    Shape:
        (batch, time) -> (batch, time), time >= 1, at 16 kHz.

    Raises:
        ValueError: There is no such gain.

    References:
        Ephraim and Malah 1985 (see :func:`log_mmse_gain`): frames of 32 ms with a Hann window and
        three quarters of overlap, the smoothing 0.98; their 1984 paper, eq. 51, for the prior. The
        floor is after Cappé, IEEE Trans. Speech and Audio Processing 2(2), 1994, who takes -15 dB;
        here that and -25 dB give wSDRs within 0.001 of each other.
    """

    name = "log_mmse"
    n_fft, stride = 512, 128
    context = 2 * RATE
    SMOOTHING = 0.98

    def __init__(self, gain: str = "log_mmse", floor_db: float = -25.0) -> None:
        super().__init__()
        if gain not in GAINS:
            raise ValueError(f"LogMMSE: gain must be one of {', '.join(GAINS)}, got {gain!r}")
        self.gain = GAINS[gain]
        self.floor = 10 ** (floor_db / 10)

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        frame = {
            "n_fft": self.n_fft,
            "hop_length": self.stride,
            "window": torch.hann_window(self.n_fft, dtype=noisy.dtype, device=noisy.device),
        }
        spectrum = torch.stft(noisy, **frame, pad_mode="constant", return_complex=True)
        gains = self.gains(spectrum.abs().square())
        return torch.istft(spectrum * gains, **frame, length=noisy.shape[-1])

    def gains(self, power: Tensor) -> Tensor:
        """(batch, freq, frames) -> the same shape; power of the coefficients to their gains."""
        frames = power.clamp_min(SMALLEST_POWER).unbind(-1)
        tracker = NoiseTracker(frames[0])
        estimate, gains = torch.zeros_like(frames[0]), []
        for frame in frames:
            posterior = frame / tracker.noise
            prior = self.SMOOTHING * estimate / tracker.noise
            prior = prior + (1 - self.SMOOTHING) * (posterior - 1).clamp_min(0)
            gains.append(self.gain(prior.clamp_min(self.floor), posterior))
            estimate = gains[-1].square() * frame
            tracker.update(frame)
        return torch.stack(gains, dim=-1)
