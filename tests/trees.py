"""Small corpora on disk, of synthesised speech, in the layouts that people have."""

import numpy as np
import soundfile

from denoise_lib.data.folders import UNSEEN_SPEAKERS
from denoise_lib.data.splits import share

SPEAKERS = ("p225", "p226", "p249")  # of VCTK; training never hears the last one
SENTENCES = 16


def speech(rate, seed, seconds=2.2):
    """A buzz of one pitch that comes and goes like syllables, with noise up to half the rate."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(random.uniform(90, 220) + 8 * np.sin(5 * time)) / rate
    buzz = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = np.maximum(0, np.sin(2 * np.pi * random.uniform(2, 4) * time)) + 0.02
    return 0.05 * syllables * (buzz + 0.1 * random.standard_normal(len(time)))


def write(path, samples, rate):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)


def plain(folder, clips=60, rate=16000):
    """Files of one voice beside each other."""
    for number in range(clips):
        write(folder / f"take {number}.wav", speech(rate, number), rate)
    return folder


def vctk(folder, rate=48000):
    """VCTK 0.92: speakers who read one pool of sentences, at 48 kHz, and the texts."""
    assert [share(f"speaker {each}") < UNSEEN_SPEAKERS for each in SPEAKERS] == [False, False, True]
    for seed, speaker in enumerate(SPEAKERS):
        for number in range(SENTENCES):
            name = f"{speaker}_{number + 1:03}"
            samples = speech(rate, 100 * seed + number)
            write(folder / "wav48_silence_trimmed" / speaker / f"{name}_mic1.flac", samples, rate)
            text = folder / "txt" / speaker / f"{name}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(f"This is sentence number {number}.\n")
    return folder


def voicebank(folder, rate=16000):
    """VoiceBank+DEMAND: clean and noisy recordings, of a training set and of a test set."""
    for part, speakers in (("trainset_28spk", SPEAKERS[:2]), ("testset", SPEAKERS[2:])):
        for seed, speaker in enumerate(speakers):
            for number in range(12):
                clean = speech(rate, 100 * seed + number)
                noise = 0.02 * np.random.default_rng(number).standard_normal(len(clean))
                file = f"{speaker}_{number + 1:03}.wav"
                write(folder / f"clean_{part}_wav" / file, clean, rate)
                write(folder / f"noisy_{part}_wav" / file, clean + noise, rate)
    return folder


def streets(folder, rate=16000, recordings=20):
    """Noise of its own colour in every recording."""
    for number in range(recordings):
        random = np.random.default_rng(1000 + number)
        samples = np.convolve(random.standard_normal(4 * rate), np.ones(2 + number), "same")
        write(folder / f"street {number}.wav", 0.1 * samples / np.abs(samples).max(), rate)
    return folder
