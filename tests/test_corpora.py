"""Clips and splits: nothing that a network is judged on was ever trained on."""

import hashlib
import os
import pickle
import re
import shutil
from collections import Counter, defaultdict
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import fft
from takes import Take, best_match

from denoise_lib import RATE, audio
from denoise_lib.data import decoded, default_corpora, folders, splits
from denoise_lib.data import index as indexed
from denoise_lib.data.corpora import _Stored, open_noise, open_read_speech, open_speech
from denoise_lib.data.crops import fixed_clip
from denoise_lib.data.splits import FRACTIONS, share, split_of, split_of_unseen
from denoise_lib.errors import UserError
from denoise_lib.files import sha256

LANGUAGES = {"en", "es", "fr", "it", "ru"}
SCORED = ("test", "unseen_voice")
HEARD = ("train", "valid")


# --- splits ------------------------------------------------------------------------------------


@given(st.text(max_size=40))
def test_a_split_is_a_pure_function_of_the_name(name):
    assert split_of(name) == split_of(name)
    assert 0 <= share(name) < 1
    if split_of(name) == "test":
        assert split_of_unseen(name) == "unseen_voice"
    else:
        assert split_of_unseen(name) == "unused"


def test_splits_are_those_of_yesterday():
    # Results are compared across versions: a clip never moves.
    names = [
        "hello",
        "digits/1",
        "vm-goodbye",
        "agent-pass",
        "letters/z",
        "TraficHigh1",
        "p225_001",
    ]
    assert [split_of(name) for name in names] == [
        "train",
        "train",
        "test",
        "test",
        "train",
        "train",
        "train",
    ]


@given(
    prefix=st.text(max_size=10),
    fractions=st.sampled_from(
        [FRACTIONS, (0.1, 0.01, 0.01), (0.6, 0.1, 0.3), (0, 0, 1), (0.5, 0, 0)]
    ),
)
def test_fractions_are_roughly_right(prefix, fractions):
    count = 3000
    found = Counter(split_of(f"{prefix}/{index}", fractions) for index in range(count))
    expected = dict(zip(("train", "valid", "test"), fractions, strict=True))
    expected["unused"] = 1 - sum(fractions)
    for split, fraction in expected.items():
        assert (
            abs(found[split] / count - fraction)
            < 6 * (fraction * (1 - fraction) / count) ** 0.5 + 1e-9
        )


@pytest.mark.parametrize("fractions", [(0.8, 0.2, 0.1), (-0.1, 0.5, 0.5), (0.5, 0.5)])
def test_impossible_fractions_are_refused(fractions):
    with pytest.raises(ValueError, match="fractions"):
        split_of("hello", fractions)


def test_shares_are_those_of_sha_256():
    for name in ("hello", "", "é", "p225_001"):
        whole = int(hashlib.sha256(name.encode("utf-8")).hexdigest()[:16], 16)
        assert share(name) == whole / 2**64


def test_fractions_end_where_they_say(monkeypatch):
    at = {}
    monkeypatch.setattr(splits, "share", lambda name: at["share"])
    for place, split, unseen in (
        (0.0, "train", "unused"),
        (0.4999, "train", "unused"),
        (0.5, "valid", "unused"),
        (0.6999, "valid", "unused"),
        (0.7, "test", "unseen_voice"),
        (0.7999, "test", "unseen_voice"),
        (0.8, "unused", "unused"),
        (0.9999, "unused", "unused"),
    ):
        at["share"] = place
        fractions = (0.5, 0.2, 0.1)
        assert split_of("x", fractions) == split, place
        assert split_of_unseen("x", fractions) == unseen, place
    at["share"] = 1 - 2**-53  # the largest share there is
    assert split_of("x", (0.7, 0.2, 0.1)) == split_of("x") == "test"
    assert 0.7 + 0.2 + 0.1 < 1, "which is why the end is set to 1"
    for wrong in ((0.5, 0.2), (0.5, 0.2, 0.1, 0.1), (1.0, -1e-6, 0.0), (0.9, 0.1, 1e-6)):
        with pytest.raises(ValueError, match=r"at least 0 and at most 1 in all, got"):
            split_of("x", wrong)
    assert split_of("x", (1.0, 0.0, 0.0)) == "train"


# --- the default corpus ------------------------------------------------------------------------


