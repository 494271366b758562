"""Files that end before their container does: what its header tells of the rest.

A recorder that loses its power, or a copy that breaks off, leaves the beginning of a file. FFmpeg
takes what is there of an AVI, MPEG-TS, CAF, WMA or fragmented MP4 file for all of it, without a
word.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from denoise_lib.recordings.parts import ends_within

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # the object that tells lengths
HEAD = 2**16  # bytes in which an AVI file tells the lengths of its streams
TAIL = 2**21  # bytes at the end of a transport stream in which its last packets of sound begin
SOUND = (0xBD, 0xFD, *range(0xC0, 0xE0))  # kinds of packets of sound in a transport stream


@dataclass(frozen=True)
class CutOff:
    """What is known of a file that has lost its end.

    Args:
        end: The byte up to which it can be read.
        seconds: Length by its header; None where that does not tell it.
        share: Share of the sound's bytes that is there; None where their number is not told.
    """

    end: int
    seconds: float | None = None
    share: float | None = None


def cut_off(file: BinaryIO, start: int, size: int) -> CutOff | None:
    """What is known of the file between these bytes if it has lost its end, else None."""
    file.seek(start)
    head = file.read(205)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _avi(file, start, size)
    if head[:4] == b"caff":
        return _caf(file, start, size)
    if head[:16] == ASF:
        return _asf(file, start, size)
    if ends_within(file, start, size, head):
        return CutOff(size)
    if head[4:8] in (b"ftyp", b"styp", b"moov", b"moof"):
        return _fragments(file, start, size)
    for length, first in ((188, 0), (192, 4), (204, 0)):
        if len(head) > first + length and head[first] == head[first + length] == 0x47:
            return _transport_stream(file, start + first, size, length)
    return None


def _avi(file: BinaryIO, start: int, size: int) -> CutOff | None:
    """Its parts tell their sizes, and each stream its length, in units of its own."""
    at = start
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF":
            return None
        at += 8 + length + length % 2
    if at - size <= 1:  # a last byte that only makes the length even may be left out
        return None
    file.seek(start)
    head, seconds, found = file.read(HEAD), 0.0, 0
    while (found := head.find(b"strh", found)) >= 0 and found + 44 <= len(head):
        scale, rate, _, length = struct.unpack("<4I", head[found + 28 : found + 44])
        seconds = max(seconds, length * scale / rate if rate else 0.0)
        found += 4
    return CutOff(size, seconds or None)


def _caf(file: BinaryIO, start: int, size: int) -> CutOff | None:
    """Its chunk of sound tells its size, where the writer knew it."""
    at = start + 8
    while at + 12 <= size:
        file.seek(at)
        name, length = struct.unpack(">4sq", file.read(12))
        at += 12
        if name == b"data" and at + length > size:
            return CutOff(size, share=(size - at) / length)
        if length < 0:
            return None
        at += length
    return None


def _asf(file: BinaryIO, start: int, size: int) -> CutOff | None:
    """WMA and WMV tell their bytes, and their length with the time that is read ahead."""
    file.seek(start)
    head = file.read(HEAD)
    at = head.find(ASF_FILE)
    if at < 0 or at + 88 >= len(head):
        return None
    told, duration = (int.from_bytes(head[at + k : at + k + 8], "little") for k in (40, 64))
    ahead = int.from_bytes(head[at + 80 : at + 88], "little")
    seconds = duration / 1e7 - ahead / 1e3
    if told <= size - start or head[at + 88] & 1:  # of a broadcast neither is known
        return None
    return CutOff(size, seconds if seconds > 0 else None)


def _fragments(file: BinaryIO, start: int, size: int) -> CutOff | None:
    """A fragmented MP4 file; of another one the index tells what there should be."""
    fragmented, seconds = False, None
    for name, at, head, end in _boxes(file, start, size):
        if name == b"moov":
            file.seek(at)
            index = file.read(min(end, size) - at)
            fragmented, seconds = b"mvex" in index, _told_by(index)
        if name == b"sidx" and end <= size:
            file.seek(at)
            seconds = seconds or _told_ahead(file.read(end - at), size - end)
        if end > size:
            if not fragmented or name not in (b"moof", b"mdat"):
                return None
            # FFmpeg refuses a whole file in which the list of a fragment's samples is cut off.
            return CutOff(at if name == b"moof" or at + head > size else size, seconds)
    return None


def _boxes(file: BinaryIO, start: int, size: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Each box of an MP4 file: its name, beginning, bytes of its head, and end."""
    at = start
    while at + 8 <= size:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            length, head = int.from_bytes(file.read(8), "big"), 16
        if length < head:  # 0: to the end of the file
            return
        yield name, at, head, at + length
        at += length


def _told_by(index: bytes) -> float | None:
    """Seconds of all fragments, as some writers put them into the index."""
    whole, unit = index.find(b"mehd"), index.find(b"mvhd")
    if min(whole, unit) < 0:
        return None
    index += bytes(32)  # of a short box, so that there is something to read
    rate = struct.unpack_from(">I", index, unit + (24 if index[unit + 4] else 16))[0]
    length = struct.unpack_from(">Q" if index[whole + 4] else ">I", index, whole + 8)[0]
    return length / rate if rate and length else None


def _told_ahead(index: bytes, there: int) -> float | None:
    """Seconds of all parts by an index before them; None where it is an index of what is there.

    Args:
        index: A box "sidx".
        there: Bytes of the file behind it.
    """
    if len(index) < 32:  # a damaged one
        return None
    rate, head = struct.unpack_from(">I", index, 16)[0], 40 if index[8] else 32
    parts = list(struct.iter_unpack(">3I", index[head : head + (len(index) - head) // 12 * 12]))
    if not rate or sum(size & 0x7FFFFFFF for size, _, _ in parts) <= there:
        return None
    return sum(duration for _, duration, _ in parts) / rate


def _transport_stream(file: BinaryIO, start: int, size: int, length: int) -> CutOff | None:
    """MPEG-TS: cut within one of its packets, or within a packet of sound that spans several."""
    if (size - start) % length not in (0, 188):
        return CutOff(size)
    count = (size - start + length - 188) // length
    first = max(0, count - TAIL // length)
    file.seek(start + first * length)
    content = file.read((count - first) * length)
    wanted: dict[int, int] = {}  # bytes that are still to come, by the stream's number
    for at in range(0, len(content) - 187, length):
        packet = content[at : at + 188]
        number = (packet[1] & 0x1F) << 8 | packet[2]
        payload = packet[4:]
        if packet[0] != 0x47 or not packet[3] & 0x10:
            continue
        if packet[3] & 0x20:
            payload = payload[1 + payload[0] :]
        if packet[1] & 0x40:
            wanted.pop(number, None)
            if payload[:3] == b"\0\0\1" and payload[3] in SOUND:
                told = int.from_bytes(payload[4:6], "big")
                if told:
                    wanted[number] = 6 + told
        if number in wanted:
            wanted[number] -= len(payload)
    return CutOff(size) if any(left > 0 for left in wanted.values()) else None
