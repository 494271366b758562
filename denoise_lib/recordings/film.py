"""Write sound, and a film's pictures beside it, with FFmpeg's containers.

Of a film everything but the sound is copied as it is, packet by packet.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from denoise_lib.errors import UserError
from denoise_lib.recordings.by_pyav import JUMPING, LONGEST_GAP
from denoise_lib.recordings.by_soundfile import TAGS
from denoise_lib.recordings.read import Conformer, failures
from denoise_lib.recordings.slices import Slice, whole
from denoise_lib.recordings.write import (
    FFMPEG,
    FILMS,
    FLAC_IN_OGG,
    as_integers,
    nearest,
    no_such_samples,
)

if TYPE_CHECKING:
    import av

CLOCK_SET = 1.0  # s; time stamps that go back further were started anew
BITS = 96_000  # per second and channel
LOSSLESS = {"flac": ("s16", "s32"), "alac": ("s16p", "s32p")}  # formats for 16 and 24 bits
ENCODERS = {"opus": "libopus", "vorbis": "libvorbis", "mp3": "libmp3lame", "mp3float": "libmp3lame"}


def _held(codec: str) -> tuple[str, ...]:
    """The sample formats that a codec of FFmpeg's is written with here; none where it has none."""
    if codec in LOSSLESS:
        return ("PCM_16", "PCM_24")
    pcm = {"pcm_f32": "FLOAT", "pcm_f64": "DOUBLE"} | {
        f"pcm_s{n}": f"PCM_{n}" for n in (16, 24, 32)
    }
    return tuple(name for start, name in pcm.items() if codec.startswith(start))


