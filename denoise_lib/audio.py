"""Read and write audio files; mix down, resample and level waveforms."""

from __future__ import annotations

from math import ceil, gcd
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from denoise_lib import RATE
from denoise_lib.errors import UserError
from denoise_lib.files import Sink, atomic
from denoise_lib.progress import say
from denoise_lib.recordings.read import Survey, blocks, survey, told_length
from denoise_lib.recordings.slices import opened

LEVEL = 0.05  # RMS re full scale that clips are brought to
MAX_CHANNELS = 32  # more "channels" than this are samples in the wrong axis


def load(path: str | Path, rate: int = RATE, quiet: bool = False) -> Tensor:
    """Read any audio file, or the sound of a film, as a mono waveform.

    Down-mixing, resampling and what is wrong with the file are announced on stderr unless
    ``quiet``. A mix leaves silent channels out, and turns channels of opposite phase around.

    Args:
        path: The file; its content decides how it is read, not its suffix.
        rate: Samples per second wanted.
        quiet: Whether to say nothing.

    Returns:
        float32 waveform (time,), full scale = 1.

    Raises:
        UserError: No such file, not audio, no samples in it, or samples that are not finite.
    """
    found, samples = _read(path)
    if not quiet and found.notes:
        say(f"{path}: {'; '.join(found.notes)}")
    if not quiet and found.channels > 1:
        say(f"{path}: {found.channels} channels mixed down to one")
    if not quiet and found.rate != rate:
        say(f"{path}: resampled from {found.rate} to {rate} Hz")
    mono = samples @ found.meter.weights() if found.channels > 1 else samples[:, 0]
    return resample(torch.from_numpy(mono), found.rate, rate)


def read(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """Samples of a file as they are: float32 array (time, channels), and their rate in Hz.

    Raises:
        UserError: As for :func:`load`.
    """
    found, samples = _read(path)
    return samples, found.rate


def _read(path: str | Path) -> tuple[Survey, NDArray[np.float32]]:
    with opened(path) as file:
        found = survey(file, path)
        return found, np.concatenate(list(blocks(found)))


def length(path: str | Path, rate: int = RATE) -> int:
    """Samples that ``load(path, rate)`` will return; read from the header where it is exact.

    Raises:
        UserError: As for :func:`load`.
    """
    frames, found = told(path)
    return ceil(frames * rate / found)


def told(path: str | Path) -> tuple[int, int]:
    """Samples of a recording at its own rate, and that rate; from the header where it is exact.

    Raises:
        UserError: As for :func:`load`.
    """
    with opened(path) as file:
        if by_header := told_length(file):
            return by_header
        measured = survey(file, path)  # compressed formats only estimate their length
        return measured.frames, measured.rate


def channels_last(samples: ArrayLike | Tensor) -> NDArray[np.float32]:
    """float32 samples (time, channels) from an array (n,), (n, channels) or (channels, n).

    Which axis holds the channels is told by length.

    Raises:
        UserError: Samples that are no floats, any other shape, or one where both axes could be the
            channels.
    """
    try:
        given = samples if isinstance(samples, Tensor) else np.array(samples)
        x = torch.as_tensor(given).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"these are no samples of a waveform: {error}") from None
    if not x.is_floating_point():
        raise UserError(
            f"a waveform holds floats in [-1, 1], got {str(x.dtype).removeprefix('torch.')}"
        )
    x = x.to(torch.float32)
    if x.ndim == 1 and len(x):
        return x[:, None].numpy()
    if (
        x.ndim != 2
        or not x.numel()
        or min(x.shape) > MAX_CHANNELS
        or (x.shape[0] == x.shape[1] > 1)
    ):
        raise UserError(
            f"expected samples shaped (n,), (n, channels) or (channels, n), got {tuple(x.shape)}"
        )
    return (x if x.shape[0] >= x.shape[1] else x.T).numpy()  # (time, channels)


def resample(waveform: Tensor, source: int, target: int) -> Tensor:
    """Waveform (time,) or (batch, time) from ``source`` to ``target`` samples per second."""
    if source == target:
        return waveform
    if max(source, target) // gcd(source, target) > 2000:
        # torchaudio's filter bank grows with the product of the two reduced rates: gigabytes for
        # 44101 Hz. What soxr needs does not grow with them, whatever a damaged header says.
        import soxr

        samples = np.ascontiguousarray(waveform.numpy().T, np.float32)  # (time, batch)
        out = torch.from_numpy(soxr.resample(samples, source, target).T.copy())
        length = ceil(waveform.shape[-1] * target / source)
        return torch.nn.functional.pad(out[..., :length], (0, max(0, length - out.shape[-1])))
    from torchaudio.functional import resample as by_torchaudio

    return by_torchaudio(waveform, source, target)


def to_level(waveform: Tensor, rms: float = LEVEL, by: int | None = None) -> Tensor:
    """Scale a waveform, or each of a batch, to an RMS level re full scale.

    Usually 0.05, -26 dBFS, the nominal speech level of ITU-T P.56 (here over the whole clip, pauses
    included). Silence has no level and is returned unchanged.

    Args:
        by: Row of a batch whose level counts: all rows get its gain. None: each gets its own.
    """
    measured = waveform if by is None else waveform[by]
    level = measured.square().mean(dim=-1, keepdim=True).sqrt()
    return torch.where(level > 0, waveform * (rms / level.clamp_min(1e-12)), waveform)


def save(path: str | Path, waveform: ArrayLike | Tensor, rate: int = RATE) -> None:
    """Write a waveform (time,) as 16-bit wav or flac, whole or not at all.

    Samples outside [-1, 1] are clipped and counted in a line on stderr.

    Raises:
        UserError: Not one axis, no samples, samples that are not finite, or another suffix.
    """
    import soundfile

    path = Path(path)
    if path.suffix.lower() not in (".wav", ".flac"):
        raise UserError(
            f"{path}: audio is written as .wav or .flac, not as {path.suffix or 'no suffix'}"
        )
    x = torch.as_tensor(waveform).detach().cpu()
    if x.ndim != 1 or not len(x):
        raise UserError(
            f"{path}: expected a waveform shaped (time,) with samples in it, got {tuple(x.shape)}"
        )
    if not torch.isfinite(x).all():
        raise UserError(
            f"{path}: not written, {int((~torch.isfinite(x)).sum())} samples are not finite"
        )
    if outside := int((x.abs() > 1).sum()):
        say(f"{path}: {outside} of {len(x)} samples clipped to full scale")
    try:
        with atomic(path) as temporary, open(temporary, "wb") as file, Sink(file) as sink:
            soundfile.write(
                sink, to_int16(x), rate, subtype="PCM_16", format=path.suffix[1:].upper()
            )
    except (soundfile.SoundFileError, OSError) as error:
        raise UserError(f"{path} cannot be written: {error}") from None


def to_int16(x: ArrayLike | Tensor) -> NDArray[np.int16]:
    """Samples re full scale as int16, n / 32768 as n; what lies outside is clipped."""
    return np.clip(np.round(np.asarray(x) * 32768), -32768, 32767).astype(np.int16)