def sentence(clip):
    """What a prompt says, as far as its name tells."""
    prompt = clip.name.split("/", 1)[1]
    return default_corpora.SAME_SENTENCE.get(prompt, prompt)


def by_split(clips, key):
    """{key of a clip: set of the splits it is in}, clips that are never used left out."""
    found = defaultdict(set)
    for clip in clips:
        if clip.split != "unused":
            found[key(clip)].add("test" if clip.split in SCORED else clip.split)
    return found


def test_speech_is_what_it_should_be(speech):
    assert speech.rate == RATE == 16000
    assert {clip.name.split("/")[0] for clip in speech.clips} == LANGUAGES
    assert [clip.name for clip in speech.clips] == sorted({clip.name for clip in speech.clips})
    assert min(clip.samples for clip in speech.clips) >= RATE
    assert {clip.voice for clip in speech.clips} == {"allison", "june", "carlo", "ru"}
    assert 1600 < len(speech.clips) < 1737  # DATA.md's count, ten files of silence per language off
    assert re.fullmatch("[0-9a-f]{64}", speech.digest)
    for clip in speech.clips:
        prompt = clip.name.split("/", 1)[1]
        assert not prompt.startswith("silence/")
        assert prompt not in default_corpora.NOT_SPEECH


def test_no_clip_and_no_sentence_is_in_two_splits(speech):
    assert all(
        len(splits) == 1 for splits in by_split(speech.clips, lambda clip: clip.name).values()
    )
    sentences = by_split(speech.clips, sentence)
    assert all(len(splits) == 1 for splits in sentences.values())
    assert sum(sentences[sentence(clip)] == {"test"} for clip in speech.split("unseen_voice")) > 30


def test_no_content_is_in_two_splits(speech):
    contents = Counter(
        hashlib.sha256(speech.waveform(clip).numpy().tobytes()).digest() for clip in speech.clips
    )
    assert max(contents.values()) == 1


@pytest.mark.slow
def test_no_take_of_a_test_clip_was_heard_in_training(speech):
    """No half second of a test clip is in a clip that training or validation hears.

    Different takes of one word reach a correlation of 0.85, one take in two places more than 0.93
    (the packages' prompts are partly cut from one another, under other names).
    """
    for voice in ("allison", "june", "carlo"):
        own = [clip for clip in speech.clips if clip.voice == voice]
        takes = {clip.name: Take(clip.name, speech.waveform(clip)) for clip in own}
        if voice == "allison":  # it finds one that is known, and that the hash alone would separate
            known = best_match(takes["es/vm-pls-try-again"], [takes["es/please-try-again"]])
            assert known[0] > 0.95
        heard = [takes[clip.name] for clip in own if clip.split in HEARD]
        for clip in own:
            if clip.split == "test":
                assert best_match(takes[clip.name], heard)[0] < 0.9, clip.name


def test_the_unseen_voice_is_never_heard(speech):
    assert {clip.voice for clip in speech.split("unseen_voice")} == {"ru"}
    assert {clip.voice for split in (*HEARD, "test") for clip in speech.split(split)} == {
        "allison",
        "june",
        "carlo",
    }
    assert {clip.voice for clip in speech.split("unused")} == {"ru"}


def test_every_split_is_large_enough_to_mean_something(speech):
    for split, most in {"train": 0.8, "valid": 0.1, "test": 0.1}.items():
        clips = speech.split(split)
        assert 0.7 * most < len(clips) / 1376 < 1.4 * most
        assert {clip.voice for clip in clips} == {"allison", "june", "carlo"}
    assert len(speech.split("unseen_voice")) > 30


def test_waveforms_are_the_recordings(speech):
    clip = next(clip for clip in speech.clips if clip.name == "en/demo-congrats")
    waveform = speech.waveform(clip)
    assert waveform.dtype == torch.float32
    assert waveform.shape == (clip.samples,)
    assert 0.01 < waveform.abs().max() <= 1
    assert torch.equal(waveform * 32768, (waveform * 32768).round())  # 16-bit, as decoded
    # Speech of a telephone prompt: most of the energy lies between 100 Hz and 4 kHz.
    power = torch.fft.rfft(waveform).abs().square()
    hertz = torch.fft.rfftfreq(len(waveform), 1 / RATE)
    assert power[(hertz > 100) & (hertz < 4000)].sum() > 0.9 * power.sum()