class FilmWriter:
    """Through PyAV; see ``write.Writer``.

    Args:
        file: Where to write; it can be sought in.
        suffix: A key of ``FFMPEG``, ``FILMS`` or ``FLAC_IN_OGG``.
        rate, channels: Of the recording.
        film: The film of which the pictures are copied; None for sound alone.
        track: Which track of its sound is replaced, from 1.
        own: FFmpeg's name of the codec to use where the container has it; "" for the usual one.
        tags: What the recording says of itself, by libsndfile's names.
        samples: Its sample format as soundfile calls it; 24 bits are kept where the codec has them.
        wanted: Sample format that was asked for, if any.

    Raises:
        UserError: The container cannot hold this sound, these pictures, or such samples.
    """

    def __init__(
        self,
        file: BinaryIO,
        suffix: str,
        rate: int,
        channels: int,
        film: BinaryIO | None = None,
        track: int = 1,
        own: str = "",
        tags: dict[str, str] | None = None,
        samples: str = "PCM_16",
        wanted: str | None = None,
    ) -> None:
        import av

        self.samples, self.wanted = wanted or samples, wanted
        self.suffix, self.clipped, self.given = suffix, 0, rate
        container, codec = {**FFMPEG, **FILMS, **FLAC_IN_OGG}[suffix]
        self.out = av.open(file, "w", format=container)
        self.film, self.copied, self.copies = None, iter(()), {}
        self.out.metadata.update({TAGS[name]: told for name, told in (tags or {}).items()})
        try:
            if film is None:
                own = ENCODERS.get(own, own)
                self._add_sound(own if own and self._can_hold(own) else codec, rate, channels)
            else:
                self._open_film(film, track, codec, rate, channels)
            self.out.start_encoding()
        except failures() as error:
            raise self._refused(error) from None
        self.feed = Conformer(self.rate, channels)
        self.to_codec = av.AudioResampler(
            format=self.sound.codec_context.format,
            layout=self.sound.codec_context.layout,
            rate=self.rate,
        )
        self.at = 0

    def _refused(self, error: Exception) -> UserError:
        return UserError(
            f".{self.suffix} cannot hold this sound or these pictures ({error}): "
            "name another suffix, such as .mkv or .wav"
        )

    def _add_sound(self, codec: str, rate: int, channels: int) -> None:
        """A track for the new sound, at the nearest rate that the codec knows."""
        import av

        self.rate = nearest(rate, tuple(av.Codec(codec, "w").audio_rates or ()))
        layouts = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
        layout = layouts.get(channels)
        self.floats = codec.startswith("pcm_f")
        if layout is None:
            raise UserError(f"{codec} cannot hold {channels} channels: name a .wav, or use --mono")
        if self.wanted and self.wanted not in _held(codec):
            raise no_such_samples(codec, self.wanted)
        # An AVI file cannot say that the encoder's run-in of one frame comes before the beginning:
        # that frame is left out, and so that others do without it nothing is borrowed from it.
        self.too_early = self.suffix == "avi" and codec == "libmp3lame"
        options = {"reservoir": "0"} if self.too_early else {}
        self.sound = self.out.add_stream(codec, rate=self.rate, options=options, layout=layout)
        if codec in LOSSLESS:
            self.sound.codec_context.format = LOSSLESS[codec][self.samples != "PCM_16"]
        self.integers = codec in LOSSLESS or codec.startswith("pcm_s")
        if codec in ("aac", "libopus", "libmp3lame", "libvorbis", "wmav2", "mp2"):
            self.sound.bit_rate = BITS * channels

    def _open_film(self, film: BinaryIO, track: int, codec: str, rate: int, channels: int) -> None:
        """Open the film, and tracks for what is copied from it, in its order."""
        import av

        self.film = av.open(io.BufferedReader(Slice(film, 0, whole(film)), 2**16))
        replaced = self.film.streams.audio[track - 1]
        own = replaced.codec_context.name
        for stream in self.film.streams:
            if stream is replaced:
                if self._can_hold(ENCODERS.get(own, own)):
                    codec = ENCODERS.get(own, own)
                self._add_sound(codec, rate, channels)
                self.sound.metadata.update(replaced.metadata)
                self.sound.disposition = replaced.disposition
            elif stream.type in ("video", "audio", "subtitle"):
                copy = self.out.add_stream_from_template(stream)
                copy.metadata.update(stream.metadata)
                copy.disposition = stream.disposition
                self.copies[stream.index] = copy
        self.start = (self.film.start_time or 0) / 1e6
        if self.film.chapters() and not self.start:
            self.out.set_chapters(self.film.chapters())
        self.copied = self._packets()

    def _can_hold(self, codec: str) -> bool:
        """Whether there is such an encoder, and the container takes what it makes."""
        import av

        try:
            made = av.Codec(codec, "w")
            return made.type == "audio" and made.canonical_name in self.out.supported_codecs
        except (ValueError, KeyError):
            return False

    def _packets(self) -> Iterator[tuple[float, av.Packet]]:
        """What is copied, each packet with the second at which it is due."""
        streams = [self.film.streams[index] for index in self.copies]
        packets = self.film.demux(streams) if streams else iter(())
        last, clocks = 0.0, self._clocks()
        while True:
            try:
                packet = next(packets)
            except (StopIteration, *failures()):  # a damaged end: what is there is copied
                return
            if packet.dts is None and packet.pts is None or not packet.size:
                continue
            shift = round(self.start / packet.time_base)
            packet.dts = None if packet.dts is None else packet.dts - shift
            packet.pts = None if packet.pts is None else packet.pts - shift
            clocks[packet.stream.index].put_behind(packet)
            stamp = packet.dts if packet.dts is not None else packet.pts
            last = max(last, float(stamp * packet.time_base))
            yield last, packet

    def _clocks(self) -> dict[int, _Clock]:
        """A clock for each stream that is copied; subtitles, which are rare, go by another's."""
        forward = self.film.format.name in JUMPING
        clocks, leader = {}, None
        for stream in sorted(self.copies, key=lambda each: self._is_subtitle(each)):
            follows = leader if self._is_subtitle(stream) else None
            clocks[stream] = _Clock(forward, follows)
            leader = leader or clocks[stream]
        return clocks

    def _is_subtitle(self, index: int) -> bool:
        return self.film.streams[index].type == "subtitle"

    def write(self, block: NDArray[np.float32]) -> None:
        """Write a block, and the pictures that go with it."""
        for part in self.feed.take(block, self.given):
            self._write(part)

    def _write(self, block: NDArray[np.float32]) -> None:
        import av

        if not len(block):
            return
        if not self.floats:
            self.clipped += int((np.abs(block) > 1).sum())
            block = block.clip(-1, 1)
        samples, form = block, "fltp"
        if self.integers:  # FFmpeg's own conversion is off by the last of 24 bits
            wide = self.sound.codec_context.format.name[:3] in ("s32", "s64")
            samples, form = as_integers(block, 24 if wide else 16), "s32p" if wide else "s16p"
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T),
            format=form,
            layout=self.sound.codec_context.layout.name,
        )
        frame.rate, frame.pts = self.rate, self.at
        frame.time_base = Fraction(1, self.rate)
        self.at += len(block)
        for part in self.to_codec.resample(frame):
            self._encode(part)
        self._copy(self.at / self.rate)

    def _copy(self, until: float) -> None:
        """Copy what is due up to a second."""
        for due, packet in self.copied:
            packet.stream = self.copies[packet.stream.index]
            self._mux([packet])
            if due >= until:
                return

    def _encode(self, frame: av.AudioFrame | None) -> None:
        packets = self.sound.encode(frame)
        if self.too_early and packets:
            packets, self.too_early = packets[1:], False
        self._mux(packets)

    def _mux(self, packets: list[av.Packet]) -> None:
        try:
            self.out.mux(packets)
        except ValueError as error:
            raise self._refused(error) from None

    def close(self) -> None:
        """Write what is left of the sound and of the pictures."""
        for part in self.feed.flush():
            self._write(part)
        for frame in self.to_codec.resample(None):
            self._encode(frame)
        self._encode(None)
        self._copy(float("inf"))
        self.out.close()
        if self.film is not None:
            self.film.close()


class _Clock:
    """Puts the packets of a stream one behind the other, as containers want them.

    Args:
        forward: Whether a clock may be set forward, too.
        leader: The clock of another stream, of which the shifts are taken.
    """

    def __init__(self, forward: bool = False, leader: _Clock | None = None) -> None:
        self.forward, self.leader = forward, leader
        self.shift, self.end, self.latest = 0, 0, None

    def put_behind(self, packet: av.Packet) -> None:
        """Move a packet that does not come after the one before: all, if the clock was set anew."""
        if packet.dts is None:
            return
        own = packet.dts
        if self.leader:
            self.shift = self.leader.shift
        elif self.latest is not None:
            ahead = float((own + self.shift - self.latest) * packet.time_base)
            if ahead < -CLOCK_SET or self.forward and ahead > LONGEST_GAP:
                self.shift = self.end - own
        own += self.shift
        if self.latest is not None:
            own = max(own, self.latest + 1)
        packet.pts = None if packet.pts is None else packet.pts + own - packet.dts
        packet.dts = self.latest = own
        self.end = own + max(1, packet.duration or 0)
