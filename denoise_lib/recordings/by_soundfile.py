"""Pieces of a recording through soundfile: wav, flac, ogg and what else libsndfile knows."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from denoise_lib.recordings.pieces import FLAC_TOTAL, UNKNOWN, Piece
from denoise_lib.recordings.slices import Slice, silence

BLOCK = 2**16  # samples of all channels in a block, or a few more
OGG_BLOCK = 512  # so short that a hole is found in its place
# What is kept of what a file says of itself, by libsndfile's names, with FFmpeg's.
TAGS = {
    "title": "title",
    "artist": "artist",
    "album": "album",
    "date": "date",
    "genre": "genre",
    "comment": "comment",
    "copyright": "copyright",
    "tracknumber": "track",
}
KNOWN = 2**62  # libsndfile's number of frames where the header does not tell it is above this


# What libsndfile notes of a header that tells more bytes than there are.
TOLD = re.compile(r"(\d+) \(should be (\d+)\)")


class SoundFilePiece:
    """One piece, decoded by soundfile.

    Attributes:
        rate, channels: Of the first sample.
        subtype: Sample format, as soundfile calls it.
        frames: Samples of each channel that the header tells; None where it does not.
        seconds: The same in seconds.
        silent: Seconds that are not there and stand as silence.
        notes: What is to be said of it.
        tags: Title, artist and the like, by the names in ``TAGS``.

    Raises:
        soundfile.SoundFileError, ValueError, TypeError: soundfile does not know it.
    """

    film, tracks, codec = None, (), ""

    def __init__(self, file: BinaryIO, piece: Piece) -> None:
        import soundfile

        options = {}
        if piece.raw:
            rate, channels, subtype, order = piece.raw
            options = {"samplerate": rate, "channels": channels, "subtype": subtype}
            options |= {"format": "RAW", "endian": order}
        instead = _without_total(file, piece)
        part = io.BufferedReader(Slice(file, piece.start, piece.end, instead), 2**16)
        self.file = soundfile.SoundFile(part, **options)
        if instead[1]:  # soundfile seeks behind what it has read, which needs the total
            self.file.seekable = lambda: False
        self.rate, self.channels = self.file.samplerate, self.file.channels
        self.subtype = self.file.subtype
        told = None if piece.raw or self.file.frames >= KNOWN else self.file.frames
        self.frames = piece.frames or told
        if self.frames and not piece.frames:
            self.frames = round(self.frames * _cut_off(self.file.extra_info))
        self.seconds = self.frames and self.frames / self.rate
        self.silent, self.notes = 0.0, [piece.note] if piece.note else []
        self.tags = _tags(self.file)
        self.size = OGG_BLOCK if piece.kind == "ogg" else max(1, BLOCK // self.channels)

    def blocks(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Blocks (time, channels), each with its rate.

        Raises:
            soundfile.SoundFileError, RuntimeError: The piece is damaged.
        """
        at = 0
        while len(block := self.file.read(self.size, dtype="float32", always_2d=True)):
            expected = at + len(block)
            at = self.file.tell() if self.file.seekable() else expected
            if self.frames and expected < at <= self.frames:  # a damaged page was passed over
                self.silent += (at - expected) / self.rate
                yield from silence(at - expected, self.channels, self.rate)
            yield block, self.rate

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _tags(file: Any) -> dict[str, str]:
    """What a file says of itself."""
    tags = {}
    for name in TAGS:
        with suppress(UnicodeError):  # in none of the encodings that may be there
            tags[name] = getattr(file, name)
    return {name: told for name, told in tags.items() if told}


def _without_total(file: BinaryIO, piece: Piece) -> tuple[int, bytes]:
    """Bytes to read in place of a FLAC's own, that it is read to its end and not to its total."""
    if piece.kind != "flac" or not piece.frames:
        return 0, b""
    file.seek(piece.start + FLAC_TOTAL)
    return FLAC_TOTAL, bytes([file.read(1)[0] & 0xF0, 0, 0, 0, 0])


def _cut_off(log: str) -> float:
    """How many times as long as it is a file was by its header; 1 where that fits.

    Args:
        log: libsndfile's notes on the header.
    """
    for told, there in TOLD.findall(log):
        if int(there) < int(told) < UNKNOWN:
            return int(told) / int(there)
    return 1.0