def test_fractions_can_be_set(speech):
    few = open_speech(fractions=(0.1, 0.01, 0.01))
    assert {clip.name for clip in few.split("train")} < {
        clip.name for clip in speech.split("train")
    }
    assert 80 < len(few.split("train")) < 200


def test_another_rate(speech):
    half = open_speech(rate=8000)
    clip = half.clips[7]
    assert half.waveform(clip).shape == (clip.samples,)
    assert clip.samples == -(-speech.clips[7].samples // 2)


def test_a_corpus_can_be_handed_to_workers(speech, street):
    for corpus in (speech, street):
        copy = pickle.loads(pickle.dumps(corpus))
        assert len(pickle.dumps(corpus)) < 1_000_000  # names and places, not samples
        assert torch.equal(copy.waveform(copy.clips[3]), corpus.waveform(corpus.clips[3]))


def test_unknown_split_and_missing_pairs(speech):
    with pytest.raises(ValueError, match="train, valid, test, unseen_voice"):
        speech.split("eval")
    with pytest.raises(UserError, match="no noisy recordings"):
        speech.noisy(speech.clips[0])


# --- the default street ------------------------------------------------------------------------


def minutes(clips):
    return sum(clip.samples for clip in clips) / RATE / 60


def test_read_speech_is_there_to_be_scored_alone(speech):
    """Five LibriVox sentences, 24.73 s by the headers of the files, none of them in a training."""
    read = open_read_speech()
    assert [clip.split for clip in read.clips] == ["test"] * 5
    assert sum(clip.samples for clip in read.clips) == round(24.73 * read.rate)
    assert {clip.voice for clip in read.clips}.isdisjoint({clip.voice for clip in speech.clips})
    wave = read.waveform(read.clips[0])
    assert (
        wave.shape == (read.clips[0].samples,) and 0.01 < float(wave.square().mean().sqrt()) < 0.3
    )


def test_street_is_of_the_street(street):
    names = {clip.name for clip in street.clips}
    assert {clip.split for clip in street.clips} == {"train", "valid", "test"}
    assert not any(
        re.match("Click|Window|Fire[1-3W]|Rocket|Raze|Build|Substation", name) for name in names
    )
    assert {clip.voice for clip in street.clips} == set(default_corpora.STREET_KINDS)
    for split in ("train", "test"):
        assert any(clip.voice.startswith("Trafic") for clip in street.split(split))
    assert minutes(street.split("test")) >= 1.5
    assert minutes(street.split("train")) >= 2.5
    assert street.split("valid")


def test_recordings_sound(street):
    for clip in street.clips:
        waveform = street.waveform(clip)
        assert waveform.shape == (clip.samples,)
        assert waveform.square().mean().sqrt() > 1e-3
        assert waveform.mean().abs() < 0.02 * waveform.square().mean().sqrt()  # no direct current


def test_no_recording_is_in_two_splits(street):
    recordings = by_split(
        street.clips, lambda clip: default_corpora.SAME_RECORDING.get(clip.name, clip.name)
    )
    assert all(len(splits) == 1 for splits in recordings.values())


def whitened(waveform):
    """A recording at 8 kHz with a flat spectrum: engines sound alike, but no two are the same."""
    x = audio.resample(waveform, RATE, 8000).numpy()
    spectrum = fft.rfft(x)
    power = np.abs(spectrum) ** 2
    width = len(x) // 200 | 1
    smooth = np.convolve(power, np.ones(width) / width, "same") + 1e-4 * power.mean()
    x = fft.irfft(spectrum / np.sqrt(smooth), len(x))[100:-100]  # the ends ring
    return (x / x.std()).astype(np.float32)


def shared_half_seconds(x, others):
    """How many half seconds of `x` are found, at one offset, in one of the `others`."""
    window = 4000
    heard = np.concatenate([np.pad(other, (0, window)) for other in others])
    starts = np.cumsum([0] + [len(other) + window for other in others])
    size = fft.next_fast_len(len(heard) + window, real=True)
    energy = np.concatenate([[0], np.cumsum(heard.astype(np.float64) ** 2)])
    energy = np.maximum(energy[window:] - energy[:-window], 0.05 * window)  # 1 is the usual power
    spectrum = fft.rfft(heard, size)
    offsets = defaultdict(list)
    for at in range(0, len(x) - window + 1, window):
        part = x[at : at + window]
        match = fft.irfft(spectrum * fft.rfft(part, size).conj(), size)[: len(energy)]
        match = np.abs(match) / np.sqrt(energy * np.square(part).sum())
        for index, (start, stop) in enumerate(pairwise(starts)):
            place = match[start : stop - window].argmax()
            if match[start + place] > 0.12:
                offsets[index].append(place - at)
    return max(
        (
            sum(abs(one - other) < 32 for other in found)
            for found in offsets.values()
            for one in found
        ),
        default=0,
    )


@pytest.mark.slow
def test_no_stretch_of_a_test_recording_was_heard_in_training(street):
    clips = {clip.name: whitened(street.waveform(clip)) for clip in street.clips}
    heard = [clips[clip.name] for split in HEARD for clip in street.split(split)]
    # It finds the two pairs that are known.
    assert shared_half_seconds(clips["TraficLow1"], [clips["TraficHigh3"]]) >= 5
    assert (
        shared_half_seconds(clips["MonumentConstruction2"], [clips["MonumentConstruction3"]]) >= 4
    )
    for clip in street.split("test"):
        assert shared_half_seconds(clips[clip.name], heard) <= 2, clip.name


# --- corpora on disk ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(speech):
    """Waveforms of a few short real clips, to make small trees of."""
    short = [clip for clip in speech.clips if 1.1 * RATE < clip.samples < 1.6 * RATE]
    return [speech.waveform(clip) for clip in short[:80]]


def write(path, waveform, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio.resample(waveform, RATE, rate).numpy(), rate, subtype="PCM_16")


@pytest.fixture(scope="module")
def vctk_root(clips, tmp_path_factory):
    """A tree like VCTK 0.92: ten speakers, two microphones, 48 kHz, a sentence read by several."""
    root = tmp_path_factory.mktemp("vctk")
    tree = root / "VCTK-Corpus-0.92"
    for index, waveform in enumerate(clips):
        speaker, number = f"p{225 + index % 10}", index // 10 + 1
        name = f"{speaker}_{number:03d}"
        folder = tree / "wav48_silence_trimmed" / speaker
        for microphone in ("mic1", "mic2"):
            write(folder / f"{name}_{microphone}.flac", waveform, 48000)
        text = tree / "txt" / speaker / f"{name}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        # Speakers read the pool in different orders: one sentence, several numbers.
        text.write_text(f"Sentence, number {(number + index % 3) % 8}.\n")
    return root


def test_vctk(vctk_root, monkeypatch):
    # Two of the ten speakers kept out; with VCTK's own share none of these ten might be.
    unseen = sorted(
        (f"p{225 + index}" for index in range(10)), key=lambda s: share(f"speaker {s}")
    )[:2]
    monkeypatch.setattr(folders, "UNSEEN_SPEAKERS", share(f"speaker {unseen[-1]}") + 1e-6)
    corpus = open_speech(vctk_root, fractions=(0.5, 0.2, 0.3))
    assert {clip.voice for clip in corpus.split("unseen_voice")} <= set(unseen)
    assert {clip.voice for clip in corpus.clips if clip.split != "unseen_voice"}.isdisjoint(unseen)
    assert corpus.split("train")
    assert corpus.split("test")
    text = vctk_root / "VCTK-Corpus-0.92" / "txt"
    said = by_split(corpus.clips, lambda clip: (text / f"{clip.name}.txt").read_text())
    assert len(said) == 8
    assert all(len(splits) == 1 for splits in said.values())
    for clip in corpus.clips[:5]:
        assert corpus.waveform(clip).shape == (clip.samples,)


def test_vctk_lists_what_torchaudio_lists(vctk_root):
    from torchaudio.datasets import VCTK_092

    theirs = {
        f"{speaker}/{speaker}_{number}" for speaker, number in VCTK_092(vctk_root)._sample_ids
    }
    for root in (vctk_root, vctk_root / "VCTK-Corpus-0.92"):
        assert {item.name for item in folders.find(root).recordings} == theirs


def test_vctk_opens_only_what_is_used(vctk_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path))
    opened = []
    monkeypatch.setattr(indexed, "told", lambda path: opened.append(path) or (96000, 48000))
    corpus = open_speech(vctk_root, fractions=(0.1, 0.1, 0.1))
    assert len(opened) == len(corpus.clips) < 80


