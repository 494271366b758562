"""What a file holds, told by its content: pieces one behind the other, and headers that are wrong.

Chained Ogg streams, and FLAC, MP3 or WAV files that were joined byte by byte, are pieces. A writer
that could not go back to its WAV header leaves sizes of 0 or of the largest number; above 4 GiB
only the remainder of a size is kept.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO

from denoise_lib.recordings import mp3
from denoise_lib.recordings.slices import whole

WAV_CODES = {1: {8: "PCM_U8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32"}}
WAV_CODES |= {3: {32: "FLOAT", 64: "DOUBLE"}, 6: {8: "ALAW"}, 7: {8: "ULAW"}}
EXTENSIBLE = 0xFFFE
CHUNKS = (b"fmt ", b"data", b"LIST", b"fact", b"bext", b"JUNK", b"iXML", b"cue ", b"smpl", b"ds64")
UNKNOWN = 0x7FFFF000  # sizes from here on are what streaming writers put in
BREAKS_OFF = "it breaks off, how much is missing after its end is not told"
FLAC = b"fLaC\x00\x00\x00\x22"  # with the head of the block that must come first
FLAC_TOTAL = 21  # bytes from its beginning to those of which the last 36 bits tell its samples


@dataclass(frozen=True)
class Piece:
    """A part of a file that can be read as a file of its own.

    Args:
        start, end: Its bytes.
        kind: "ogg", "opus" and "flac in ogg" (both in Ogg), "flac", "wav", "mp3", "voc", "raw"
            (samples without a header), or "" where the content does not say.
        raw: For "raw": rate, channels, sample format and byte order, as soundfile takes them.
        frames: Samples of each channel that its header tells; None where it does not.
        note: What its header says wrongly.
    """

    start: int
    end: int
    kind: str = ""
    raw: tuple[int, int, str, str] | None = None
    frames: int | None = None
    note: str = ""


def pieces(file: BinaryIO) -> list[Piece]:
    """The pieces of a file, in their order."""
    size, start = whole(file), after_tag(file)
    file.seek(start)
    head = file.read(12)
    if head[:4] == b"OggS":
        return _ogg_chains(file, start, size)
    if head[:4] == b"fLaC":
        parts = _flac_files(file, start, size)
        return [Piece(*part, "flac", frames=_flac_frames(file, part[0])) for part in parts]
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE":
        return _wav_files(file, start, size)
    if len(head) > 3 and head[0] == 0xFF and head[1] >= 0xE2 and (head[1] >> 1) & 3:
        return _mp3_files(file, start, size)
    if head[:12] == b"Creative Voi":
        return [Piece(0, size, "voc")]
    return [Piece(0, size)]


def after_tag(file: BinaryIO, at: int = 0) -> int:
    """Where the content behind ``at`` begins: behind ID3 tags, which some put before anything."""
    while True:
        file.seek(at)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10:
            return at
        at += 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )


def _ogg_chains(file: BinaryIO, start: int, size: int) -> list[Piece]:
    """The chains: one begins where first pages come after other pages."""
    starts, at, heads, last = [start], start, True, False
    while at < size:
        file.seek(at)
        page = file.read(27)
        if page[:4] != b"OggS" or len(page) < 27:
            at = _find(file, b"OggS", at + 1)
            if at < 0:
                break
            continue
        first, last = bool(page[5] & 2), bool(page[5] & 4)
        if first and not heads:
            starts.append(at)
        heads = first
        at += 27 + page[26] + sum(file.read(page[26]))
    parts = zip(starts, [*starts[1:], size], strict=True)
    found = [Piece(*part, _ogg_kind(file, part[0])) for part in parts]
    if at > size or not last:
        found[-1] = replace(found[-1], note=BREAKS_OFF)
    return found


def _ogg_kind(file: BinaryIO, start: int) -> str:
    """What is in the chain that begins there."""
    file.seek(start)
    head = file.read(64)
    return "opus" if b"OpusHead" in head else "flac in ogg" if b"\x7fFLAC" in head else "ogg"


def _flac_files(file: BinaryIO, start: int, size: int) -> list[tuple[int, int]]:
    """Bytes of each FLAC file."""
    starts = [start]
    while (at := _find(file, FLAC, starts[-1] + 1)) >= 0:
        starts.append(at)
    return list(zip(starts, [*starts[1:], size], strict=True))


def _flac_frames(file: BinaryIO, start: int) -> int | None:
    """Samples that the head of a FLAC file tells; None where it tells none."""
    file.seek(start + FLAC_TOTAL)
    return (int.from_bytes(file.read(5), "big") & (1 << 36) - 1) or None


def _mp3_files(file: BinaryIO, start: int, size: int) -> list[Piece]:
    """MP3 files one behind the other: one begins with the frame that tells its length."""
    firsts, starts, at = [start], [0], start + 1
    marks = dict.fromkeys(mp3.MARKS, start)
    while True:
        for mark, found in marks.items():
            if 0 <= found < at:
                marks[mark] = _find(file, mark, at)
        at = min((found for found in marks.values() if found >= 0), default=-1)
        if at < 0:
            break
        first = mp3.first_frame(file, at)
        if first is not None and first > firsts[-1]:
            starts.append(_before_tag(file, starts[-1], first))
            firsts.append(first)
        at += 1
    parts = []
    for first, begin, end in zip(firsts, starts, [*starts[1:], size], strict=True):
        announced = mp3.told(file, first)
        parts.append(Piece(begin, end, "mp3", frames=announced and announced.samples))
    return parts


def _before_tag(file: BinaryIO, least: int, start: int) -> int:
    """Where the ID3 tag begins that ends at ``start``; ``start`` itself where there is none."""
    first = max(least, start - 2**20)  # a tag with a picture
    file.seek(first)
    content = file.read(start - first)
    at = content.rfind(b"ID3")
    while at >= 0:
        if after_tag(file, first + at) == start:
            return first + at
        at = content.rfind(b"ID3", 0, at)
    return start


def _find(file: BinaryIO, sought: bytes, start: int) -> int:
    """Where these bytes come next; -1 if nowhere."""
    try:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(sought, start)
    except (OSError, ValueError, AttributeError):  # kept in memory
        file.seek(start)
        at = file.read().find(sought)
        return start + at if at >= 0 else -1


def _wav_files(file: BinaryIO, start: int, size: int) -> list[Piece]:
    """WAV files one behind the other; the sound of one whose sizes are wrong goes to its end."""
    found = []
    while start < size:
        piece = _wav(file, start, size)
        if piece is None:
            break
        found.append(piece)
        more, start = _behind(file, start, piece.end, size)
        found += more
    return found or [Piece(start, size, "wav")]


def _behind(file: BinaryIO, start: int, end: int, size: int) -> tuple[list[Piece], int]:
    """Further chunks of sound in the WAV file that begins at ``start``, and where the next begins.

    Args:
        end: End of its first chunk of sound.
        size: Of the whole file, which is the answer where no other WAV file follows.
    """
    file.seek(start)
    order = ">" if file.read(4) == b"RIFX" else "<"
    found, at = [], end
    form = _form(file, start, end, order)
    file.seek(end)
    if file.read(1) == b"\0":  # which makes lengths even; some writers leave it out
        at += 1
    while at + 8 <= size:
        file.seek(at)
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE":
            return found, at
        name, length = struct.unpack(f"{order}4sI", head[:8])
        if name == b"data" and form and form[0] and form[2]:
            last = min(size, at + 8 + length)
            told = length // form[3] if length < UNKNOWN else None
            if last - at - 8 >= form[3]:
                found.append(Piece(at + 8, last, "raw", _as_raw(form, order), told))
        elif not all(32 <= byte < 127 for byte in name):
            break
        at += 8 + length + length % 2
    return found, size


def _form(
    file: BinaryIO, start: int, end: int, order: str
) -> tuple[int, int, str | None, int] | None:
    """The sample format of the WAV file between these bytes."""
    at = start + 12
    while at + 8 <= end:
        file.seek(at)
        name, length = struct.unpack(f"{order}4sI", file.read(8))
        if name == b"fmt ":
            return wav_format(file.read(min(length, 40)), order)
        at += 8 + length + length % 2
    return None


def _wav(file: BinaryIO, start: int, size: int) -> Piece | None:
    """The WAV file that begins at ``start``; None where its chunks make no sense."""
    file.seek(start)
    riff = file.read(12)
    order = ">" if riff[:4] == b"RIFX" else "<"
    at, form, wide, padded = start + 12, None, None, True
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack(f"{order}4sI", file.read(8))
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            wide = struct.unpack("<QQ", sizes)[1]
        if name == b"fmt ":
            form = wav_format(file.read(min(length, 40)), order)
        if name == b"data":
            if wide is not None and length == 0xFFFFFFFF:
                length = wide
            piece = _with_data(file, start, size, at + 8, length, form)
            known = form and form[0] and form[2]
            if padded or piece.raw or not known:
                return piece
            return replace(piece, start=at + 8, kind="raw", raw=_as_raw(form, order))
        at += 8 + length
        if length % 2:  # some writers leave out the byte that makes lengths even
            file.seek(at)
            padded = file.read(4) not in CHUNKS
            at += padded
    return None


def wav_format(chunk: bytes, order: str) -> tuple[int, int, str | None, int]:
    """Rate, channels, sample format (None: a codec) and bytes of a sample of all channels."""
    if len(chunk) < 16:
        return 0, 0, None, 0
    code, channels, rate, _, width, bits = struct.unpack(f"{order}HHIIHH", chunk[:16])
    if code == EXTENSIBLE and len(chunk) >= 26:
        code = struct.unpack(f"{order}H", chunk[24:26])[0]
    if width * 8 != channels * bits:
        return rate, channels, None, width
    return rate, channels, WAV_CODES.get(code, {}).get(bits), width


def _with_data(
    file: BinaryIO,
    start: int,
    size: int,
    data: int,
    length: int,
    form: tuple[int, int, str | None, int] | None,
) -> Piece:
    """The piece of a WAV file of which the data begin at ``data`` and have ``length`` by header."""
    there = size - data
    rate, channels, subtype, width = form or (0, 0, None, 0)
    if subtype is None or not rate or not channels:
        end = (
            data + length
            if 0 < length <= there and _chunks_follow(file, data + length, size)
            else size
        )
        return Piece(start, end, "wav")
    file.seek(start)
    raw = _as_raw(form, ">" if file.read(4) == b"RIFX" else "<")
    if length > there:
        told = (
            None if length >= UNKNOWN and length - there > 2**20 and _streamed(length) else length
        )
        return Piece(data, size, "raw", raw, told and told // width)
    if length == 0 and there >= width and not _chunks_follow(file, data, size):
        return Piece(data, size, "raw", raw, None, "its header does not tell its length")
    if there - length < 2 * width or _chunks_follow(file, data + length + length % 2, size):
        return Piece(start, data + length, "wav", frames=length // width)
    # Sizes are kept modulo 4 GiB; the largest that fits may be followed by other chunks.
    full = length + (there - length) // 2**32 * 2**32
    if full > length and _chunks_follow(file, data + full + full % 2, size):
        end = data + full
    else:
        end = size
    seconds = (end - data) // width / rate
    note = f"its header knows of {length // width / rate:.2f} s, it holds {seconds:.2f} s"
    return Piece(data, end, "raw", raw, None, note)


def _as_raw(form: tuple[int, int, str, int], order: str) -> tuple[int, int, str, str]:
    rate, channels, subtype, _ = form
    return rate, channels, subtype, "BIG" if order == ">" else "LITTLE"


def _streamed(length: int) -> bool:
    """Whether a size means "not known": the largest numbers, as streaming writers put them."""
    return any(abs(length - most) <= 4096 for most in (2**31, 2**32))


def _chunks_follow(file: BinaryIO, at: int, size: int) -> bool:
    """Whether nothing but whole chunks, another file or a tag follows."""
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name in (b"RIFF", b"RF64", b"RIFX", b"FORM", b"data") or name[:3] in (b"TAG", b"ID3"):
            return True
        if not all(32 <= byte < 127 for byte in name) or at + 8 + length > size:
            return False
        at += 8 + length + length % 2
    return True
