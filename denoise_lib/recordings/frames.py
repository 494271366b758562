"""How long a frame of compressed sound says it is, so that one that breaks off is known."""

from __future__ import annotations

from denoise_lib.recordings.mp3 import RATES, frame_length

# kbit/s of layer II, by the number in a frame's head: MPEG 1, and MPEG 2.
LAYER_2 = (
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
)
AC3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
HEAD = 8  # bytes that tell it


def told_length(codec: str, head: bytes) -> int | None:
    """Bytes of a frame by its head; None where that does not tell them.

    Args:
        codec: FFmpeg's name.
        head: The first ``HEAD`` bytes of the frame, or all of a shorter one.
    """
    if len(head) < HEAD:
        return None
    if codec in ("mp3", "mp3float"):
        return frame_length(head)
    if codec in ("mp2", "mp2float"):
        return _layer_2(head)
    if codec in ("ac3", "eac3") and head[:2] == b"\x0b\x77":
        return _dolby(head)
    if codec == "dca" and head[:4] == b"\x7f\xfe\x80\x01":
        return ((head[5] & 3) << 12 | head[6] << 4 | head[7] >> 4) + 1
    if codec == "aac" and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:  # with a head of its own
        return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return None


def _layer_2(head: bytes) -> int | None:
    if head[0] != 0xFF or head[1] & 0xE6 != 0xE4:
        return None
    version = head[1] >> 3 & 3
    rate = RATES.get(version, (0,) * 4)[head[2] >> 2 & 3]
    bits = 1000 * LAYER_2[version != 3][head[2] >> 4]
    return 144 * bits // rate + (head[2] >> 1 & 1) if rate and bits else None


def _dolby(head: bytes) -> int | None:
    if head[5] >> 3 > 10:  # E-AC-3
        return 2 * (((head[2] & 7) << 8 | head[3]) + 1)
    rate, place = head[4] >> 6, head[4] & 63
    if rate == 3 or place // 2 >= len(AC3):
        return None
    bits = 1000 * AC3[place // 2]  # per second
    words = bits * 96 // (48000, 44100, 32000)[rate]  # 1536 samples a frame, 16 bits a word
    return 2 * (words + (place & 1 if rate == 1 else 0))
