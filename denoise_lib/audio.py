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
from denoise_lib.files import atomic
from denoise_lib.progress import say

MAX_CHANNELS = 32  # more "channels" than this are samples in the wrong axis


def load(path: str | Path, rate: int = RATE, quiet: bool = False) -> Tensor:
    """Read any audio file as a mono waveform.

    soundfile reads wav, flac, ogg and mp3; PyAV reads what it does not know. Down-mixing and
    resampling are announced in a line on stderr unless ``quiet``.

    Args:
        path: The file.
        rate: Samples per second wanted.
        quiet: Whether to say nothing.

    Returns:
        float32 waveform (time,), full scale = 1.

    Raises:
        UserError: No such file, not audio, no samples in it, or samples that are not finite.
    """
    samples, found = read(path)
    if not quiet and samples.shape[1] > 1:
        say(f"{path}: {samples.shape[1]} channels mixed down to one")
    if not quiet and found != rate:
        say(f"{path}: resampled from {found} to {rate} Hz")
    return resample(torch.as_tensor(samples).mean(dim=1), found, rate)


def read(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """Samples of a file as they are: float32 array (time, channels), and their rate in Hz.

    Raises:
        UserError: As for :func:`load`.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"{path} is {'a folder, not an audio file' if path.is_dir() else 'not there'}"
        )
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError:
        # G.722 has no header, so that only its name tells what it is.
        samples, rate = decode_pyav(path, "g722" if path.suffix.lower() == ".g722" else None)
    if len(samples) == 0:
        raise UserError(f"{path} holds no samples")
    if not np.isfinite(samples).all():
        raise UserError(f"{path} holds samples that are not finite (NaN or infinity)")
    return samples, rate


def decode_pyav(path: Path, container: str | None = None) -> tuple[NDArray[np.float32], int]:
    """Decode a file with PyAV: float32 array (time, channels), and the rate in Hz.

    Args:
        path: The file.
        container: Name of the format where the file does not tell it, such as "g722".

    Raises:
        UserError: No audio, no samples in it, or the file cannot be read.
    """
    import av

    blocks = []
    try:
        with av.open(str(path), format=container) as file:
            if not file.streams.audio:
                raise UserError(f"{path} holds no audio")
            to_float = av.AudioResampler(format="fltp")
            for frame in file.decode(audio=0):
                blocks += [part.to_ndarray() for part in to_float.resample(frame)]
                rate = frame.sample_rate
            if blocks:
                blocks += [part.to_ndarray() for part in to_float.resample(None)]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as audio ({getattr(error, 'strerror', None) or error})"
        ) from None
    if not blocks:
        raise UserError(f"{path} holds no samples")
    return np.concatenate(blocks, axis=1).T, rate  # (time, channels)


def length(path: str | Path, rate: int = RATE) -> int:
    """Samples that ``load(path, rate)`` will return; read from the header where it is exact.

    Raises:
        UserError: As for :func:`load`.
    """
    import soundfile

    if Path(path).suffix.lower() in (".wav", ".flac"):
        try:
            info = soundfile.info(str(path))
        except soundfile.SoundFileError as error:
            raise UserError(f"{path} cannot be read as audio ({error})") from None
        return ceil(info.frames * rate / info.samplerate)
    samples, found = read(path)  # compressed formats only estimate their length
    return ceil(len(samples) * rate / found)


def as_mono(samples: ArrayLike | Tensor) -> Tensor:
    """A waveform (time,) from an array (n,), (n, channels) or (channels, n).

    Channels are averaged, with a line on stderr. Which axis holds them is told by length.

    Raises:
        UserError: Samples that are no floats, any other shape, or one where both axes could be the
            channels.
    """
    x = torch.as_tensor(samples)
    if not x.is_floating_point():
        raise UserError(
            f"a waveform holds floats in [-1, 1], got {str(x.dtype).removeprefix('torch.')}"
        )
    x = x.to(torch.float32)
    if x.ndim == 1 and len(x):
        return x
    if (
        x.ndim != 2
        or not x.numel()
        or min(x.shape) > MAX_CHANNELS
        or (x.shape[0] == x.shape[1] > 1)
    ):
        raise UserError(
            f"expected samples shaped (n,), (n, channels) or (channels, n), got {tuple(x.shape)}"
        )
    x = x if x.shape[0] >= x.shape[1] else x.T  # (time, channels)
    if x.shape[1] > 1:
        say(f"{x.shape[1]} channels mixed down to one")
    return x.mean(dim=1)


def resample(waveform: Tensor, source: int, target: int) -> Tensor:
    """Waveform (time,) or (batch, time) from ``source`` to ``target`` samples per second."""
    if source == target:
        return waveform
    if max(source, target) // gcd(source, target) > 2000:
        # torchaudio's filter bank grows with the product of the two reduced rates: gigabytes for
        # 44101 Hz. scipy's grows with the larger one.
        from scipy.signal import resample_poly

        common = gcd(source, target)
        out = resample_poly(waveform.numpy(), target // common, source // common, axis=-1)
        return torch.from_numpy(out.astype(np.float32))
    from torchaudio.functional import resample as by_torchaudio

    return by_torchaudio(waveform, source, target)


def to_level(waveform: Tensor, rms: float = 0.05, by: int | None = None) -> Tensor:
    """Scale a waveform, or each of a batch, to an RMS level re full scale.

    0.05 is -26 dBFS, the nominal speech level of ITU-T P.56 (here over the whole clip, pauses
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
        with atomic(path) as temporary:
            soundfile.write(
                temporary, to_int16(x), rate, subtype="PCM_16", format=path.suffix[1:].upper()
            )
    except (soundfile.SoundFileError, OSError) as error:
        raise UserError(f"{path} cannot be written: {error}") from None


def to_int16(x: ArrayLike | Tensor) -> NDArray[np.int16]:
    """Samples re full scale as int16, n / 32768 as n; what lies outside is clipped."""
    return np.clip(np.round(np.asarray(x) * 32768), -32768, 32767).astype(np.int16)
