"""Recordings as people have them: what can be read is read, in its place, and losses told."""

import io
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
from sounds import RATE, as_bytes, film, place, scratched, voice, with_data_size

from denoise_lib import audio
from denoise_lib.errors import UserError
from denoise_lib.recordings import mp3, pieces
from denoise_lib.recordings.read import blocks, survey
from denoise_lib.recordings.slices import opened

VOICE = voice()


def read(source, name="x", track=None):
    """The survey of a file, of which the content may be given, and its samples."""
    if isinstance(source, (bytes, bytearray)):
        file = io.BytesIO(bytes(source))
        found = survey(file, name, track)
        return found, np.concatenate(list(blocks(found)))
    with opened(source) as file:
        found = survey(file, source, track)
        return found, np.concatenate(list(blocks(found)))


def told(found):
    return "; ".join(found.notes)


# WAV and its headers


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 6000])
def test_a_wav_with_a_wrong_size_is_read_to_its_end(subtype, channels, size):
    samples = np.repeat(VOICE[:, None], channels, axis=1)
    wav = as_bytes(samples, subtype=subtype)
    found, out = read(with_data_size(wav, size))
    expected, _ = soundfile.read(io.BytesIO(bytes(wav)), dtype="float32", always_2d=True)
    assert np.array_equal(out, expected)
    assert (found.frames, found.subtype) == (len(samples), subtype)
    assert ("its header" in told(found)) == (size in (0, 6000))
    assert "missing" not in told(found)


def test_chunks_and_tags_behind_the_sound_are_no_sound():
    wav = as_bytes(VOICE)
    for after in (b"LIST\4\0\0\0INFO", b"TAG" + bytes(125), b"\0"):
        found, out = read(wav + after)
        assert len(out) == len(VOICE) and not found.notes


def test_sizes_above_four_gibibytes_keep_only_the_remainder(tmp_path):
    """A sparse file of more than 4 GiB: its header knows of 1000 samples."""
    path = tmp_path / "long.wav"
    head = with_data_size(as_bytes(np.zeros(4, np.int16)), 2000)[:44]
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(44 + 2**32 + 2000)
    assert audio.length(path) == (2**32 + 2000) // 2