@pytest.fixture(scope="module")
def voicebank_root(clips, tmp_path_factory):
    """A tree like VoiceBank+DEMAND: clean and noisy twins, a test set of its own."""
    root = tmp_path_factory.mktemp("voicebank")
    noise = 0.01 * torch.randn(2 * RATE, generator=torch.Generator().manual_seed(0))
    for index, waveform in enumerate(clips):
        part, speaker = (
            ("testset", "p232") if index < 8 else ("trainset_28spk", f"p{226 + index % 3}")
        )
        name = f"{speaker}_{index:03d}.wav"
        write(root / f"clean_{part}_wav" / name, waveform, 48000)
        write(root / f"noisy_{part}_wav" / name, waveform + noise[: len(waveform)], 48000)
    return root


def test_voicebank(voicebank_root):
    corpus = open_speech(voicebank_root, fractions=(0.8, 0.2, 0.0))
    assert {clip.voice for clip in corpus.split("test")} == {"p232"}
    assert len(corpus.split("test")) == 8
    assert len(corpus.split("train")) + len(corpus.split("valid")) == 72
    assert 4 < len(corpus.split("valid")) < 30
    assert len({clip.name for clip in corpus.clips}) == 80
    for clip in corpus.split("test") + corpus.split("train")[:3]:
        clean, noisy = corpus.waveform(clip), corpus.noisy(clip)
        assert clean.shape == noisy.shape == (clip.samples,)
        assert 0.005 < (noisy - clean).square().mean().sqrt() < 0.012


