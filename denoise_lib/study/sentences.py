"""The sentences of the page's listening matrix: each voice, whole phrases, for all networks."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from denoise_lib.data.corpora import Clip, Corpus
from denoise_lib.data.crops import spread


class Sentence(NamedTuple):
    """A clip that is heard whole.

    Attributes:
        clip: Its name in the corpus.
        who: Language and voice, as they are written on the page.
        meaning: What is said, in English; the corpus comes without texts.
    """

    clip: str
    who: str
    meaning: str = ""


# Of the default corpus: test clips of 3 to 4 s of the training voices, and of the unseen one. A
# prompt has the same name in every language, so that the English prompt says what the others mean.
SENTENCES = (
    Sentence(
        "en/agent-pass", "English, a woman", "Please enter your password followed by the pound key."
    ),
    Sentence(
        "en/conf-onlyone",
        "English, the same woman",
        "There is currently one other participant in the conference.",
    ),
    Sentence(
        "it/agent-pass", "Italian, a man", "Please enter your password followed by the pound key."
    ),
    Sentence(
        "it/invalid",
        "Italian, the same man",
        "I am sorry, that is not a valid extension. Please try again.",
    ),
    Sentence(
        "fr/agent-pass", "French, a woman", "Please enter your password followed by the pound key."
    ),
    Sentence(
        "ru/vm-rec-name",
        "Russian, a woman, unseen voice",
        "After the tone, say your name, and then press the pound key.",
    ),
)


def rounded(waveform: Tensor) -> Tensor:
    """A waveform in steps of 2 ** -12, as it is kept for the page.

    The error is 57 dB below speech at the nominal level, and a FLAC file is a third smaller.
    """
    return (waveform * 2**12).round() / 2**12


def sentences(corpus: Corpus) -> list[tuple[Clip, Sentence]]:
    """The clips to hear: those above, or, of another corpus, some of the test and the unseen voice.

    Returns:
        Each clip with its sentence, in the order of the page.
    """
    clips = {clip.name: clip for clip in corpus.clips}
    found = [(clips[each.clip], each) for each in SENTENCES if each.clip in clips]
    if found:
        return found
    heard = spread(corpus.split("test"), 4) + spread(corpus.split("unseen_voice"), 2)
    unseen = {"unseen_voice": ", unseen in training"}
    return [
        (clip, Sentence(clip.name, f"voice {clip.voice}{unseen.get(clip.split, '')}"))
        for clip in heard
    ]
