"""Films and other files that have lost their end: what is missing is told in one line."""

import io
import struct

import numpy as np
import pytest
from sounds import RATE, as_bytes, film, voice

from denoise_lib.recordings import cut_off, frames
from denoise_lib.recordings.read import blocks, survey

SOUND = voice(4.0, 48000)
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}
INDEXED = {"movflags": "frag_keyframe+dash+global_sidx", "frag_duration": "500000"}
UNTOLD = "it breaks off, how much is missing after its end is not told"


def surveyed(content, name="x"):
    return survey(io.BytesIO(bytes(content)), name)


def cut(path, share=0.5):
    """Surveys of a file and of its beginning, and what is said of the latter."""
    content = path.read_bytes()
    whole = surveyed(content)
    assert not whole.notes, "nothing is missing in a whole file"
    found = surveyed(content[: round(share * len(content))])
    return whole, found, "; ".join(found.notes)


@pytest.mark.parametrize("pictures", [0, 4.0])
@pytest.mark.parametrize("codec", ["pcm_s16le", "libmp3lame"])
def test_of_an_avi_the_share_is_told(tmp_path, codec, pictures):
    film(tmp_path / "x.avi", [SOUND], codec, pictures=pictures)
    whole, found, told = cut(tmp_path / "x.avi")
    assert 1.5 < found.seconds < 2.5 < whole.seconds
    missing = whole.seconds - found.seconds
    assert told.startswith("it ends early") and ";" not in told
    assert abs(float(told.split("damaged, ")[1].split()[0]) - missing) < 0.1


def test_an_avi_of_several_parts_is_whole(tmp_path):
    """Above 1 GB an AVI file goes on in further parts, of which the first header knows nothing."""
    film(tmp_path / "x.avi", [SOUND], "pcm_s16le", pictures=0)
    content = (tmp_path / "x.avi").read_bytes()
    more = b"RIFF" + struct.pack("<I", 16) + b"AVIXJUNK" + struct.pack("<I", 4) + bytes(4)
    assert cut_off.cut_off(io.BytesIO(content + more), 0, len(content + more)) is None
    cut_more = content + more[:-4]
    assert cut_off.cut_off(io.BytesIO(cut_more), 0, len(cut_more)).seconds == pytest.approx(4.0)


def test_an_index_of_parts_that_is_too_short_is_passed_over(tmp_path):
    film(tmp_path / "x.mp4", [SOUND], pictures=4.0, **INDEXED)
    content = (tmp_path / "x.mp4").read_bytes()
    at = content.index(b"sidx") - 4
    short = content[:at] + struct.pack(">I4s", 16, b"sidx") + bytes(8) + content[at:]
    assert cut_off.cut_off(io.BytesIO(short), 0, len(short)) is None