def test_voicebank_without_a_twin_is_one_line(voicebank_root, tmp_path):
    (tmp_path / "clean_testset_wav").mkdir()
    (tmp_path / "clean_testset_wav" / "p232_001.wav").write_bytes(b"x")
    with pytest.raises(UserError, match="p232_001.wav has no noisy twin"):
        open_speech(tmp_path)


@pytest.mark.parametrize("layout", ["{}", "train/{}", "{}/p232"])
def test_corpora_in_pairs(clips, tmp_path, layout):
    """Folders "clean" and "noisy", beside each other, in train and test, or one for each voice."""
    parts = (layout, layout.replace("train", "test")) if "train" in layout else (layout,)
    for part in parts:
        for index, waveform in enumerate(clips[:40]):
            name = f"p232_{index:03d}.flac"
            write(tmp_path / part.format("clean") / name, waveform)
            write(tmp_path / part.format("noisy") / name, 0.5 * waveform)
    corpus = open_speech(tmp_path, fractions=(0.5, 0.2, 0.3))
    assert len(corpus.clips) == 40 * len(parts)
    assert {clip.voice for clip in corpus.clips} == {"p232"}
    tested = len(corpus.split("test"))
    assert tested == 40 if len(parts) == 2 else 0 < tested < 20
    clip = corpus.split("test")[0]
    assert torch.allclose(corpus.noisy(clip), 0.5 * corpus.waveform(clip), atol=1e-3)


def test_the_noisy_recording_of_a_pair_is_brought_to_the_nominal_level(clips, tmp_path):
    """The clean one gets the same gain, so that the two still belong together."""
    noise = 0.02 * torch.randn(2 * RATE, generator=torch.Generator().manual_seed(0))
    mixed = clips[0] + noise[: len(clips[0])]
    write(tmp_path / "clean" / "a_1.wav", clips[0])
    write(tmp_path / "noisy" / "a_1.wav", mixed)
    corpus = open_speech(tmp_path, fractions=(0, 0, 1))
    noisy, clean = fixed_clip(corpus, corpus.clips[0], None, seed=0, max_seconds=1.0)
    assert noisy.shape == clean.shape == (RATE,)
    assert noisy.square().mean().sqrt() == pytest.approx(0.05, rel=1e-5)
    gain = 0.05 / mixed[:RATE].square().mean().sqrt()
    assert torch.allclose(clean, gain * clips[0][:RATE], atol=1e-3)

    write(tmp_path / "noisy" / "a_1.wav", mixed[:-5])
    with pytest.raises(UserError, match="make them equally long"):
        fixed_clip(corpus, corpus.clips[0], None, seed=0)


