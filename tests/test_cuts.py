"""Lhotse manifests as corpora; the manifests are made here, by Lhotse."""

import pickle
import sys

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from denoise_lib import RATE
from denoise_lib.audio import load, to_level
from denoise_lib.data import cuts
from denoise_lib.data.corpora import open_noise, open_speech
from denoise_lib.data.crops import CleanCrops
from denoise_lib.errors import UserError


def noise(seconds, rate, seed=0):
    generator = np.random.default_rng(seed)
    return (0.1 * generator.standard_normal(round(seconds * rate))).astype(np.float32)


def recording(path, seconds=2.0, rate=RATE, seed=0):
    soundfile.write(path, noise(seconds, rate, seed), rate)
    return Recording.from_file(path)


def said(cut, speaker, start=0.0, duration=None):
    """A supervision of a cut."""
    name = f"{cut}-{speaker}-{start}"
    return SupervisionSegment(name, cut, start, duration or 2.0, speaker=speaker)


@pytest.fixture
def manifest(tmp_path):
    """Twelve cuts of six speakers, and a short one."""
    made = []
    for number in range(12):
        source = recording(tmp_path / f"{number}.flac", 2.0, 48000, number)
        speaker = f"s{number % 6}"
        made.append(source.to_cut())
        made[-1].supervisions = [said(made[-1].id, speaker)]
    made.append(recording(tmp_path / "short.wav", 0.4).to_cut())
    path = tmp_path / "cuts.jsonl.gz"
    CutSet.from_cuts(made).to_file(path)
    return path


def test_a_speaker_is_in_one_split_and_no_split_is_empty(manifest, capsys):
    corpus = open_speech(manifest, fractions=(0.6, 0.2, 0.2))
    assert len(corpus.clips) == 12
    splits = {clip.voice: set() for clip in corpus.clips}
    for clip in corpus.clips:
        splits[clip.voice].add(clip.split)
    assert len(splits) == 6 and all(len(each) == 1 for each in splits.values())
    assert {clip.split for clip in corpus.clips} == {"train", "valid", "test"}
    assert capsys.readouterr().err.endswith("passed over: 1 shorter than 1 s\n")
    assert open_speech(manifest, fractions=(0.6, 0.2, 0.2)).digest == corpus.digest


def test_its_waveforms_are_those_of_the_files(manifest):
    corpus = pickle.loads(pickle.dumps(open_speech(manifest, fractions=(0.6, 0.2, 0.2))))
    for clip in corpus.clips[:4]:
        source = corpus._reader.cuts[clip.name].recording.sources[0].source
        expected = load(source, RATE, quiet=True)
        assert clip.samples == len(expected)
        torch.testing.assert_close(corpus.waveform(clip), expected, atol=1e-6, rtol=0)
        crop = corpus.crop(clip, 12345, 4000)
        torch.testing.assert_close(crop, to_level(expected)[12345:16345], atol=1e-5, rtol=0)
        assert torch.equal(corpus.beginning(clip, 500), corpus.beginning(clip, 900)[:500])
    train = corpus.split("train")
    assert CleanCrops(corpus, train, batch=2, seconds=1.0, seed=0, steps=1)[0].shape == (2, RATE)


def test_a_long_cut_of_several_supervisions_is_one_clip_for_each(tmp_path):
    source = recording(tmp_path / "talk.wav", 30.0)
    cut = MonoCut("talk", 0.0, 30.0, 0, recording=source)
    cut.supervisions = [
        said("talk", "anna", 0.0, 4.0),
        said("talk", "ben", 5.0, 22.0),
        said("talk", "cleo", 28.0, 2.0),
    ]
    path = tmp_path / "cuts.jsonl"
    CutSet.from_cuts([cut]).to_file(path)
    corpus = open_speech(path, fractions=(0.4, 0.3, 0.3))
    assert {(clip.voice, clip.samples) for clip in corpus.clips} == {
        ("anna", 4 * RATE),
        ("ben", 22 * RATE),
        ("cleo", 2 * RATE),
    }
    (ben,) = (clip for clip in corpus.clips if clip.voice == "ben")
    expected = torch.from_numpy(noise(30.0, RATE))[5 * RATE : 27 * RATE]
    crop = corpus.crop(ben, 300_000, 1000)
    torch.testing.assert_close(crop, to_level(expected)[300_000:301_000], atol=1e-3, rtol=0)


def test_noise_is_dealt_by_the_recording(tmp_path):
    made = []
    for number in range(4):
        source = recording(tmp_path / f"{number}.wav", 6.0, seed=number)
        made += [
            MonoCut(f"{number}-{part}", 2.0 * part, 2.0, 0, recording=source) for part in range(3)
        ]
    path = tmp_path / "noise.jsonl.gz"
    CutSet.from_cuts(made).to_file(path)
    splits = {}
    for clip in open_noise(path, fractions=(0.5, 0.0, 0.5)).clips:
        splits.setdefault(clip.name.split("-")[0], set()).add(clip.split)
    assert len(splits) == 4 and all(len(each) == 1 for each in splits.values())


def test_what_is_no_manifest_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"nothing\.jsonl is not there"):
        open_speech(tmp_path / "nothing.jsonl")
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(UserError, match="cannot be read as a manifest of cuts"):
        open_speech(tmp_path / "x.jsonl")
    monkeypatch.setitem(sys.modules, "lhotse", None)
    with pytest.raises(UserError, match=r"pip install 'denoise_lib\[lhotse\]'"):
        open_speech(tmp_path / "x.jsonl")


@pytest.mark.parametrize("voices", [3, 4, 10, 200])
def test_voices_are_dealt_in_their_shares(voices):
    names = [f"voice {number}" for number in range(voices)]
    dealt = cuts.split_of_voices(names, (0.8, 0.1, 0.1))
    assert cuts.split_of_voices(reversed(names), (0.8, 0.1, 0.1)) == dealt
    counts = [list(dealt.values()).count(split) for split in ("train", "valid", "test")]
    assert min(counts) >= 1 and sum(counts) == voices
    if voices == 200:
        assert 140 < counts[0] < 180
