"""MP3 has no time stamps: its frames are counted, and those that damage has swallowed estimated.

A decoder cuts an MP3 into packets at the marks of its frames. Where the marks are damaged, one
packet holds what was several frames, or bytes are gone. The first frame usually tells how many
frames there are in all, so that the number of lost ones is known.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

# kbit/s of layer III, by the number in a frame's head: MPEG 1, and MPEG 2 and 2.5.
BITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
)
RATES = {3: (44100, 48000, 32000, 0), 2: (22050, 24000, 16000, 0), 0: (11025, 12000, 8000, 0)}
LAYER_3 = 1
JUNK = 2**17  # bytes in which an MP3 begins, whatever comes before
MARKS = (b"Xing", b"Info")  # in the first frame, which tells how many there are
BELIEVED = 100  # times as many frames as are there; a larger number is itself damaged
BEFORE_MARK = (36, 21, 13)  # bytes: MPEG 1 stereo; mono, or MPEG 2 stereo; MPEG 2 mono


class Told(NamedTuple):
    """What the first frame announces: frames, and samples without what the encoder has added."""

    frames: int
    samples: int


def told(file: BinaryIO, start: int) -> Told | None:
    """What the first frame of an MP3 that begins at ``start`` announces, if it does."""
    file.seek(start)
    head = file.read(4096)
    there, head = len(head), head.ljust(4096, b"\0")  # a file may end within the frame
    size = 1152 if head[1] & 8 else 576  # MPEG 2 and 2.5 have half the samples
    for mark, place in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        at = head.find(mark)
        if not 0 <= at < 200 or at + place + 4 > there:
            continue
        if mark != b"VBRI" and not head[at + 7] & 1:
            continue
        count = struct.unpack(">I", head[at + place : at + place + 4])[0]
        return Told(count, max(0, count * size - _added(head[at:], mark)))
    return None


def behind_junk(file: BinaryIO) -> int:
    """Where four frames of an MP3 come one behind the other; 0 where there are none soon.

    To be asked where nothing else can be read: there are MP3s within other files, too.
    """
    file.seek(0)
    content = file.read(JUNK)
    at = content.find(b"\xff")
    while at >= 0:
        behind = at
        for _ in range(4):
            length = frame_length(content[behind : behind + 4])
            if not length:
                break
            behind += length
        else:
            return at
        at = content.find(b"\xff", at + 1)
    return 0


def first_frame(file: BinaryIO, mark: int) -> int | None:
    """Where the frame begins that has one of ``MARKS`` there; None where it is no such frame."""
    for before in BEFORE_MARK:
        if before > mark:
            continue
        file.seek(mark - before)
        head = file.read(4)
        length = frame_length(head)
        if not length or length <= before:
            continue
        file.seek(mark - before + length)
        behind = file.read(4)
        same = behind[:1] == head[:1] and behind[1:2] == head[1:2] and frame_length(behind)
        file.seek(mark - before + 4)
        if same and not any(file.read(before - 4)):  # that frame holds no sound
            return mark - before
    return None


def _added(head: bytes, mark: bytes) -> int:
    """Samples that the encoder has put before and behind the sound, as LAME's mark tells them."""
    flags = head[7]
    at = 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    if mark == b"VBRI" or head[at : at + 4] not in (b"LAME", b"Lavf", b"Lavc"):
        return 0
    before, both, behind = head[at + 21 : at + 24]
    return (before << 4 | both >> 4) + ((both & 15) << 8 | behind)


def frame_length(head: bytes) -> int | None:
    """Bytes of the frame of layer III that begins so; None where this is no such head."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or head[1] >> 1 & 3 != LAYER_3:
        return None
    version = head[1] >> 3 & 3
    rate = RATES.get(version, (0,) * 4)[head[2] >> 2 & 3]
    bits = 1000 * BITS[version != 3][head[2] >> 4]
    if not rate or not bits:
        return None
    return (144 if version == 3 else 72) * bits // rate + (head[2] >> 1 & 1)


def lost_frames(packets: Iterable[tuple[int, bytes]], announced: int | None) -> dict[int, int]:
    """How many frames are lost behind which packet.

    Args:
        packets: Size and first bytes of each.
        announced: Number of frames by the first one, if that tells it.

    Returns:
        Number of frames by the number of a damaged packet, from 0.
    """
    damaged, count, bytes_whole, whole = {}, 0, 0, True
    for size, head in packets:
        whole = frame_length(head) == size
        if whole:
            bytes_whole += size
        elif count:  # the first packet may hold what stands before the first frame
            damaged[count] = size
        count += 1
    if not whole:
        damaged.pop(count - 1, None)  # the end is cut off, or followed by a tag
    mean = bytes_whole / max(1, count - len(damaged))
    guessed = {at: max(0, round(size / max(mean, 1)) - 1) for at, size in damaged.items()}
    if announced is None or not whole or not damaged or announced > BELIEVED * count:
        return guessed
    return _shared(max(0, announced - count), damaged)


def _shared(total: int, weights: dict[int, int]) -> dict[int, int]:
    """A number of frames shared out by weights, in whole numbers that add up to it."""
    shares, given, sofar, of = {}, 0, 0, sum(weights.values())
    for at, weight in weights.items():
        sofar += weight
        shares[at] = round(total * sofar / of) - given
        given += shares[at]
    return shares
