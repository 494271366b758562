"""Pieces of a recording through PyAV: films, compressed sound, and what is damaged.

Time stamps decide where samples lie. Where there are none for a while the sound is silent, so that
it keeps its place beside a film's pictures; packets that cannot be decoded leave silence, too.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from denoise_lib.errors import UserError
from denoise_lib.recordings import mp3
from denoise_lib.recordings.by_soundfile import TAGS
from denoise_lib.recordings.cut_off import cut_off
from denoise_lib.recordings.frames import HEAD, told_length
from denoise_lib.recordings.pieces import Piece, after_tag
from denoise_lib.recordings.slices import Slice, silence

if TYPE_CHECKING:
    import av

TIMED_FROM_ZERO = ("mov", "matroska")  # containers in which time 0 is the beginning
# Containers that tell their length exactly.
TELLING = (*TIMED_FROM_ZERO, "asf", "caf", "flac", "flv", "ogg", "tta", "wv")
# Containers in which nothing but a place in the file tells time.
WITHOUT_STAMPS = ("aac", "ac3", "dts", "eac3", "mp3")
# Lossless codecs whose frames hold a checksum, which FFmpeg looks at only when it is told to.
CHECKED = ("tta", "wavpack")
RUN_IN = 0.2  # s at the beginning, in which encoders leave holes
UNITS = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}
JUMPING = ("mpegts", "mpeg")  # containers that are joined without care for their clocks
LONGEST_GAP = 60.0  # s; a longer gap in one of them is a clock that was set forward
LATE_STAMPS = 32  # frames in a row of which the stamps may be late
LEAST_GAP = 0.005  # s; stamps are rounded, and some recorders take them from a clock


class PyAVPiece:
    """One piece, decoded by PyAV; the attributes are those of ``SoundFilePiece``.

    Args:
        file: Where it lies.
        piece: Its bytes.
        track: Which track of sound, from 1; the default one when None.
        container: Format where the content does not tell it, such as "g722".

    Attributes:
        tracks: A line on each track of sound.
        cut: What is known of its end where that is missing.
        film: Seconds of the pictures; None where there are none.

    Raises:
        UserError: It holds no audio, or no such track.
        av.FFmpegError: PyAV does not know it.
    """

    def __init__(
        self, file: BinaryIO, piece: Piece, track: int | None = None, container: str | None = None
    ) -> None:
        import av

        self.cut = cut_off(file, piece.start, piece.end)
        end = self.cut.end if self.cut else piece.end

        def part() -> BinaryIO:
            return io.BufferedReader(Slice(file, piece.start, end), 2**16)

        self._part = part
        self.file = av.open(part(), format=container, metadata_errors="replace")
        self.stream = chosen(self.file, track)
        self.tracks = tuple(_told(each) for each in self.file.streams.audio)
        self.track = self.file.streams.audio.index(self.stream) + 1
        pictures = _pictures(self.file)
        self.kind = self.file.format.name.split(",")[0]
        self.film = None
        if pictures:
            self.film = _seconds(pictures, pictures.duration) or (self.file.duration or 0) / 1e6
        codec = self.stream.codec_context
        if codec.name in CHECKED:
            codec.options = {"err_detect": "crccheck+explode"}
        self.rate, self.channels = codec.sample_rate, codec.channels
        self.subtype, self.codec = _subtype(codec), codec.name
        told = {**self.stream.metadata, **self.file.metadata}
        told = {name.lower(): text for name, text in told.items()}
        self.tags = {name: told[other] for name, other in TAGS.items() if told.get(other)}
        self.silent, self.errors, self.notes = 0.0, 0, [piece.note] if piece.note else []
        self.frames, self.seconds = piece.frames, self._told_seconds(piece)
        self.reached = 0.0  # s, the end of the last packet of any stream
        self.last_is_broken = False
        self.alone = False  # an MP3 file with as many frames as it announces, or fewer

    def _told_seconds(self, piece: Piece) -> float | None:
        """Length that the header tells; containers that estimate it from their size tell none."""
        if piece.kind in ("mp3", "raw"):
            return piece.frames and piece.frames / self.rate
        if self.kind in TELLING and not self.film:
            length = _seconds(self.stream, self.stream.duration)
            return length or (self.file.duration and self.file.duration / 1e6)
        return None

    def blocks(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Blocks (time, channels), each with its rate; what is missing is silent."""
        at, origin, rate, channels = 0.0, None, self.rate, self.channels
        for frame, due in _one_after_another(self._frames()):
            block, rate = samples(frame), frame.sample_rate
            channels = block.shape[1]
            if not len(block):
                continue
            if origin is None:
                origin = due if self._own_beginning(due) else self._beginning()
            least = max(LEAST_GAP, 0.75 * len(block) / rate)
            gap = 0.0 if due is None else due - origin - at
            if self._jumped(gap):
                self.notes.append(f"its clock jumps by {gap:.0f} s, which are left out")
                self.film = self.film and self.film - gap
                origin, gap = due - at, 0.0
            if gap < -1.0 or gap > self._longest_gap(at):  # the clock was set anew
                origin, gap = due - at, 0.0
            if gap < 0 and at == 0:  # before the beginning, such as an encoder's run-in
                block = block[round(-gap * rate) :]
            if gap >= least:
                missing = round(gap * rate)
                if at > RUN_IN or self.errors:
                    self.silent += missing / rate
                yield from silence(missing, channels, rate)
                at += missing / rate
            block = self._ended(block, at, rate)
            at += len(block) / rate
            if len(block):
                yield block, rate
        if self.film and not self.cut and self.film - at > LEAST_GAP:
            self.silent += min(self.film - at, self._unreached())
            yield from silence(round((self.film - at) * rate), channels, rate)

    def _ended(self, block: NDArray[np.float32], at: float, rate: int) -> NDArray[np.float32]:
        """Without the samples that only fill the last frames of a codec."""
        if self.film or not self.seconds:
            return block
        over = round((at + len(block) / rate - self.seconds) * rate)
        if self.kind == "mp3" and self.alone:  # of a damaged one FFmpeg does not know the end
            return block[: max(0, len(block) - max(0, over))]
        return block[: len(block) - over] if self.kind == "mov" and 0 < over < len(block) else block

    def _frames(self) -> Iterator[tuple[av.AudioFrame, float | None]]:
        """Decoded frames, each with the time in seconds at which it is due."""
        import av

        lost, last = 0.0, None
        swallowed = self._swallowed()
        streams = [self.stream, *self.file.streams.video] if self.film else [self.stream]
        packets = self.file.demux(streams)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, OSError):
                self.errors += 1
                return
            if packet.pts is not None and packet.size:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self.reached = max(self.reached, end)
            if packet.stream is not self.stream:
                continue
            self.last_is_broken = packet.is_corrupt if packet.size else self.last_is_broken
            repeated, last = packet.is_discard and packet.dts == last, packet.dts
            try:
                for frame in self._decoded(packet, repeated):
                    time = None if frame.pts is None else float(frame.pts * frame.time_base)
                    yield frame, None if time is None else time + lost
            except (av.FFmpegError, ValueError):
                self.errors += 1
                self.last_is_broken = True
            lost += swallowed(packet) * float((packet.duration or 0) * packet.time_base)

    def _decoded(self, packet: av.Packet, repeated: bool) -> list[av.AudioFrame]:
        """The frames of a packet.

        Args:
            repeated: Whether it has the time stamp of the packet before it, so that FFmpeg would
                take it for one that is not meant to be heard. Some recorders stamp fragments so.

        Raises:
            av.FFmpegError: It is damaged, or shorter than its head says; a decoder
                would fill that up with noise.
        """
        import av

        context = self.stream.codec_context
        if not packet.size:
            return context.decode(None)
        told = told_length(self.codec, bytes(packet)[:HEAD])
        if told and packet.size < told:
            raise av.error.InvalidDataError(1, "it breaks off")
        if not repeated:
            return context.decode(packet)
        again = av.Packet(bytes(packet))
        again.pts, again.dts, again.time_base = packet.pts, packet.dts, packet.time_base
        again.duration = packet.duration
        return context.decode(again)

    def _swallowed(self) -> Callable[[av.Packet], int]:
        """What tells, packet by packet, how many frames are lost behind it."""
        if self.kind != "mp3" or self.codec.startswith("mp2"):
            return _Sizes(self.kind, self.codec).frames_lost
        import av

        first = self._part()
        announced = mp3.told(first, after_tag(first))
        count = itertools.count()
        try:
            with av.open(self._part(), format="mp3", metadata_errors="replace") as file:
                packets = (
                    (each.size, bytes(each)[:4])
                    for each in file.demux(audio=0)
                    if each.size and next(count) >= 0
                )
                lost = mp3.lost_frames(packets, announced and announced.frames)
        except (av.FFmpegError, OSError):
            return lambda packet: 0
        self.alone = announced is not None and next(count) <= announced.frames
        at = itertools.count()
        return lambda packet: lost.get(next(at), 0) if packet.size else 0

    def _own_beginning(self, due: float | None) -> bool:
        """Whether the sound begins when its first sample does: there is nothing beside it."""
        if self.film is not None:
            return False
        told = self.file.duration and self.file.duration / 1e6
        late = due is not None and told and 0 < due < told
        return not (self.kind in TIMED_FROM_ZERO and late)

    def _beginning(self) -> float:
        """Time stamp of the film's beginning, s."""
        start = (self.file.start_time or 0) / 1e6
        return min(start, 0.0) if self.kind in TIMED_FROM_ZERO and start < 60 else start

    def _jumped(self, gap: float) -> bool:
        """Whether a clock was set forward."""
        return self.kind in JUMPING and gap > LONGEST_GAP

    def _longest_gap(self, at: float) -> float:
        """Seconds of silence that can be meant: to the end of the recording, where it is known."""
        length = self.film or self.seconds or (self.file.duration or 0) / 1e6
        return max(length - at + 1.0, 1.0) if length else 3600.0

    def missing_at_end(self, at: float) -> float:
        """Seconds that the header tells and the file no longer holds, after reading to ``at``."""
        told = self.cut.seconds if self.cut else self.seconds
        if self.cut and self.cut.share:
            # The length is told where packets of different size are listed, which comes first.
            listed = self.seconds or 0.0
            told = listed if listed > at + RUN_IN else at / self.cut.share
        if told is None:  # of a film: what its pictures last is there, if only as silence
            return 0.0
        return max(0.0, told - at)

    def _unreached(self) -> float:
        """Seconds of a film behind its last packet; 0 where its end is not far from there."""
        length = (self.file.duration or 0) / 1e6
        start = 0.0 if self.kind in TIMED_FROM_ZERO else (self.file.start_time or 0) / 1e6
        stop = length + start - self.reached
        return stop if stop > max(0.3, 0.01 * length) else 0.0

    @property
    def breaks_off(self) -> bool:
        """Whether its end is missing, and nothing tells how long that was."""
        if self.cut:
            return not (self.cut.seconds or self.cut.share)
        return self.last_is_broken and not self.seconds and not self.film

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _one_after_another(
    frames: Iterator[tuple[av.AudioFrame, float | None]],
) -> Iterator[tuple[av.AudioFrame, float | None]]:
    """Frames, each with its time in seconds, where some are stamped a frame too late.

    Such a frame ends where the next one has begun already; it lies before that.
    """
    waiting: list[tuple[av.AudioFrame, float | None]] = []
    for each in frames:
        waiting.append(each)
        for at in range(len(waiting) - 2, -1, -1):
            (frame, due), (_, after) = waiting[at : at + 2]
            length = frame.samples / frame.sample_rate
            if None in (due, after) or not 0.5 * length < due + length - after < 1.5 * length:
                break
            waiting[at] = frame, after - length
        if len(waiting) > LATE_STAMPS:
            yield waiting.pop(0)
    yield from waiting


