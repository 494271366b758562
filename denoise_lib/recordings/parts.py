"""Files of parts, each of which tells its own length and none that of all: cut within a part."""

from __future__ import annotations

from typing import BinaryIO

TAIL = 2**21  # bytes at the end in which packs of a program stream are looked for
PACK = b"\0\0\1\xba"
# Parts of a Matroska file that hold parts: the segment, and clusters.
HOLDERS = (0x18538067, 0x1F43B675)
EBML = b"\x1a\x45\xdf\xa3"


def ends_within(file: BinaryIO, start: int, size: int, head: bytes) -> bool:
    """Whether the file between these bytes ends within one of its parts.

    Args:
        head: Its first bytes.
    """
    if head[:4] == PACK:
        return _program_stream(file, start, size)
    if head[:4] == EBML:
        return _matroska(file, start, size)
    return False


def _program_stream(file: BinaryIO, start: int, size: int) -> bool:
    """MPEG-PS, as .mpg and .vob: packs, and in them packets that tell their lengths."""
    first = max(start, size - TAIL)
    file.seek(first)
    content = file.read(size - first)
    at = content.find(PACK)
    while 0 <= at <= len(content) - 4:
        kind = content[at + 3]
        if content[at : at + 3] != b"\0\0\1" or kind < 0xB9:
            return False
        if kind == 0xB9:  # the end
            return False
        if at + 14 > len(content):
            return True
        if kind != 0xBA:
            at += 6 + int.from_bytes(content[at + 4 : at + 6], "big")
        elif content[at + 4] >> 6 == 1:  # of MPEG 2
            at += 14 + (content[at + 13] & 7)
        else:
            at += 12
    return at > len(content)


def _matroska(file: BinaryIO, start: int, size: int) -> bool:
    """A stream of which the writer did not go back to tell its length."""
    at = start
    while at < size:
        file.seek(at)
        head = file.read(12)
        wide = 9 - head[0].bit_length()  # bytes of the name of a part; then its length
        if wide > 4 or len(head) <= wide or not head[wide]:
            return len(head) <= 4
        name, more = int.from_bytes(head[:wide], "big"), 9 - head[wide].bit_length()
        length = int.from_bytes(head[wide : wide + more], "big") & (1 << 7 * more) - 1
        at += wide + more
        if length == (1 << 7 * more) - 1:  # not known
            continue
        if name == HOLDERS[0]:  # the length of all is told, and what is missing by its duration
            return False
        if name not in HOLDERS or at + length > size:
            at += length
    return at > size