@pytest.mark.parametrize("subtype", ["PCM_16", "ALAC_16"])
def test_of_a_caf_the_share_is_told(tmp_path, subtype):
    content = as_bytes(voice(4.0), RATE, "CAF", subtype)
    assert not surveyed(content).notes
    found = surveyed(content[: len(content) // 2])
    assert 1.5 < found.seconds < 2.5
    assert "s of 4.00 s" in found.notes[0] and len(found.notes) == 1


@pytest.mark.parametrize("pictures", [0, 4.0])
def test_of_a_fragmented_mp4_it_is_told_that_it_breaks_off(tmp_path, pictures):
    film(tmp_path / "x.mp4", [SOUND], pictures=pictures, **FRAGMENTED)
    _, found, told = cut(tmp_path / "x.mp4")
    assert told == UNTOLD and 1.0 < found.seconds < 3.0


@pytest.mark.parametrize("codec", ["flac", "libopus"])
def test_of_a_film_in_one_fragment_a_frame_nothing_is_missing(tmp_path, codec):
    """FFmpeg stamps some of its frames too late, and passes over others when it reads them."""
    film(tmp_path / "x.mp4", [SOUND], codec, pictures=4.0, movflags="frag_every_frame")
    found = surveyed((tmp_path / "x.mp4").read_bytes())
    assert not found.notes and found.seconds == pytest.approx(4.0, abs=0.015)
    if codec == "flac":
        out = np.concatenate(list(blocks(found)))[:, 0]
        np.testing.assert_allclose(out, SOUND, atol=2**-15)


def test_a_fragmented_mp4_can_be_cut_anywhere(tmp_path):
    """FFmpeg refuses one that ends within the list of a fragment's samples."""
    film(tmp_path / "x.mp4", [SOUND], pictures=0, **FRAGMENTED)
    content = (tmp_path / "x.mp4").read_bytes()
    at = content.index(b"moof", len(content) // 2) + 20
    found = surveyed(content[:at])
    assert found.notes == [UNTOLD] and found.seconds > 1.0


def test_of_a_fragmented_mp4_with_an_index_the_share_is_told(tmp_path):
    film(tmp_path / "x.mp4", [SOUND], pictures=4.0, **INDEXED)
    whole, found, told = cut(tmp_path / "x.mp4")
    missing, _, _, total = told.split("damaged, ")[1].split()[:4]
    assert float(missing) + found.seconds == pytest.approx(whole.seconds, abs=0.05)
    assert float(total) == pytest.approx(whole.seconds, abs=0.05) and UNTOLD not in told


def test_the_length_of_all_fragments_counts_where_it_is_told():
    """As `mehd` tells it: 90 units, of which `mvhd` says that a second has 30."""
    head = struct.pack(">I4s4x", 108, b"mvhd") + struct.pack(">4I", 0, 0, 30, 0) + bytes(80)
    more = struct.pack(">I4s", 24, b"mvex") + struct.pack(">I4s4xI", 16, b"mehd", 90)
    index = struct.pack(">I4s", 8 + len(head) + len(more), b"moov") + head + more
    content = index + struct.pack(">I4s", 1000, b"mdat") + bytes(500)
    assert cut_off.cut_off(io.BytesIO(content), 0, len(content)).seconds == 3.0


@pytest.mark.parametrize("name", ["x.mp4", "x.mkv"])
def test_of_another_film_the_lost_sound_is_counted_once(tmp_path, name):
    film(tmp_path / name, [SOUND], pictures=4.0, movflags="faststart")
    whole, found, told = cut(tmp_path / name)
    assert found.seconds == pytest.approx(whole.seconds, abs=0.05)
    missing, total = float(told.split()[0]), float(told.split()[3])
    assert 1.0 < missing < 3.5 and total == pytest.approx(whole.seconds, abs=0.05)


@pytest.mark.parametrize("pictures", [0, 4.0])
@pytest.mark.parametrize("codec", ["aac", "mp2"])
@pytest.mark.parametrize("whole_packets", [False, True])
def test_of_a_transport_stream_it_is_told_that_it_breaks_off(
    tmp_path, codec, pictures, whole_packets
):
    film(tmp_path / "x.ts", [SOUND], codec, pictures=pictures)
    content = (tmp_path / "x.ts").read_bytes()
    assert not surveyed(content).notes
    at = len(content) // 2
    if whole_packets:  # behind the first packet of several that hold one stretch of sound
        starts = range(at // 188 * 188, len(content), 188)
        first = next(each for each in starts if b"\0\0\1\xc0" in content[each : each + 188])
        at = first + 188
    else:
        at = at // 188 * 188 + 100
    found = surveyed(content[:at])
    assert found.notes == [UNTOLD] and 1.0 < found.seconds < 3.0


@pytest.mark.parametrize("name", ["x.flv", "x.wv"])
def test_other_headers_tell_a_length_too(tmp_path, name):
    film(tmp_path / name, [SOUND], "aac" if name == "x.flv" else "wavpack", pictures=0)
    _, found, told = cut(tmp_path / name)
    assert 0.5 < found.seconds < 3.0 and "it ends early or is damaged" in told


@pytest.mark.parametrize(
    ("name", "codec", "pictures"),
    [("x.ac3", "ac3", 0), ("x.eac3", "eac3", 0), ("x.mp2", "mp2", 0), ("x.voc", "pcm_s16le", 0)]
    + [("x.vob", "mp2", 0), ("x.vob", "mp2", 4.0), ("x.mpg", "mp2", 4.0)],
)
def test_what_tells_no_length_breaks_off(tmp_path, name, codec, pictures):
    """In the middle of a frame, or of a part of the file; what is left of it is no sound."""
    film(tmp_path / name, [SOUND], codec, pictures=pictures)
    whole, found, told = cut(tmp_path / name, 0.513)
    assert whole.seconds == pytest.approx(4.0, abs=0.05)
    assert told == UNTOLD and 1.0 < found.seconds < 3.0
    assert found.meter.peak.max() < 1.2 * np.abs(SOUND).max()


@pytest.mark.parametrize("name", ["x.mkv", "x.webm"])
def test_a_live_matroska_stream_breaks_off(tmp_path, name):
    film(tmp_path / name, [SOUND], "libopus", pictures=0, live="1")
    _, found, told = cut(tmp_path / name)
    assert told == UNTOLD and 1.0 < found.seconds < 3.0


@pytest.mark.parametrize(("told", "seconds"), [(500, 7.0), (300, None)])
def test_the_length_of_a_wma_file_counts_where_bytes_are_missing(told, seconds):
    """10 s, of which 3 s are read ahead; 300 bytes are there."""
    lengths = struct.pack("<16xQ16xQ8xQ12x", told, 100_000_000, 3000)
    content = cut_off.ASF + bytes(14) + cut_off.ASF_FILE + bytes(8) + lengths
    content += bytes(300 - len(content))
    found = cut_off.cut_off(io.BytesIO(content), 0, len(content))
    assert (found and found.seconds) == seconds


def test_the_blocks_of_a_voc_file_are_no_sound(tmp_path):
    film(tmp_path / "x.voc", [SOUND], "pcm_s16le", pictures=0)
    file = io.BytesIO((tmp_path / "x.voc").read_bytes())
    found = survey(file, "x")
    out = np.concatenate(list(blocks(found)))[:, 0]
    np.testing.assert_allclose(out, SOUND, atol=2**-15)


@pytest.mark.parametrize(
    ("codec", "head", "length"),
    [
        ("ac3", "0b7734980c402f84", 384),
        ("ac3", "0b770000 40 40 0000", 138),  # 32 kbit/s at 44.1 kHz: 69 words
        ("ac3", "0b770000 41 40 0000", 140),  # and one more
        ("eac3", "0b7700bf3287c000", 384),
        ("mp2", "fffde4c4dbbcbccb", 1152),
        ("mp3float", "fffb54c40000055c", 192),
        ("dca", "7ffe8001fc3c75b0", 1884),
        ("aac", "fff14c80221ffc00", 272),
        ("aac", "211b8000", None),  # in a container, without a head of its own
        ("ac3", "0b77", None),
    ],
)
def test_frames_tell_their_lengths(codec, head, length):
    assert frames.told_length(codec, bytes.fromhex(head)) == length


def test_frames_of_aac_that_break_off(tmp_path):
    film(tmp_path / "x.aac", [SOUND], pictures=0)
    _, found, told = cut(tmp_path / "x.aac", 0.513)
    assert told == UNTOLD and 1.0 < found.seconds < 3.0


def test_a_caf_without_its_index_says_so(tmp_path):
    film(tmp_path / "x.caf", [SOUND], "alac", pictures=0)
    content = (tmp_path / "x.caf").read_bytes()
    with pytest.raises(Exception, match="with its index, is missing"):
        surveyed(content[: len(content) // 2])
