"""Write a recording block by block: the suffix decides the container, the input the samples.

Samples keep their format as far as the container has it: floats stay floats, and 24 bits stay 24.
"""

from __future__ import annotations

from contextlib import suppress
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from denoise_lib.errors import UserError
from denoise_lib.files import Sink
from denoise_lib.recordings.read import Conformer

# soundfile's containers, with the sample format where there is no choice.
SOUNDFILE = {
    "wav": ("WAV", None),
    "flac": ("FLAC", None),
    "aiff": ("AIFF", None),
    "aif": ("AIFF", None),
    "caf": ("CAF", None),
    "w64": ("W64", None),
    "rf64": ("RF64", None),
    "au": ("AU", None),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "oga": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}
# FFmpeg's containers, with the codec of their sound where the film's own cannot be kept.
FFMPEG = {
    "m4a": ("ipod", "aac"),
    "aac": ("adts", "aac"),
    "mka": ("matroska", "libopus"),
    "wma": ("asf", "wmav2"),
}
FILMS = {
    "mp4": ("mp4", "aac"),
    "m4v": ("mp4", "aac"),
    "mov": ("mov", "aac"),
    "mkv": ("matroska", "aac"),
    "webm": ("webm", "libopus"),
    "avi": ("avi", "libmp3lame"),
    "ts": ("mpegts", "aac"),
    "mpg": ("mpeg", "mp2"),
    "ogv": ("ogg", "libvorbis"),
    "wmv": ("asf", "wmav2"),
}
FLAC_IN_OGG = {"ogg": ("ogg", "flac"), "oga": ("ogg", "flac")}  # soundfile does not write it
SAMPLES = {"16": "PCM_16", "24": "PCM_24", "32": "PCM_32", "float": "FLOAT", "double": "DOUBLE"}
RATES = {  # Hz that a codec knows
    "MPEG_LAYER_III": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "OPUS": (8000, 12000, 16000, 24000, 48000),
}
WIDE = 4_000_000_000  # bytes of samples beyond which a WAV file needs 64-bit sizes
BYTES = {"PCM_U8": 1, "PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
MOST_CHANNELS = {"MP3": 2, "FLAC": 8}
FLOATS = ("FLOAT", "DOUBLE")


class Writer(Protocol):
    """Takes blocks (time, channels) at the recording's rate.

    Attributes:
        rate: Samples per second in the file.
        clipped: Samples so far that were beyond full scale and had to be clipped.
    """

    rate: int
    clipped: int

    def write(self, block: NDArray[np.float32]) -> None:
        """Write a block."""

    def close(self) -> None:
        """Write what is left."""


def writable(suffix: str) -> bool:
    """Whether a file of that suffix, without its dot, can be written."""
    return suffix.lower() in {**SOUNDFILE, **FFMPEG, **FILMS}


def asked(format_: str) -> tuple[str | None, str | None]:
    """Container and sample format of ``--format``: "flac", "float", "wav 24"; None: not said.

    Raises:
        UserError: Another word.
    """
    container = samples = None
    for word in format_.lower().replace(",", " ").replace(":", " ").split():
        if word in SAMPLES:
            samples = SAMPLES[word]
        elif writable(word):
            container = word
        else:
            known = ", ".join((*SOUNDFILE, *FFMPEG, *FILMS))
            raise UserError(
                f"--format: no format {word!r}: use one of {known}, and for the samples one of "
                f"{', '.join(SAMPLES)}"
            )
    return container, samples


def no_such_samples(where: str, wanted: str) -> UserError:
    """The error of a sample format that a container or a codec does not have."""
    word = next(word for word, own in SAMPLES.items() if own == wanted)
    return UserError(
        f"{where} has no samples of the format {word}: leave the samples out of --format, or name "
        "another suffix, such as .wav"
    )


def sample_format(container: str, own: str, wanted: str | None) -> str:
    """The sample format of a soundfile container, as near to the input's as it has one.

    Args:
        container: soundfile's name.
        own: The input's sample format.
        wanted: The one that was asked for, if any.

    Raises:
        UserError: The container does not have the one that was asked for.
    """
    import soundfile

    if wanted and not soundfile.check_format(container, wanted):
        raise no_such_samples(container.lower(), wanted)
    if wanted:
        return wanted
    if own in BYTES and soundfile.check_format(container, own):
        return own
    return "PCM_24" if own in (*FLOATS, "PCM_32") else "PCM_16"


class SoundFileWriter:
    """Through soundfile; see :class:`Writer`.

    Args:
        file: Where to write, with a descriptor; it can be sought in.
        suffix: A key of ``SOUNDFILE``.
        own: Sample format of the input.
        wanted: Sample format that was asked for, if any.
        rate, channels, frames: Of the recording.
        tags: What the recording says of itself, by libsndfile's names.

    Raises:
        UserError: The container does not have so many channels, or such samples.
    """

    def __init__(
        self,
        file: BinaryIO,
        suffix: str,
        own: str,
        wanted: str | None,
        rate: int,
        channels: int,
        frames: int,
        tags: dict[str, str] | None = None,
    ) -> None:
        import soundfile

        container, only = SOUNDFILE[suffix]
        only = "OPUS" if container == "OGG" and own == "OPUS" else only
        if only and wanted:
            raise no_such_samples(f".{suffix}", wanted)
        self.subtype = only or sample_format(container, own, wanted)
        if channels > MOST_CHANNELS.get(container, 1024):
            raise UserError(
                f"{container.lower()} holds {MOST_CHANNELS[container]} channels, not {channels}: "
                "name a .wav, or use --mono"
            )
        self.rate, self.clipped = nearest(rate, RATES.get(self.subtype, ())), 0
        if container == "WAV" and frames * channels * BYTES.get(self.subtype, 1) > WIDE:
            container = "RF64"
        self.feed = Conformer(self.rate, channels)
        self.given = rate
        self.sink = Sink(file)
        with self.sink:
            self.file = soundfile.SoundFile(
                self.sink, "w", self.rate, channels, self.subtype, format=container
            )
        for name, told in (tags or {}).items():
            with suppress(RuntimeError, AttributeError):  # no such tag in this format
                setattr(self.file, name, told)

    def write(self, block: NDArray[np.float32]) -> None:
        """Write a block."""
        with self.sink:
            for part in self.feed.take(block, self.given):
                self._write(part)

    def _write(self, block: NDArray[np.float32]) -> None:
        if self.subtype in FLOATS:
            self.file.write(block)
            return
        self.clipped += int((np.abs(block) > 1).sum())
        if self.subtype in ("PCM_24", "PCM_32"):
            self.file.write(as_integers(block, 24 if self.subtype == "PCM_24" else 32))
        elif self.subtype in ("MPEG_LAYER_III", "VORBIS", "OPUS"):
            # An encoder gets short blocks: libsndfile's overflow the stack with long ones.
            for at in range(0, len(block), 4096):
                self.file.write(block[at : at + 4096].clip(-1, 1))
        else:
            self.file.write(as_integers(block, 16))

    def close(self) -> None:
        """Write what is left."""
        with self.sink:
            for part in self.feed.flush():
                self._write(part)
            self.file.close()


def as_integers(block: NDArray[np.float32], bits: int) -> NDArray[np.int16] | NDArray[np.int32]:
    """Samples re full scale as integers, n / 2 ** (bits - 1) as n; what lies outside is clipped.

    24 bits lie in the upper part of 32.
    """
    full = 2.0 ** (bits - 1)
    exact = np.clip(np.round(block.astype(np.float64) * full), -full, full - 1)
    return exact.astype(np.int16) if bits == 16 else exact.astype(np.int32) << (32 - bits)


def nearest(rate: int, known: tuple[int, ...]) -> int:
    """The rate itself, or the next one that a codec knows."""
    if not known or rate in known:
        return rate
    return next((each for each in sorted(known) if each > rate), max(known))