@pytest.mark.parametrize("cut", ["wav", "aiff", "w64"])
def test_a_cut_off_file_is_read_and_its_loss_told(cut):
    content = as_bytes(VOICE, container=cut.upper())
    found, out = read(content[: len(content) // 4], f"x.{cut}")
    assert 0.24 * len(VOICE) < len(out) < 0.26 * len(VOICE)
    assert "75 %) are missing" in told(found)


def test_a_second_chunk_of_sound_is_read_and_told():
    content, samples = as_bytes(VOICE), bytes(as_bytes(voice(seed=1))[44:])
    second = b"data" + struct.pack("<I", len(samples)) + samples
    for between in (b"", b"LIST\4\0\0\0INFO"):
        found, out = read(content + between + second)
        np.testing.assert_allclose(out[:, 0], np.concatenate([VOICE, voice(seed=1)]), atol=1e-4)
        assert "2 pieces" in told(found)
    found, out = read((content + second)[: -len(samples) // 2])
    assert len(out) == 1.5 * len(VOICE) and "0.50 s" not in told(found) and "25 %" in told(found)


def test_a_wav_behind_another_ones_last_chunk_is_read():
    found, out = read(as_bytes(VOICE) + b"LIST\4\0\0\0INFO" + as_bytes(VOICE))
    assert len(out) == 2 * len(VOICE) and "2 pieces" in told(found)


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_joined_files_are_both_read_and_the_second_resampled(container):
    second = voice(2.0, 44100, seed=1)
    joined = as_bytes(VOICE, container=container) + as_bytes(second, 44100, container)
    found, out = read(joined)
    assert found.frames == len(out) == 2 * len(VOICE)
    assert "2 pieces" in told(found) and "44100" in told(found)
    expected = soxr.resample(second, 44100, RATE)
    np.testing.assert_allclose(out[-len(VOICE) + 500 : -500, 0], expected[500:-500], atol=2e-3)


# FLAC, Ogg, MP3


def test_a_streamed_flac_does_not_tell_its_length(tmp_path):
    flac = as_bytes(VOICE, container="FLAC")
    flac[21] &= 0xF0  # 36 bits of the number of samples, and the MD5 of all of them
    flac[22:42] = bytes(20)
    (tmp_path / "x.flac").write_bytes(flac)
    found, out = read(flac, "x.flac")
    assert np.array_equal(out, read(as_bytes(VOICE, container="FLAC"))[1])
    assert audio.length(tmp_path / "x.flac") == len(VOICE) and not found.notes


@pytest.mark.parametrize(
    ("container", "subtype", "rate"),
    [("FLAC", "PCM_16", 16000), ("OGG", "VORBIS", 16000), ("MP3", "MPEG_LAYER_III", 16000)],
)
def test_what_follows_a_scratch_keeps_its_place(container, subtype, rate):
    sound = voice(8.0, rate)
    content = as_bytes(sound, rate, container, subtype)
    found, out = read(scratched(content))
    assert "silence" in told(found) and "%" in told(found)
    # The scratch is in the middle; a second of the last third is where it was.
    at = int(0.7 * len(sound))
    assert abs(place(sound[at : at + rate // 2], out[:, 0]) - at) <= 1200  # two frames of MP3
    assert abs(place(sound[: rate // 2], out[:, 0])) <= 2


@pytest.mark.parametrize(
    ("container", "subtype", "says"),
    [
        ("FLAC", "PCM_16", "%"),
        ("OGG", "VORBIS", "breaks off"),
        ("OGG", "OPUS", "breaks off"),
        ("MP3", "MPEG_LAYER_III", "%"),
    ],
)
def test_compressed_sound_that_is_cut_off_is_read_as_far_as_it_goes(container, subtype, says):
    sound = voice(4.0)
    content = as_bytes(sound, RATE, container, subtype)
    found, out = read(content[: len(content) // 2])
    assert 0.2 < len(out) / len(sound) * RATE / found.rate < 0.7
    assert says in told(found)
    whole, _ = read(content)
    assert not whole.notes and whole.frames == len(sound) * whole.rate // RATE


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_streams_are_read_whatever_their_rates(subtype):
    other = 24000 if subtype == "OPUS" else 44100
    joined = as_bytes(VOICE, RATE, "OGG", subtype)
    joined += as_bytes(voice(2.0, other, seed=1), other, "OGG", subtype)
    found, out = read(joined)
    assert len(out) == 2 * len(VOICE) * found.rate // RATE
    last = soxr.resample(voice(2.0, other, seed=1), other, found.rate)[: found.rate]
    assert abs(place(last, out[:, 0]) - 2 * found.rate) <= 2


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\x01\x10" + bytes(144)])
@pytest.mark.parametrize("rate", [RATE, 44100])
def test_joined_mp3s_are_read_without_what_their_encoders_add(rate, tag):
    joined = as_bytes(VOICE, RATE, "MP3", "MPEG_LAYER_III") + tag
    joined += as_bytes(voice(2.0, rate, seed=1), rate, "MP3", "MPEG_LAYER_III")
    found, out = read(joined)
    assert len(out) == 4 * RATE and "2 pieces" in told(found)
    assert ("44100 Hz in it is resampled" in told(found)) == (rate == 44100)
    assert "missing" not in told(found)
    last = soxr.resample(voice(2.0, rate, seed=1), rate, RATE)[:RATE]
    assert abs(place(last, out[:, 0]) - 2 * RATE) <= 1


def test_an_mp3_behind_junk_is_read():
    content = as_bytes(VOICE, RATE, "MP3", "MPEG_LAYER_III")
    found, out = read(b"junk" * 100 + content)
    assert len(out) == len(VOICE) and not found.notes
    assert mp3.behind_junk(io.BytesIO(bytes(1000))) == 0


@pytest.mark.parametrize("codec", ["ac3", "mp2"])
def test_frames_that_damage_swallows_are_silence_of_their_length(tmp_path, codec):
    sound = voice(4.0, 48000)
    film(tmp_path / f"x.{codec}", [sound], codec, pictures=0)
    content = (tmp_path / f"x.{codec}").read_bytes()
    whole, _ = read(content)
    found, out = read(scratched(content, 0.3, 0.03))
    assert found.frames == whole.frames and "missing in it and stand as silence" in told(found)
    assert abs(place(sound[124800:148800], out[:, 0]) - 124800) < 600, "a decoder's delay"


@pytest.mark.parametrize(("name", "codec"), [("x.wv", "wavpack"), ("x.tta", "tta")])
def test_what_a_checksum_disproves_is_silence_and_not_noise(tmp_path, name, codec):
    sound = voice(8.0, 48000)
    film(tmp_path / name, [sound], codec, pictures=0)
    content = (tmp_path / name).read_bytes()
    whole, clean = read(content)
    assert not whole.notes
    noise = np.random.default_rng(0).integers(0, 256, len(content) // 50, dtype=np.uint8)
    at = len(content) // 2
    for damage in (bytes(len(noise)), noise.tobytes()):
        found, out = read(content[:at] + damage + content[at + len(damage) :])
        assert found.frames == whole.frames and "stand as silence" in told(found)
        assert not out[(out != clean).any(axis=1)].any()


# Films: tracks and time stamps


@pytest.mark.parametrize("name", ["x.mkv", "x.mp4"])
def test_late_sound_and_gaps_are_silence_of_their_length(tmp_path, name):
    sound = voice(2.0, 48000)
    film(tmp_path / name, [sound], late=1.0, gap=(1.0, 0.5), pictures=4.0)
    found, out = read(tmp_path / name)
    assert found.film and abs(found.seconds - 4.0) < 0.01
    assert not out[:45000].any()
    assert abs(place(sound[:24000], out[:, 0]) - 48000) < 1200
    assert abs(place(sound[60000:76000], out[:, 0]) - 60000 - 72000) < 1200
    assert "0.50 s" in told(found) or "0.51 s" in told(found)


def test_the_default_track_is_taken_and_another_can_be_chosen(tmp_path):
    first, second = voice(1.0, 48000), voice(1.0, 48000, seed=1)
    film(tmp_path / "x.mkv", [first, second], default=1, pictures=1.0)
    found, out = read(tmp_path / "x.mkv")
    assert found.track == 2 and "track 2 of 2" in told(found) and "--track" in told(found)
    close = [np.corrcoef(out[: len(each), 0][:48000], each)[0, 1] for each in (first, second)]
    assert close[1] > 0.8 > close[0]
    found, out = read(tmp_path / "x.mkv", track=1)
    assert np.corrcoef(out[:48000, 0], first)[0, 1] > 0.8
    with pytest.raises(UserError, match="no track 3"):
        read(tmp_path / "x.mkv", track=3)


def test_content_decides_and_not_the_suffix(tmp_path):
    film(tmp_path / "x.mp4", [voice(1.0, 48000)], pictures=0)
    content = (tmp_path / "x.mp4").read_bytes()
    (tmp_path / "x.wav").write_bytes(content)
    found, out = read(tmp_path / "x.wav")
    assert found.rate == 48000 and abs(len(out) - 48000) < 1024
    assert audio.length(tmp_path / "x.wav", 48000) == len(out)
    with pytest.raises(UserError, match="index"):
        read(content[: len(content) // 2], "x.m4a")


# Levels


def test_neither_offset_pause_nor_thump_moves_the_level():
    def level(samples):
        return float(read(as_bytes(samples, subtype="FLOAT"))[0].level[0])

    sound = voice(10.0)
    plain = level(sound)
    assert 0.04 < plain < 0.06
    assert level(sound + 0.2) == pytest.approx(plain, rel=0.02)
    assert level(np.concatenate([sound, np.zeros_like(sound)])) == pytest.approx(plain, rel=0.02)
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(5 * len(sound)).astype(np.float32)
    assert level(np.concatenate([sound, quiet])) == pytest.approx(plain, rel=0.1)
    thump = sound.copy()
    thump[8000:10000] += 2.0 * np.hanning(2000) * np.random.default_rng(1).choice([-1, 1], 2000)
    assert level(thump) == pytest.approx(plain, rel=0.25)


def test_the_level_of_steady_sound_is_its_rms():
    x = np.random.default_rng(0).standard_normal(48000).astype(np.float32)
    assert read(as_bytes(0.05 * x, subtype="FLOAT"))[0].level[0] == pytest.approx(0.05, rel=0.01)


def test_a_thump_is_no_offset_and_an_offset_is_one():
    sound = voice(4.0)
    sound[3000:6000] += 0.9
    assert not read(as_bytes(sound, subtype="FLOAT"))[0].offset.any()
    offset = read(as_bytes(voice(4.0) - 0.3, subtype="FLOAT"))[0].offset
    assert offset[0] == pytest.approx(-0.3, abs=1e-3)


@pytest.mark.parametrize("scale", [2**15, 2**23, 2**31])
def test_floats_that_hold_integers_are_brought_to_full_scale(scale):
    found, out = read(as_bytes(4 * VOICE * scale, subtype="FLOAT"))
    np.testing.assert_allclose(out[:, 0], 4 * VOICE, rtol=1e-5)
    assert f"divided by {scale}" in told(found)


def test_loud_floats_are_not_clipped_and_not_taken_for_integers():
    found, out = read(as_bytes(100 * VOICE, subtype="FLOAT"))
    assert np.abs(out).max() > 4 and not found.notes


# Channels


def test_opposite_channels_are_told_and_a_mix_keeps_them(tmp_path, capsys):
    stereo = np.stack([VOICE, -VOICE], 1)
    soundfile.write(tmp_path / "x.wav", stereo, RATE, subtype="FLOAT")
    assert "opposite in phase" in told(read(tmp_path / "x.wav")[0])
    np.testing.assert_allclose(np.abs(audio.load(tmp_path / "x.wav")), np.abs(VOICE), atol=1e-6)
    assert "opposite in phase" in capsys.readouterr().err


def test_a_silent_channel_takes_nothing_off_a_mix(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.stack([VOICE, 0 * VOICE], 1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(tmp_path / "x.wav", quiet=True), VOICE, atol=1e-6)


# Pipes and places


def test_a_pipe_is_read_like_a_file(monkeypatch):
    content = bytes(as_bytes(VOICE))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert np.array_equal(read("-")[1], read(content)[1])


def test_names_that_are_no_utf8_are_names(tmp_path):
    path = tmp_path / b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    soundfile.write(io.FileIO(path, "w"), VOICE, RATE, format="WAV")
    assert len(audio.load(path)) == len(VOICE)


@pytest.mark.parametrize("name", ["nul\0.wav", "a" * 300 + ".wav"])
def test_names_that_cannot_be_are_one_line(name):
    with pytest.raises(UserError):
        read(name)


@pytest.mark.parametrize("container", ["WAV", "RF64", "FLAC", "OGG", "MP3", "AIFF", "CAF"])
def test_a_file_may_end_anywhere_in_its_header(container):
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(container, "PCM_16")
    content = as_bytes(voice(0.5), container=container, subtype=subtype)
    for length in range(1, 256):
        for end in (b"", b"\xff" * 8):  # damage, flags and sizes among it
            assert pieces.pieces(io.BytesIO(content[:length] + end))


def test_an_mp3_may_end_anywhere_in_what_its_first_frame_tells():
    content = as_bytes(voice(0.5), container="MP3", subtype="MPEG_LAYER_III")
    at = min(place for mark in mp3.MARKS if (place := content.find(mark)) >= 0)
    assert mp3.told(io.BytesIO(content), 0)
    for length in range(at, at + 180):
        for flags in range(16):
            head = bytearray(content[:length])
            head[at + 7 : at + 8] = bytes([flags])[: len(head) - at - 7]
            found = mp3.told(io.BytesIO(head), 0)
            assert (found is not None) == (length >= at + 12 and flags & 1 == 1)


def test_an_unfinished_header_is_one_line():
    for content in (
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"OggS",
        b"fLaC",
        b"ID3\4\0\0\0\0\0\0",
        b"\xff\xfb",
    ):
        with pytest.raises(UserError):
            read(content + struct.pack("<I", 7), "x.wav")


# Counted frames, wrong totals, headers of careless writers


@pytest.mark.parametrize("rate", [8000, 44100])
def test_a_whole_mp3_lacks_nothing(rate):
    found, samples = read(as_bytes(voice(rate=rate), rate, "MP3", "MPEG_LAYER_III"))
    assert told(found) == "" and abs(len(samples) - 2 * rate) < 0.02 * rate


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("damage", ["zeros", "noise", "hole", "twice"])
def test_what_follows_damage_in_an_mp3_keeps_its_place(rate, damage):
    sound = voice(4.0, rate)
    content = as_bytes(sound, rate, "MP3", "MPEG_LAYER_III")
    size = len(content)
    first, last = size // 3, size // 3 + size // 30
    noise = np.random.default_rng(0).bytes(last - first)
    content = {
        "zeros": scratched(content, 1 / 3, 1 / 30),
        "noise": content[:first] + noise + content[last:],
        "hole": content[:first] + content[last:],
        "twice": scratched(scratched(content, 1 / 3, 1 / 30), 0.5, 1 / 30),
    }[damage]
    found, samples = read(content)
    late = sound[int(2.6 * rate) : int(3.1 * rate)]
    assert abs(place(late, samples[:, 0]) / rate - 2.6) < 0.001
    assert "missing in it and stand as silence" in told(found)
    assert len(samples) == len(sound), "without what only fills its last frames"


def test_lost_frames_are_shared_out_by_the_announced_number():
    whole = (417, b"\xff\xfb\x90\x00")  # 128 kbit/s at 44.1 kHz
    broken = (1251, b"\0\0\0\0")
    packets = [whole] * 5 + [broken] + [whole] * 5
    assert mp3.lost_frames(packets, None) == {5: 2}
    assert mp3.lost_frames(packets, 20) == {5: 9}
    assert mp3.lost_frames(packets, 1_862_270_981) == {5: 2}, "years of silence from a few bytes"
    cut = [*packets, (100, whole[1])]
    assert mp3.lost_frames(cut, 20) == {5: 2}, "the rest of the lost ones lie behind the end"


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_is_read_behind_a_scratch(subtype):
    rate = 48000
    sound = voice(5.0, rate)
    found, samples = read(scratched(as_bytes(sound, rate, "OGG", subtype), 0.4, 0.03))
    late = sound[int(3.4 * rate) : int(3.9 * rate)]
    assert abs(place(late, samples[:, 0]) / rate - 3.4) < 0.001
    assert "stand as silence" in told(found)


def test_a_flac_is_read_beyond_a_total_that_is_too_small(tmp_path):
    content = as_bytes(VOICE, container="FLAC")
    content[22:26] = struct.pack(">I", len(VOICE) // 2)
    found, samples = read(content)
    assert len(samples) == len(VOICE) and "knows of 1.00 s, it holds 2.00 s" in told(found)


def test_a_chunk_of_odd_length_without_padding():
    content = as_bytes(VOICE)
    content[12:12] = b"JUNK\x05\0\0\0abcde"
    found, samples = read(content)
    assert len(samples) == len(VOICE) and told(found) == ""


def test_another_number_of_channels_in_a_later_piece_is_told():
    stereo = np.stack([VOICE, VOICE], 1)
    found, samples = read(as_bytes(VOICE) + as_bytes(stereo))
    assert samples.shape == (2 * len(VOICE), 1) and "2 channels in it is brought to 1" in told(
        found
    )


def test_what_is_not_finite_is_one_line_and_no_warning(recwarn):
    samples = VOICE.copy()
    samples[5000] = np.inf
    with pytest.raises(UserError, match="not finite"):
        read(as_bytes(samples, subtype="FLOAT"))
    assert not recwarn.list


def test_the_reason_holds_no_names_of_ours():
    with pytest.raises(UserError, match=r"^x cannot be read as audio \(Format not recognised\)$"):
        read(b"<!DOCTYPE html>" * 100)