def test_any_folder(clips, tmp_path):
    for index, waveform in enumerate(clips[:40]):
        write(tmp_path / f"voice{index % 2}" / "takes" / f"{index // 2:02d}.wav", waveform, 22050)
    write(tmp_path / "loose.FLAC", clips[40])
    write(tmp_path / "voice0" / "takes" / "zz-copy.wav", clips[0], 22050)
    write(tmp_path / ".hidden" / "x.wav", clips[41])
    (tmp_path / "notes.txt").write_text("not audio")
    corpus = open_speech(tmp_path, fractions=(0.5, 0.2, 0.3))
    assert len(corpus.clips) == 41
    assert {clip.voice for clip in corpus.clips} == {"voice0", "voice1", tmp_path.name}
    names = by_split(corpus.clips, lambda clip: clip.name.split("/", 1)[-1])
    assert all(len(splits) == 1 for splits in names.values())
    assert len({clip.split for clip in corpus.clips}) == 3
    for clip in corpus.clips:
        assert corpus.waveform(clip).shape == (clip.samples,)
    assert open_speech(tmp_path, fractions=(0.5, 0.2, 0.3)).digest == corpus.digest
    noise = open_noise(tmp_path)
    assert {clip.name for clip in noise.clips} == {clip.name for clip in corpus.clips}
    with pytest.raises(UserError, match="no noisy twin"):
        corpus.noisy(corpus.clips[0])


def test_more_files_move_no_clip(clips, tmp_path):
    for index, waveform in enumerate(clips[:20]):
        write(tmp_path / f"{index:02d}.wav", waveform)
    before = {clip.name: clip.split for clip in open_speech(tmp_path).clips}
    for index, waveform in enumerate(clips[20:30]):
        write(tmp_path / f"{index:02d}-more.wav", waveform)
    after = {clip.name: clip.split for clip in open_speech(tmp_path).clips}
    assert len(after) == 30
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("layout", ["plain", "pairs"])
@pytest.mark.parametrize("voices", [["ann", "bob"], ["ann", "bob", "cid", "dan"]])
def test_of_several_voices_one_is_kept_out_of_training(tmp_path, layout, voices):
    for voice in voices:
        for number in range(12):
            for kind in ("clean", "noisy") if layout == "pairs" else ("",):
                path = tmp_path / kind / voice / f"{number}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"{voice} {number} {kind}".encode())
    found = folders.find(tmp_path).recordings
    splits = defaultdict(set)
    for item in found:
        splits[item.voice].add(item.place((0.4, 0.3, 0.3)))
    expected = min(voices, key=lambda voice: share(f"speaker {voice}"))
    for voice in voices:
        kept_out = voice == expected and len(voices) > 2
        those = {"unseen_voice", "unused"} if kept_out else {"train", "valid", "test"}
        assert splits[voice] == those
    assert not any(item.unseen for item in folders.find_noise(tmp_path).recordings)


def test_the_voice_that_says_most_is_not_kept_out(tmp_path):
    voices = sorted("abcd", key=lambda voice: share(f"speaker {voice}"))
    for voice in voices:
        for number in range(10 if voice == voices[0] else 3):
            (tmp_path / voice).mkdir(exist_ok=True)
            (tmp_path / voice / f"{number}.wav").write_bytes(f"{voice} {number}".encode())
    unseen = {item.voice for item in folders.find(tmp_path).recordings if item.unseen}
    assert unseen == {voices[1]}


@pytest.mark.parametrize("open_corpus", [open_speech, open_noise])
def test_folders_that_hold_nothing_are_one_line(open_corpus, tmp_path):
    (tmp_path / "notes.txt").write_text("not audio")
    with pytest.raises(UserError, match="holds no audio files") as caught:
        open_corpus(tmp_path)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(UserError, match="is not a folder"):
        open_corpus(tmp_path / "missing")
    write(tmp_path / "short.wav", torch.zeros(100))
    with pytest.raises(UserError, match="no clip of 1.0 s or more"):
        open_corpus(tmp_path)
    (tmp_path / "damaged.wav").write_text("not audio")
    with pytest.raises(UserError, match="damaged.wav"):
        open_corpus(tmp_path)


