"""Read a recording: any audio or film, by content, from its beginning to its end.

soundfile reads what it knows, PyAV the rest and what soundfile reads wrongly. A first pass over a
recording, :func:`survey`, finds out how long it is, how loud, and what is wrong with it; a second
one, :func:`blocks`, gives its samples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from denoise_lib.errors import UserError
from denoise_lib.recordings import mp3
from denoise_lib.recordings.by_pyav import PyAVPiece
from denoise_lib.recordings.by_soundfile import KNOWN, SoundFilePiece
from denoise_lib.recordings.level import Meter, integer_scale
from denoise_lib.recordings.pieces import BREAKS_OFF, Piece, pieces
from denoise_lib.recordings.slices import whole

SHORT = 0.02  # s; a difference of lengths below this is an encoder's padding
PADDING = 0.15  # s; the same where an encoder's run-in and its last frame are counted
HEADERLESS = {".g722": "g722"}  # only the name tells what these are


@dataclass
class Survey:
    """What the first pass over a recording found.

    Attributes:
        name: As it is told to the user.
        file: Its bytes.
        rate: Samples per second, of its first piece.
        channels: Of its first piece.
        subtype: Sample format as soundfile calls it.
        meter: Levels of the channels, as they are in the file.
        scale: What samples are divided by; 1 but for floats that hold integers.
        parts: The pieces, each with the kind of its reader.
        track: Which track of sound, from 1.
        film: Whether there are pictures, too.
        codec: FFmpeg's name of what its sound is coded with; "" where soundfile reads it.
        tags: Title, artist and the like, by libsndfile's names.
        notes: What is to be said of it.
    """

    name: str
    file: BinaryIO
    rate: int = 0
    channels: int = 0
    subtype: str = "PCM_16"
    meter: Meter | None = None
    scale: float = 1.0
    parts: list[tuple[Piece, Callable]] = field(default_factory=list)
    track: int = 1
    film: bool = False
    codec: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """Samples of each channel."""
        return self.meter.frames

    @property
    def offset(self) -> NDArray[np.float64]:
        """Constant part of each channel, at full scale 1."""
        return self.meter.offset / self.scale

    @property
    def level(self) -> NDArray[np.float64]:
        """RMS of active speech of each channel, at full scale 1."""
        return self.meter.level / self.scale

    @property
    def seconds(self) -> float:
        """Length."""
        return self.frames / self.rate


@dataclass
class _Tally:
    """What reading a piece came to."""

    meter: Meter | None = None
    seconds: float = 0.0
    silent: float = 0.0
    ends_early: float = 0.0
    breaks_off: bool = False
    rates: set[int] = field(default_factory=set)
    channels: set[int] = field(default_factory=set)
    broken: bool = False
    error: str = ""

    @property
    def read(self) -> float:
        """Seconds of sound."""
        return self.seconds - self.silent

    def better(self, other: _Tally) -> bool:
        """Whether more is read; or as much, with silence where the other has closed a gap."""
        if abs(self.read - other.read) > SHORT:
            return self.read > other.read
        return self.seconds > other.seconds + SHORT


def survey(
    file: BinaryIO,
    name: str | Path,
    track: int | None = None,
    watch: Callable[[float], object] | None = None,
) -> Survey:
    """Read a recording once, and find out how to read it.

    Args:
        file: Its bytes, in which can be sought.
        name: As it is told to the user; its suffix decides where a content has no header.
        track: Which track of sound, from 1; the default one when None.
        watch: Called with the seconds that a block lasts.

    Raises:
        UserError: Not audio, no samples in it, samples that are not finite, or no such track.
    """
    found = Survey(str(name), file)
    container = HEADERLESS.get(Path(name).suffix.lower())
    tallies = []
    for piece in pieces(file):
        if container:
            piece = Piece(piece.start, piece.end, "raw")
        tallies.append(_surveyed(found, piece, track, container, watch))
    if found.meter is None and (start := mp3.behind_junk(file)):
        piece = Piece(start, whole(file), "mp3")
        tallies = [_surveyed(found, piece, track, None, watch)]
    meter = found.meter
    if meter is None or not meter.frames:
        told = next((tally.error for tally in tallies if tally.error), "")
        told = "the end of the file, with its index, is missing" if _has_index(file) else told
        raise UserError(
            f"{name} cannot be read as audio ({told})" if told else f"{name} holds no samples"
        )
    if not meter.finite:
        raise UserError(f"{name} holds samples that are not finite (NaN or infinity)")
    for rate in sorted({rate for tally in tallies for rate in tally.rates} - {found.rate}):
        found.notes.append(f"what is at {rate} Hz in it is resampled to {found.rate} Hz")
    for count in sorted({each for tally in tallies for each in tally.channels} - {found.channels}):
        found.notes.append(f"what has {count} channels in it is brought to {found.channels}")
    _note_missing(found, tallies)
    _note_scale(found)
    if meter.opposite():
        found.notes.append("its channels are opposite in phase, a plain mix would be silence")
    return found


def told_length(file: BinaryIO) -> tuple[int, int] | None:
    """Samples and rate of a WAV or FLAC file by its header; None where that does not tell it."""
    parts = pieces(file)
    if len(parts) != 1 or parts[0].kind not in ("wav", "raw", "flac"):
        return None
    try:
        piece = SoundFilePiece(file, parts[0])
    except failures():
        return None
    frames = parts[0].frames or piece.file.frames
    piece.close()
    return (frames, piece.rate) if 0 < frames < KNOWN else None


def blocks(found: Survey) -> Iterator[NDArray[np.float32]]:
    """The samples of a surveyed recording, float32 blocks (time, channels), all of one rate."""
    for piece, reader in found.parts:
        opened = reader(found.file, piece)
        try:
            for block in conformed(_readable(opened), found.rate, found.channels):
                yield block / np.float32(found.scale) if found.scale != 1 else block
        finally:
            opened.close()


def _readable(piece: SoundFilePiece | PyAVPiece) -> Iterator[tuple[NDArray[np.float32], int]]:
    """The blocks of a piece up to where it cannot be read any more, which the survey has told."""
    with suppress(*failures()):
        yield from piece.blocks()


def _surveyed(
    found: Survey, piece: Piece, track: int | None, container: str | None, watch: Callable | None
) -> _Tally:
    """Read a piece by the first reader that reads all of it, else by the one that reads most."""

    def by_pyav(file: BinaryIO, piece: Piece) -> PyAVPiece:
        return PyAVPiece(file, piece, track, container)

    readers = [SoundFilePiece, by_pyav]
    # libsndfile stops where an MP3's rate changes, closes holes in Opus, and reads some FLAC in Ogg
    # only, of which it does not tell the codec; it takes what stands between the blocks of a VOC
    # file for sound.
    if container or piece.kind in ("mp3", "opus", "flac in ogg", "voc"):
        readers = [by_pyav]
    elif piece.kind == "raw":
        readers = [SoundFilePiece]
    best = None
    for reader in readers:
        tally, opened = _read_once(found, piece, reader, watch)
        if best is None or tally.better(best[0]):
            best = tally, opened, reader
        if not tally.broken:
            break
        watch = None  # a second reader's progress is no progress
    tally, opened, reader = best
    if opened is None or tally.meter is None:
        return tally
    if found.meter is None:
        found.rate, found.channels = tally.meter.rate, len(tally.meter.peak)
        found.subtype, found.film = opened.subtype, opened.film is not None
        found.codec, found.tags = opened.codec, opened.tags
        found.track = getattr(opened, "track", 1)
        if len(opened.tracks) > 1:
            listed = "; ".join(f"{at}: {told}" for at, told in enumerate(opened.tracks, 1))
            found.notes.append(
                f"track {found.track} of {len(opened.tracks)} is taken, --track chooses ({listed})"
            )
    found.meter = tally.meter if found.meter is None else _joined(found.meter, tally.meter)
    found.parts.append((piece, reader))
    found.notes += opened.notes
    if piece.kind == "flac" and opened.seconds and tally.seconds > opened.seconds + SHORT:
        found.notes.append(
            f"its header knows of {opened.seconds:.2f} s, it holds {tally.seconds:.2f} s"
        )
    return tally


def _read_once(
    found: Survey, piece: Piece, reader: Callable, watch: Callable | None
) -> tuple[_Tally, SoundFilePiece | PyAVPiece | None]:
    """Read all of a piece for what it comes to."""
    tally, opened = _Tally(), None
    try:
        opened = reader(found.file, piece)
        rate, channels = found.rate, found.channels
        for block, own_rate in opened.blocks():
            rate, channels = rate or own_rate, channels or block.shape[1]
            if tally.meter is None:
                tally.meter = Meter(rate, channels)
                feed = Conformer(rate, channels)
            for part in feed.take(block, own_rate):
                tally.meter.add(part)
            tally.seconds += len(block) / own_rate
            tally.rates.add(own_rate)
            tally.channels.add(block.shape[1])
            if watch:
                watch(len(block) / own_rate)
    except UserError as error:
        raise UserError(f"{found.name}: {error}") from None
    except failures() as error:
        tally.broken = True
        tally.error = reason(error)
    if tally.meter is not None:
        for part in feed.flush():
            tally.meter.add(part)
    if opened is not None:
        tally.silent = opened.silent
        if isinstance(opened, PyAVPiece):
            tally.ends_early = opened.missing_at_end(tally.seconds)
            tally.breaks_off = opened.breaks_off
        elif opened.seconds:
            tally.ends_early = max(0.0, opened.seconds - tally.seconds)
        if tally.ends_early < (PADDING if isinstance(opened, PyAVPiece) else SHORT):
            tally.ends_early = 0.0
        tally.broken = tally.broken or tally.ends_early > 0
        opened.close()
    return tally, opened


def reason(error: Exception) -> str:
    """What a reader says of a content that it cannot read, without names of its own."""
    told = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return re.sub(r"^Error opening <.*?>: ", "", told).rstrip(".")


def _has_index(file: BinaryIO) -> bool:
    """Whether this is an MP4 or CAF file, which mostly cannot be read without its index."""
    file.seek(0)
    head = file.read(8)
    return head[4:] == b"ftyp" or head[:4] == b"caff"


def failures() -> tuple[type[Exception], ...]:
    """What soundfile and PyAV raise at content that they cannot read."""
    import av
    import soundfile

    own = (soundfile.SoundFileError, av.FFmpegError)
    return *own, OSError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError


def _note_missing(found: Survey, tallies: list[_Tally]) -> None:
    """One line on what the recording lacks, with its share."""
    silent, early = sum(each.silent for each in tallies), sum(each.ends_early for each in tallies)
    total = found.seconds + early
    unread = [each for each in tallies if each.meter is None]
    if silent >= SHORT:
        found.notes.append(
            f"{silent:.2f} s of {total:.2f} s ({_share(silent, total)}) are missing in it "
            "and stand as silence"
        )
    if early >= SHORT:
        found.notes.append(
            f"it ends early or is damaged, {early:.2f} s of {total:.2f} s "
            f"({_share(early, total)}) are missing"
        )
    if any(each.breaks_off for each in tallies):
        found.notes.append(BREAKS_OFF)
    if unread:
        found.notes.append(f"{len(unread)} of its {len(tallies)} pieces cannot be read")
    elif len(tallies) > 1:
        found.notes.append(f"{len(tallies)} pieces one behind the other are read")


def _share(part: float, total: float) -> str:
    percent = 100 * part / total
    return f"{percent:.2g} %" if percent < 99.5 else f"{percent:.3g} %"


def _note_scale(found: Survey) -> None:
    """Floats that hold integers are brought to full scale, and that is said."""
    peak = float(found.meter.peak.max())
    if found.meter.level.max() > 1:
        found.scale = integer_scale(peak)
    if found.scale != 1:
        found.notes.append(
            f"its samples reach {peak:.0f} where full scale is 1: they are taken for integers "
            f"and divided by {found.scale:.0f}"
        )


def _joined(meter: Meter, other: Meter) -> Meter:
    """The meter of two pieces one behind the other."""
    meter.frames += other.frames
    meter.products += other.products
    meter.peak = np.maximum(meter.peak, other.peak)
    meter.counts += other.counts
    meter.means += other.means
    meter.finite = meter.finite and other.finite
    return meter


def conformed(
    source: Iterator[tuple[NDArray[np.float32], int]], rate: int, channels: int
) -> Iterator[NDArray[np.float32]]:
    """Blocks of any rates and channels as blocks of one rate and number of channels."""
    feed = Conformer(rate, channels)
    for block, own_rate in source:
        yield from feed.take(block, own_rate)
    yield from feed.flush()


class Conformer:
    """Brings blocks to one rate and one number of channels."""

    def __init__(self, rate: int, channels: int) -> None:
        self.rate, self.channels = rate, channels
        self.own, self.stream, self.taken, self.given = rate, None, 0, 0

    def take(self, block: NDArray[np.float32], rate: int) -> Iterator[NDArray[np.float32]]:
        """What is ready after a block."""
        block = with_channels(block, self.channels)
        if rate != self.own:
            yield from self.flush()
            self._start(rate)
        if self.stream is None:
            yield block
            return
        self.taken += len(block)
        part = self.stream.resample_chunk(np.ascontiguousarray(block))
        self.given += len(part)
        yield part

    def flush(self) -> Iterator[NDArray[np.float32]]:
        """What is left, so that the length is right."""
        if self.stream is not None:
            nothing = np.zeros((0, self.channels), np.float32)
            part = self.stream.resample_chunk(nothing, last=True)
            wanted = max(0, round(self.taken * self.rate / self.own) - self.given)
            yield np.pad(part[:wanted], ((0, max(0, wanted - len(part))), (0, 0)))
        self.own, self.stream = self.rate, None

    def _start(self, rate: int) -> None:
        self.own, self.taken, self.given = rate, 0, 0
        if rate != self.rate:
            import soxr

            self.stream = soxr.ResampleStream(rate, self.rate, self.channels, "float32", "HQ")


def with_channels(block: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """A block with that number of channels: mono is in all, all are in mono, others are cut."""
    there = block.shape[1]
    if there == channels:
        return block
    if channels == 1:
        return block.mean(axis=1, keepdims=True)
    if there == 1:
        return np.repeat(block, channels, axis=1)
    return np.pad(block[:, :channels], ((0, 0), (0, max(0, channels - there))))
