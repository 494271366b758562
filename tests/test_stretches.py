"""Crops are read by seeking, and are what a reading of the whole recording gives."""

import numpy as np
import pytest
import soundfile
import torch
from small_corpus import small_corpus

from denoise_lib import RATE
from denoise_lib.audio import load, to_level
from denoise_lib.data import folders, stretches
from denoise_lib.data.corpora import open_speech
from denoise_lib.data.crops import CleanCrops
from denoise_lib.data.index import Index
from denoise_lib.files import sha256


def sound(seconds, rate, channels=1):
    """Noise that swells and fades, unlike in the channels."""
    generator = np.random.default_rng(0)
    time = np.arange(round(seconds * rate)) / rate
    swell = (0.1 + np.sin(3 * time)[:, None] ** 2) * 0.1
    return (swell * generator.standard_normal((len(time), channels))).astype(np.float32)


def write(path, samples, rate, subtype="PCM_16"):
    """A file, second by second: libsndfile falls over long Vorbis blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], subtype) as file:
        for start in range(0, len(samples), rate):
            file.write(samples[start : start + rate])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.7, 45.0])
@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("a.wav", 16000, 1, "PCM_16"),
        ("a.wav", 44100, 2, "PCM_24"),
        ("a.flac", 48000, 1, "PCM_16"),
        ("a.flac", 22050, 3, "PCM_16"),
        ("a.wav", 8000, 1, "FLOAT"),
        ("a.ogg", 44100, 1, "VORBIS"),
    ],
)
def test_a_stretch_is_that_of_the_whole(tmp_path, seconds, name, rate, channels, subtype):
    path = tmp_path / "talks" / "one" / name
    write(path, sound(seconds, rate, channels), rate, subtype)
    corpus = open_speech(tmp_path / "talks", fractions=(1.0, 0.0, 0.0))
    (clip,) = corpus.clips
    whole = load(path, RATE, quiet=True)
    assert len(whole) == clip.samples
    tolerance = 1e-4 if name.endswith("ogg") and seconds > stretches.LONG else 2e-6
    for start in (0, 1, 777, 12345, clip.samples - 3000, clip.samples - 1):
        expected = to_level(whole)[start : start + 5000]
        torch.testing.assert_close(corpus.crop(clip, start, 5000), expected, atol=tolerance, rtol=0)
    torch.testing.assert_close(corpus.beginning(clip, 900), whole[:900], atol=tolerance, rtol=0)


def test_a_long_recording_is_read_in_whole_once(tmp_path, cache, monkeypatch):
    """Two processes, or two runs, share what was found out; the crop alone is read."""
    path = tmp_path / "talks" / "talk.flac"
    path.parent.mkdir()
    soundfile.write(path, sound(40.0, RATE), RATE)
    surveyed, read, file = [], [], soundfile.SoundFile
    monkeypatch.setattr(
        stretches, "survey", lambda *given: surveyed.append(1) or folders_survey(*given)
    )

    class Counted(file):
        def read(self, frames=-1, *args, **options):
            block = super().read(frames, *args, **options)
            read.append(len(block))
            return block

    for _ in range(2):
        corpus = open_speech(tmp_path / "talks", fractions=(1.0, 0.0, 0.0))
        corpus.crop(corpus.clips[0], 1000, 500)
    assert surveyed == [1]
    monkeypatch.setattr(stretches.soundfile, "SoundFile", Counted)
    corpus.crop(corpus.clips[0], 300_000, 500)
    assert sum(read) == 500
    for kept in (cache / "recordings").glob("*.json"):
        kept.write_text("{")
    corpus = open_speech(tmp_path / "talks", fractions=(1.0, 0.0, 0.0))
    assert len(corpus.crop(corpus.clips[0], 1000, 500)) == 500 and len(surveyed) == 2


folders_survey = stretches.survey


def test_a_compressed_talk_is_decoded_once(tmp_path, cache):
    path = tmp_path / "talks" / "talk.ogg"
    write(path, sound(30.0, 44100), 44100, "VORBIS")
    corpus = open_speech(tmp_path / "talks", fractions=(1.0, 0.0, 0.0))
    crops = CleanCrops(corpus, corpus.clips, batch=2, seconds=0.5, seed=0, steps=3)
    first = crops[0]
    (decoded,) = (cache / "recordings").glob("*.flac")
    assert soundfile.info(decoded).frames == corpus.clips[0].samples
    made = decoded.stat().st_mtime_ns
    again = open_speech(tmp_path / "talks", fractions=(1.0, 0.0, 0.0))
    same = CleanCrops(again, again.clips, batch=2, seconds=0.5, seed=0, steps=3)[0]
    assert torch.equal(first, same) and decoded.stat().st_mtime_ns == made
    decoded.unlink()
    assert torch.equal(open_crop(tmp_path), first)


def open_crop(tmp_path):
    corpus = open_speech(tmp_path / "talks", fractions=(1.0, 0.0, 0.0))
    return CleanCrops(corpus, corpus.clips, batch=2, seconds=0.5, seed=0, steps=3)[0]


@pytest.mark.parametrize(("source", "target"), [(48000, 16000), (44100, 16000), (8000, 16000)])
def test_blocks_are_resampled_as_the_whole_is(source, target):
    samples = torch.from_numpy(sound(7.3, source)[:, 0])
    whole = stretches.resample(samples, source, target)
    blocks = stretches._resampled(
        iter(samples.numpy()[i : i + 9999] for i in range(0, len(samples), 9999)), source, target
    )
    np.testing.assert_allclose(np.concatenate(list(blocks)), whole, atol=1e-6)


def test_silence_has_no_level(tmp_path):
    path = tmp_path / "talks" / "silence.wav"
    path.parent.mkdir()
    soundfile.write(path, np.zeros(40 * RATE, np.float32), RATE)
    assert not open_crop(tmp_path).any()


def test_crops_from_memory_are_those_of_the_whole_clip():
    corpus = small_corpus()
    clip = corpus.clips[0]
    assert torch.equal(corpus.crop(clip, 50, 900), to_level(corpus.waveform(clip))[50:950])


# The index -------------------------------------------------------------------------------------


def test_a_folder_is_opened_from_the_index_the_second_time(tmp_path, monkeypatch):
    monkeypatch.setattr("denoise_lib.data.index.FRESH_NS", 0)
    for number in range(4):
        path = tmp_path / "own" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, sound(1.5 + number / 8, RATE), RATE)
    first, opened = open_speech(tmp_path / "own"), []
    monkeypatch.setattr(
        "denoise_lib.data.index.told", lambda path: opened.append(path) or (20000, RATE)
    )
    second = open_speech(tmp_path / "own")
    assert not opened
    assert (second.clips, second.digest) == (first.clips, first.digest)
    soundfile.write(tmp_path / "own" / "2.wav", sound(2.5, RATE), RATE)
    third = open_speech(tmp_path / "own")
    assert opened == [tmp_path / "own" / "2.wav"] and third.digest != first.digest


def test_names_that_are_no_text_can_be_kept(tmp_path):
    path = tmp_path / "own" / b"na\xefve.wav".decode("utf-8", "surrogateescape")
    path.parent.mkdir()
    with open(path, "wb") as file:
        soundfile.write(file, sound(1.5, RATE), RATE, format="WAV")
    index = Index(path.parent)
    assert index.sounds([path], "") == [(sha256(path), 24000, RATE)]
    index.keep()
    corpus = open_speech(path.parent, fractions=(1.0, 0.0, 0.0))
    assert len(corpus.crop(corpus.clips[0], 5, 700)) == 700


def test_linked_folders_are_searched_and_circles_end(tmp_path):
    real = tmp_path / "elsewhere" / "anna"
    for number in range(3):
        path = real / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound(1.2 + number / 8, RATE), RATE)
    own = tmp_path / "own"
    own.mkdir()
    (own / "anna").symlink_to(real, target_is_directory=True)
    (own / "again").symlink_to(own, target_is_directory=True)
    (own / "gone.wav").symlink_to(tmp_path / "nothing.wav")
    (own / "._0.wav").write_bytes(b"of macOS")
    found = folders.plain(own)
    assert [item.name for item in found.recordings] == [f"anna/{n}.wav" for n in range(3)]


def test_what_was_passed_over_is_said(tmp_path, capsys):
    own = tmp_path / "own"
    own.mkdir()
    soundfile.write(own / "a.wav", sound(1.5, RATE), RATE)
    soundfile.write(own / "short.wav", sound(0.5, RATE), RATE)
    (own / "copy.wav").write_bytes((own / "a.wav").read_bytes())
    (own / "notes.txt").write_text("not audio")
    open_speech(own, fractions=(1.0, 0.0, 0.0))
    line = capsys.readouterr().err
    assert line.endswith("passed over: 1 copies of another, 1 named .txt, 1 shorter than 1 s\n")


def test_a_short_file_that_is_cut_off_is_still_read(tmp_path):
    """Its header promises more than there is."""
    path = tmp_path / "own" / "cut.wav"
    write(path, sound(3.0, RATE), RATE)
    path.write_bytes(path.read_bytes()[: 44 + 2 * 2 * RATE])
    corpus = open_speech(path.parent, fractions=(1.0, 0.0, 0.0))
    (clip,) = corpus.clips
    expected = to_level(load(path, RATE, quiet=True))[9000:10000]
    torch.testing.assert_close(corpus.crop(clip, 9000, 1000), expected, atol=2e-6, rtol=0)