def test_microphones_of_one_recording_stay_together(clips, tmp_path):
    """DEMAND's layout: sixteen channels of each place, almost equal to each other."""
    for index in range(12):
        for channel in range(1, 5):
            waveform = clips[index] + 1e-3 * channel * torch.randn(len(clips[index]))
            write(tmp_path / f"PLACE{index}" / f"ch{channel:02d}.wav", waveform)
    corpus = open_noise(tmp_path, fractions=(0.4, 0.2, 0.4))
    assert [clip.name for clip in corpus.clips] == sorted(f"PLACE{i}/ch01.wav" for i in range(12))
    assert {clip.voice for clip in corpus.clips} == {f"PLACE{index}" for index in range(12)}
    assert {clip.split for clip in corpus.clips} == {"train", "valid", "test"}


def test_musan_is_noise_and_music_without_its_speech(clips, tmp_path):
    parts = ("music/jamendo", "noise/free-sound", "noise/sound-bible", "speech/librivox")
    for index, waveform in enumerate(clips[:16]):
        folder = parts[index % 4]
        name = f"{folder.replace('/', '-')}-{index:04d}.wav"
        write(tmp_path / folder / name, waveform)
    (tmp_path / "music" / "jamendo" / "ANNOTATIONS").write_text("who made it")
    corpus = open_noise(tmp_path, fractions=(0.5, 0.2, 0.3))
    assert len(corpus.clips) == 12
    kinds = {clip.voice for clip in corpus.clips}
    assert kinds == {"jamendo music", "free-sound", "sound-bible"}
    found = folders.find_noise(tmp_path)
    assert found.passed == {"of speech": 4, "without a suffix": 1}


def test_slices_of_one_recording_of_urbansound_stay_together(clips, tmp_path):
    for index, waveform in enumerate(clips[:40]):
        recording, kind = 7000 + index // 4, (index // 4) % 10
        name = f"{recording}-{kind}-0-{index % 4}.wav"
        write(tmp_path / "audio" / f"fold{1 + index // 4}" / name, waveform)
    (tmp_path / "metadata").mkdir()
    corpus = open_noise(tmp_path, fractions=(0.5, 0.2, 0.3))
    assert len(corpus.clips) == 40 and len({clip.voice for clip in corpus.clips}) == 10
    assert "siren" in {clip.voice for clip in corpus.clips}
    recordings = by_split(corpus.clips, lambda clip: clip.name.split("/")[1].split("-")[0])
    assert all(len(splits) == 1 for splits in recordings.values())
    assert {clip.split for clip in corpus.clips} == {"train", "valid", "test"}


def test_a_lone_channel_name_is_an_ordinary_file(clips, tmp_path):
    write(tmp_path / "a" / "ch01.wav", clips[0])
    write(tmp_path / "b" / "ch01.wav", clips[1])
    write(tmp_path / "b" / "other.wav", clips[2])
    assert len(open_speech(tmp_path).clips) == 3


@pytest.mark.parametrize(
    ("meant", "expected"),
    [
        (("train", "valid", "test"), {"train": {"train"}, "valid": {"valid"}, "test": {"test"}}),
        (("Training", "dev", "eval"), {"Training": {"train"}, "dev": {"valid"}, "eval": {"test"}}),
        (("train", "test"), {"train": {"train", "valid"}, "test": {"test"}}),
    ],
)
def test_folders_named_as_splits_keep_their_meaning(clips, tmp_path, meant, expected):
    for number, folder in enumerate(meant):
        for index in range(20):
            waveform = clips[20 * number + index]
            write(tmp_path / folder / f"voice{index % 2}" / f"{index:02d}.wav", waveform)
    corpus = open_speech(tmp_path, fractions=(0.5, 0.3, 0.2))
    found = {name: set() for name in meant}
    for clip in corpus.clips:
        found[clip.name.split("/")[0]].add(clip.split)
    assert found == expected
    assert {clip.voice for clip in corpus.clips} == {"voice0", "voice1"}


def test_a_voice_called_test_is_a_voice(clips, tmp_path):
    for index in range(20):
        write(tmp_path / ("test", "other")[index % 2] / f"{index:02d}.wav", clips[index])
    corpus = open_speech(tmp_path, fractions=(0.5, 0.2, 0.3))
    assert {clip.voice for clip in corpus.clips} == {"test", "other"}
    assert {clip.split for clip in corpus.clips if clip.voice == "test"} != {"test"}


def test_how_many_clips_a_folder_holds_is_said_once(clips, tmp_path, capsys):
    for index in range(20):
        write(tmp_path / f"voice{index % 2}" / f"{index:02d}.wav", clips[index])
    for _ in range(2):
        corpus = open_speech(tmp_path, fractions=(0.5, 0.2, 0.3))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path}: 20 clips of 2 voices, 0.5 min; train ")
    assert f"test {len(corpus.split('test'))} of " in line