class _Sizes:
    """How many frames a packet has swallowed, where packets are cut at the marks of frames.

    Damage between two marks makes one long packet of many. What is longer than its first frame says
    stands for as many more as fit in.
    """

    def __init__(self, kind: str, codec: str) -> None:
        self.codec = codec if kind in WITHOUT_STAMPS else ""
        self.count, self.total = 0, 0

    def frames_lost(self, packet: av.Packet) -> int:
        """Frames that the packet holds beside its first."""
        told = told_length(self.codec, bytes(packet)[:HEAD]) if self.codec else None
        if told and told == packet.size:
            self.count, self.total = self.count + 1, self.total + packet.size
        if not self.codec or not self.count:
            return 0
        mean = self.total / self.count
        return max(0, round((packet.size - (told or mean)) / mean))


def chosen(file: Any, track: int | None) -> av.AudioStream:
    """The track of that number, from 1; the one that is marked as the default, else the first.

    Raises:
        UserError: There is none.
    """
    import av

    streams = [each for each in file.streams.audio if each.codec_context is not None]
    if not streams:
        raise UserError("it holds no audio")
    if track is not None:
        if not 1 <= track <= len(streams):
            raise UserError(f"it has no track {track} of sound: there are {len(streams)}, from 1")
        return streams[track - 1]
    default = av.stream.Disposition.default
    return next((each for each in streams if each.disposition & default), streams[0])


