"""The words of the field: what each means, and links to that wherever one is met on the page."""

from __future__ import annotations

import re
from typing import NamedTuple


class Term(NamedTuple):
    """A word of the glossary.

    Args:
        name: As it is written in the glossary.
        meaning: One or two plain sentences, as HTML.
        others: Other ways to write it in a text.
    """

    name: str
    meaning: str
    others: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """Where the term stands on the page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


TERMS = (
    Term(
        "ABX",
        "A listening test: X is either A or B, and the listener says which. One who hears no "
        "difference is right half of the time.",
    ),
    Term(
        "baseline",
        "A simple system that others are compared with, such as leaving the clip as it is.",
        ("baselines",),
    ),
    Term(
        "confidence interval",
        "A range for the true mean, at a nominal level of 95 %. It is found by drawing voices, and "
        "clips within each voice, again and again (a bootstrap), and stands in brackets after its "
        "number. With as few voices as here it is somewhat too narrow: in simulations with three "
        "voices it held the true mean 82 times in 100.",
        ("95 % interval", "95 % intervals", "confidence intervals"),
    ),
    Term(
        "constant-Q transform",
        "A spectrum with the same number of bins in every octave, so that the distances between "
        "harmonics do not depend on the pitch.",
        ("constant-Q", "CQT"),
    ),
    Term(
        "DCUnet",
        "Deep Complex U-Net (Choi et al. 2019): a U-Net of complex convolutions that predicts a "
        "complex mask for the STFT.",
        ("DCUnets", "Deep Complex U-Net"),
    ),
    Term(
        "DNSMOS",
        "A network’s guess of how listeners would rate a recording, from 1 (bad) to 5 (excellent). "
        "It does not need the clean speech.",
    ),
    Term(
        "fine-tune",
        "To train a trained network further, for a narrower task.",
        ("fine-tuned", "fine-tunes", "retrained", "retraining"),
    ),
    Term(
        "identity check",
        "Can a network learn to copy its input? A network that copies badly "
        "also harms what was not damaged.",
    ),
    Term(
        "LSD",
        "Log-spectral distance: how far the levels of two spectrograms are apart, in dB. 0 is "
        "perfect.",
    ),
    Term(
        "mask",
        "What a network multiplies each coefficient of the STFT by: 1 keeps it, 0 removes it, and "
        "a complex mask also turns its phase.",
        ("masks",),
    ),
    Term(
        "MFCC",
        "Mel-frequency cepstral coefficients: a few numbers that describe the envelope of a "
        "spectrum, and with it the vowel.",
    ),
    Term(
        "out-of-domain",
        "Unlike the training data in at least one respect, such as the voice, the room, the rate "
        "or the frames of the damage.",
        ("out of domain",),
    ),
    Term(
        "PESQ",
        "Perceptual evaluation of speech quality, here for wide-band speech (ITU-T P.862.2): a "
        "model of what listeners would say of a connection, from 1 (bad) to 4.6 (like the clean "
        "speech).",
    ),
    Term(
        "raising",
        "The second change of the fixed damage: of the weakest 90 % of the STFT coefficients, a "
        "random half is set to one. It is heard as buzz and hiss.",
    ),
    Term(
        "RNNoise",
        "A small recurrent network for noise suppression by J.-M. Valin, trained by others on real "
        "noise.",
    ),
    Term(
        "SI-SDR",
        "Scale-invariant signal-to-distortion ratio: the energy of the speech in the output over "
        "the energy of everything else, in dB. Higher is better; volume does not change it.",
    ),
    Term(
        "SNR",
        "Signal-to-noise ratio: the energy of the speech over the energy of the noise, in dB.",
        ("SNRs", "signal-to-noise ratio"),
    ),
    Term(
        "STFT",
        "Short-time Fourier transform: the clip is cut into short overlapping frames, and each "
        "frame is taken apart into frequencies. Each frame and frequency has one complex "
        "coefficient.",
        ("short-time Fourier transform", "STFTs"),
    ),
    Term(
        "STOI",
        "Short-time objective intelligibility: a model of how many words a listener understands, "
        "up to 1.",
    ),
    Term(
        "U-Net",
        "A network that shrinks its input in several steps, enlarges it again, and passes what "
        "each step saw to the step of the same size on the way back.",
        ("U-Nets",),
    ),
    Term(
        "volume alone",
        "The baseline that only plays the noisy clip louder or softer. It repairs nothing, and it "
        "moves wSDR.",
    ),
    Term(
        "WaveNet",
        "A network of dilated convolutions over samples; here the Denoising WaveNet of Rethage, "
        "Pons and Serra (2018).",
        ("WaveNets",),
    ),
    Term(
        "wSDR",
        "Weighted signal-to-distortion ratio (Choi et al. 2019), the loss that most networks here "
        "are trained with. It adds two cosine similarities with a minus sign: estimate against "
        "clean speech, and what was removed against the noise, each weighted by its share of the "
        "energy. It lies between −1 (perfect) and 1; section 1 "
        "gives the formula. It can be moved by volume alone.",
    ),
    Term(
        "zeroing",
        "The first change of the fixed damage: of the strongest 10 % of the STFT coefficients, a "
        "random fifth is set to zero. It is heard as roughness.",
    ),
)

_WRITTEN = {word: term for term in TERMS for word in (term.name, *term.others)}
_WORDS = re.compile(
    r"(?<![\w-])(?:"
    + "|".join(sorted(map(re.escape, _WRITTEN), key=len, reverse=True))
    + r")(?![\w-])"
)
_TAG = re.compile(r"(<(?:[^>\"]|\"[^\"]*\")*>)")
# A term is a link once in each of these, and nowhere within the others.
BLOCKS = {"p", "li", "caption", "figcaption"}
PLAIN = {
    "a",
    "button",
    "code",
    "dfn",
    "dt",
    "h1",
    "h2",
    "h3",
    "h4",
    "math",
    "pre",
    "script",
    "style",
    "summary",
}
PLAIN |= {"select", "svg", "template", "th", "td"}
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


def linked(html: str) -> str:
    """HTML in which the first mention of a term in each paragraph, point or caption is a link.

    Args:
        html: Well-formed; what stands in headings, tables, code, formulas and players is left
            alone.
    """
    pieces: list[str] = []
    # Of each open element: its name, whether it is left alone, and the terms its block has met.
    inside: list[tuple[str, bool, set[Term] | None]] = [("", False, None)]
    for piece in _TAG.split(html):
        name, plain, met = inside[-1]
        if not piece.startswith("<"):
            pieces.append(piece if plain or met is None else _link_words(piece, met))
            continue
        pieces.append(piece)
        found = re.match(r"<(/?)([a-z][a-z0-9]*)", piece)
        if not found or found[2] in VOID or piece.endswith("/>"):
            continue
        if found[1]:
            if len(inside) > 1 and name == found[2]:
                inside.pop()
            continue
        leave = plain or found[2] in PLAIN or bool(re.search(r'class="(player|blind)', piece))
        inside.append((found[2], leave, set() if found[2] in BLOCKS else met))
    return "".join(pieces)


def _link_words(text: str, met: set[Term]) -> str:
    def link(match: re.Match[str]) -> str:
        term = _WRITTEN[match[0]]
        # A hyphen is no place to break a short name.
        whole = f'<span class="whole">{match[0]}</span>' if "-" in match[0] else match[0]
        if term in met:
            return whole
        met.add(term)
        return f'<a class="term" href="#{term.anchor}">{match[0]}</a>'

    return _WORDS.sub(link, text)