def test_a_folder_is_told_by_what_its_files_hold(clips, tmp_path, monkeypatch):
    """Another take of the same length, even with its times put back, is another corpus."""
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(indexed, "FRESH_NS", 0)  # the files are seconds old
    folder, read = tmp_path / "own", []
    monkeypatch.setattr(indexed, "sha256", lambda path: read.append(path) or sha256(path))
    for index in range(5):
        write(folder / f"{index}.wav", clips[index])
    first = open_speech(folder).digest
    read.clear()
    assert open_speech(folder).digest == first and not read  # known from the cache
    target = folder / "3.wav"
    times = target.stat()
    write(target, -clips[3])
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert target.stat().st_size == times.st_size
    assert open_speech(folder).digest != first
    (kept,) = (tmp_path / "cache" / "index").iterdir()
    second = open_speech(folder).digest
    for damage in ("", "[1", "[]", '{"a": 1}'):
        kept.write_text(damage)
        assert open_speech(folder).digest == second


def test_noisy_twins_count_for_a_corpus_too(voicebank_root, tmp_path):
    root = shutil.copytree(voicebank_root, tmp_path / "voicebank")
    before = open_speech(root).digest
    twin = next((root / "noisy_testset_wav").glob("*.wav"))
    samples, rate = soundfile.read(twin)
    soundfile.write(twin, 0.5 * samples, rate)
    assert open_speech(root).digest != before


@pytest.fixture
def decoded_corpus(tmp_path, monkeypatch):
    """A decoded corpus of two recordings: its index, and what it was made with."""
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(indexed, "FRESH_NS", 0)
    monkeypatch.setitem(decoded.READERS, "x", lambda path: np.fromfile(path, np.int16))
    package = SimpleNamespace(prefix="", recordings=".raw")
    for number in range(2):
        samples = np.arange(5000, dtype=np.int16) + number
        (tmp_path / f"{number}.raw").write_bytes(samples.tobytes())
    index, made_with = tmp_path / "cache" / "corpora" / "x.json", {"format": 1}
    index.parent.mkdir(parents=True)
    decoded.decode(index, "x", [(package, tmp_path)], made_with)
    return index, made_with


def test_samples_that_were_altered_in_the_cache_are_noticed(decoded_corpus):
    index, made_with = decoded_corpus
    assert decoded.valid(index, made_with) and decoded.valid(index, made_with)
    (array,) = index.parent.glob("x-*.npy")
    times = array.stat()
    samples = np.load(array)
    samples[100] += 1
    np.save(array, samples)
    os.utime(array, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not decoded.valid(index, made_with)


def test_a_corpus_can_be_read_to_its_end_where_another_clone_replaces_it(decoded_corpus):
    index, _ = decoded_corpus
    (array,) = index.parent.glob("x-*.npy")
    reader = _Stored(array, {"0": (0, 5000), "1": (5000, 5000)}, RATE)
    first = reader.waveform("0")
    copy = pickle.loads(pickle.dumps(reader))
    assert torch.equal(copy.waveform("0"), first)
    array.unlink()
    assert torch.equal(reader.waveform("0"), first)
    assert torch.equal(reader.waveform("1"), first + 1 / 32768)


def test_a_vctk_speaker_without_texts_says_what_the_others_say(tmp_path):
    """Else one sentence could be trained in one voice and tested in another."""
    for speaker, texts in (("p225", True), ("p315", False)):
        for number in ("005", "030"):
            sound = tmp_path / f"wav48_silence_trimmed/{speaker}/{speaker}_{number}_mic1.flac"
            sound.parent.mkdir(parents=True, exist_ok=True)
            sound.touch()
            text = tmp_path / f"txt/{speaker}/{speaker}_{number}.txt"
            if texts:
                text.parent.mkdir(parents=True, exist_ok=True)
                text.write_text(f"Sentence {number}.")
    passed = Counter()
    keys = {item.name.split("/")[1]: item.key for item in folders.vctk(tmp_path, passed)}
    assert keys["p225_005"] == keys["p315_005"] == "sentence 005"
    assert keys["p225_030"] == "sentence 030" and "p315_030" not in keys
    assert passed == {"without a text": 1}
