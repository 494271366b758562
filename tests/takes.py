"""Find half seconds that two recordings share: the same take, not just the same words."""

import librosa
import numpy as np
from scipy import fft

from denoise_lib import RATE, audio

HOP, WINDOW, PATCH = 80, 4000, 50  # samples at 8 kHz; PATCH: hops in half a second
MEL = librosa.filters.mel(sr=8000, n_fft=256, n_mels=24, fmin=100, fmax=3800).astype(np.float32)


class Take:
    """A clip at 8 kHz and a description of each half second of it, 10 ms apart."""

    def __init__(self, name, waveform):
        self.name = name
        x = audio.resample(waveform, RATE, 8000).numpy()
        self.samples = np.diff(x, prepend=0).astype(np.float32)  # the spectrum of speech, flatter
        padded = np.pad(self.samples, (0, 256))
        frames = np.lib.stride_tricks.sliding_window_view(padded, 256)[::HOP]
        power = np.abs(fft.rfft(frames * np.hanning(256).astype(np.float32))) ** 2
        mel = np.log(power @ MEL.T + 1e-5)  # (frames, mel)
        patches = np.lib.stride_tricks.sliding_window_view(mel, PATCH, axis=0)
        smooth = fft.dctn(patches, axes=(1, 2), norm="ortho")[:, :12, :14].reshape(len(patches), -1)
        smooth = smooth[:, 1:].astype(np.float32)  # without the level
        size = np.linalg.norm(smooth, axis=1, keepdims=True)
        self.loud = size[:, 0] > 15
        self.patches = smooth / np.maximum(size, 1e-3)


def correlation(take, at, other, near):
    """Largest normalised correlation of a half second of `take` with `other` near a hop of it."""
    part = take.samples[at * HOP : at * HOP + WINDOW]
    start = max(0, near * HOP - 240)
    place = other.samples[start : near * HOP + WINDOW + 240]
    if len(part) < WINDOW or len(place) < WINDOW:
        return 0.0
    product = np.abs(np.correlate(place, part, "valid"))
    energy = np.convolve(place**2, np.ones(WINDOW, np.float32), "valid")
    return float((product / np.sqrt(energy * np.square(part).sum() + 1e-9)).max())


def best_match(take, others):
    """(correlation, name) of the half second of `take` that is most like one of the `others`."""
    best = 0.0, ""
    starts = np.flatnonzero(take.loud)[::25]
    for other in others:
        likeness = take.patches[starts] @ other.patches.T
        for at, row in zip(starts, likeness, strict=True):
            near = int(row.argmax())
            if row[near] > 0.9:
                best = max(best, (correlation(take, at, other, near), other.name))
    return best