def _pictures(file: Any) -> Any:
    """The stream of pictures of a film; None where there is none, or only a cover."""
    import av

    still = av.stream.Disposition.attached_pic
    return next((each for each in file.streams.video if not each.disposition & still), None)


def _told(stream: av.AudioStream) -> str:
    codec = stream.codec_context
    told = [stream.metadata.get("title"), stream.metadata.get("language"), codec.name]
    told = [each for each in told if each and each != "und"]
    return f"{', '.join(told)}, {codec.sample_rate} Hz, {codec.channels} ch"


def _seconds(stream: Any, ticks: int | None) -> float | None:
    return None if ticks is None else float(ticks * stream.time_base)


def _subtype(codec: Any) -> str:
    """Sample format that keeps what a codec gives, as soundfile calls it."""
    if codec.name.startswith("pcm_f64"):
        return "DOUBLE"
    if codec.name.startswith("pcm_f"):
        return "FLOAT"
    if codec.name in ("opus", "libopus"):
        return "OPUS"
    form = codec.format.name.removesuffix("p") if codec.format else "s16"
    return "PCM_24" if form in ("s32", "s64") else "PCM_16"


def samples(frame: av.AudioFrame) -> NDArray[np.float32]:
    """float32 samples of a frame, (time, channels), full scale = 1."""
    array, form = frame.to_ndarray(), frame.format.name.removesuffix("p")
    if frame.format.is_planar:
        array = array.T  # (time, channels)
    else:
        array = array.reshape(-1, frame.layout.nb_channels)
    if form not in UNITS:
        return np.ascontiguousarray(array, np.float32)
    return (array.astype(np.float64) / UNITS[form] - (form == "u8")).astype(np.float32)
