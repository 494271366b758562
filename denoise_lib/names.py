"""How everything is written: names, colours, units and numbers, the same wherever they stand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

OTHER_COLOUR = "#84665a"  # of what has none of its own


class Name(NamedTuple):
    """How something is written on the page, and the colour that stands for it everywhere.

    Each colour has a contrast of at least 3:1 against the light page and against the dark one, and
    no two are alike: that of a network is not that of a condition either.
    """

    written: str
    colour: str = OTHER_COLOUR


class Condition(NamedTuple):
    """How a condition is written, its colour, what to listen for, and where it stands.

    Home is the fixed damage on the default corpus. A condition that is ``away`` is out of domain
    for the shipped networks: none of them was trained on it.
    """

    written: str
    colour: str = OTHER_COLOUR
    listen_for: str = "what the damage adds, and what a network leaves of it"
    away: bool = False


class Metric(NamedTuple):
    """How a measure is written: its heading, unit and decimals, and which way is better."""

    heading: str
    unit: str = ""
    decimals: int = 3
    better: str = ""


# The networks that can be trained, by the names of their classes.
MODELS = {
    "autoencoder": Name("autoencoder", "#b97a00"),
    "wavenet": Name("WaveNet", "#9b63d6"),
    "dcunet": Name("DCUnet", "#2279c8"),
    "unet": Name("U-Net", "#129cba"),
    "germain": Name("Germain et al.", "#127e18"),
    "informed": Name("informed DCUnet"),
    "causal": Name("causal"),
}
# What else is heard or stands in a table beside them.
VERSIONS = {
    "clean": Name("clean", "#068a72"),
    "noisy": Name("noisy", "#82868f"),
    "repair": Name("repair", "#30a248"),
    "speech": Name("speech", "#b44e00"),
    "unet-street": Name("street U-Net", "#e46648"),
    "gain": Name("half the volume"),
    "spectral_gating": Name("spectral gating"),
    "log_mmse": Name("log-MMSE", "#8a965a"),
    "rnnoise": Name("RNNoise", "#ba4260"),
    "webrtc": Name("WebRTC"),
}
# What the shipped networks and the baselines are for, by the names under which they are loaded.
PURPOSES = {
    "speech": "noise in recordings and in real time; the default",
    "repair": "the fixed damage: zeroing and raising",
    "dcunet-stft": "the fixed damage; the report's own DCUnet",
    "dcunet-street": "street noise; the report's own DCUnet",
    "unet-street": "street noise; a U-Net fine-tuned on streets alone, for comparison",
    "germain": "comparison: the network of Germain, Chen and Koltun (2018)",
    "rnnoise": "noise in recordings; others' network",
    "webrtc": "noise in calls; what browsers run",
    "log_mmse": "steady noise; a classical filter",
    "spectral_gating": "steady noise; a threshold for each frequency",
    "neighbourhood": "the fixed damage, from neighbouring coefficients; no network",
}
# Every damage that a network is trained or scored on; damage/conditions.py makes each of them.
CONDITIONS = {
    "both": Condition(
        "zeroing and raising",
        "#728aea",
        listen_for="the roughness in loud vowels, the buzz in the pauses, and what networks leave",
    ),
    "zero": Condition(
        "zeroing alone",
        "#d86cae",
        "the roughness in loud vowels, where strong coefficients are missing",
    ),
    "raise": Condition(
        "raising alone",
        "#7e7206",
        "the buzz in the pauses, and whether the quiet sounds of speech go with it",
    ),
    "street": Condition(
        "street noise", "#8a6096", "what is left of the street, and what the voice has lost with it"
    ),
    "varied": Condition("the procedure with drawn parameters"),
    "varied_street": Condition("streets made from recorded ones"),
    "outside": Condition(
        "noise as it is outside",
        listen_for="what is left of the noise, and what the voice has lost with it",
    ),
    "home": Condition("home", away=True),
    "frames of 30 ms": Condition("frames of 30 ms", away=True),
    "frames of 60 ms, Hann": Condition("frames of 60 ms, Hann", away=True),
    "made at 48 kHz": Condition("made at 48 kHz", away=True),
    "speech 6 dB softer": Condition("speech 6 dB softer", away=True),
    "speech 6 dB louder": Condition("speech 6 dB louder", away=True),
    "telephone band": Condition("telephone band", away=True),
    "in a room": Condition("in a room", away=True),
    "read, another studio": Condition("read, another studio", away=True),
}

SPLITS: dict[str, str] = {
    "test": "test clips, training voices",
    "unseen_voice": "a voice never heard in training",
    "valid": "validation clips",
}

LANGUAGES = {"en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "ru": "Russian"}

METRICS = {
    "wsdr": Metric("wSDR", "", 3, "lower"),
    "snr": Metric("SNR", "dB", 1, "higher"),
    "si_sdr": Metric("SI-SDR", "dB", 1, "higher"),
    "lsd": Metric("LSD", "dB", 1, "lower"),
    "pesq": Metric("PESQ", "", 2, "higher"),
    "stoi": Metric("STOI", "", 3, "higher"),
    "dnsmos": Metric("DNSMOS", "", 2, "higher"),
}
# Decimals of a column whose heading ends in a unit.
UNIT_DECIMALS = {"dB": 1, "%": 1, "Hz": 0, "ms": 0, "s": 0}


def _words(known: Iterable[str]) -> re.Pattern[str]:
    """Finds these names in a text, as whole words; of two that begin alike, the longer one."""
    longest_first = sorted(known, key=len, reverse=True)
    return re.compile(rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)


_WRITTEN = MODELS | VERSIONS
_COLOURED = {
    key: each.colour for key, each in (_WRITTEN | CONDITIONS).items() if each.colour != OTHER_COLOUR
}
_WRITTEN_WORDS, _COLOURED_WORDS = _words(_WRITTEN), _words(_COLOURED)


def colour(name: str) -> str:
    """Colour of a version, by the last known name in it ("street, dcunet" is a dcunet)."""
    found = _COLOURED_WORDS.findall(name)
    return _COLOURED[found[-1].lower()] if found else OTHER_COLOUR


def label(name: str) -> str:
    """Name as it is written on the page: "dcunet, retrained" -> "DCUnet, retrained"."""
    return _WRITTEN_WORDS.sub(lambda found: _WRITTEN[found[1].lower()].written, name)


def condition(key: str) -> str:
    """A condition as it is written on the page; one that is not listed keeps its words."""
    return CONDITIONS[key].written if key in CONDITIONS else prose(key)


def language(code: str) -> str:
    """A language of the default corpora in words; of another corpus, what stands there."""
    return LANGUAGES.get(code, code)


def series(name: str) -> str:
    """What a line or a panel of a figure shows: a condition, or systems."""
    return condition(name) if name in CONDITIONS else label(name)


def number(value: float | None, decimals: int = 3) -> str:
    """A number with a real minus sign; a missing one is an en dash."""
    if value is None or value != value:
        return "\N{EN DASH}"
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def shown_decimals(decimals: int, values: Iterable[float], most: int = 2) -> int:
    """Decimals with which no value reads as zero that is not, as far as ``most`` more go."""
    for more in range(most):
        if all(float(f"{each:.{decimals + more}f}") for each in values if each):
            return decimals + more
    return decimals + most


def prose(text: str) -> str:
    """Text as it is set on the page: with minus signs for hyphens ("-0.94"), and apostrophes."""
    text = re.sub(r"(?<=\w)'(?=\w)|(?<=s)'(?= \w)", "\N{RIGHT SINGLE QUOTATION MARK}", text)
    return re.sub(r"(?<![\w.-])-(?=[\d.])", "\N{MINUS SIGN}", text)


def score(metric: str, value: float | None) -> str:
    """A score with the decimals and the unit of its metric: ("si_sdr", 14.21) -> "14.2 dB"."""
    known = METRICS.get(metric, Metric(metric))
    unit = f"\N{NO-BREAK SPACE}{known.unit}" if known.unit and value is not None else ""
    return number(value, known.decimals) + unit


def quantity(value: float | None, unit: str) -> str:
    """A measured value with three significant digits and its unit: (0.0432, "s") -> "0.0432 s"."""
    if value is None:
        return number(value)
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    unit = f"\N{NO-BREAK SPACE}{unit}" if unit else ""
    return number(value, min(max(digits, 0), 6)) + unit


def counted(clips: int, voices: int, what: str = "clip") -> str:
    """How many clips of how many voices: (32, 3) -> "32 clips of 3 voices"."""
    numbers = {what: clips, "voice": voices}
    return " of ".join(f"{n} {each}{'s' * (n != 1)}" for each, n in numbers.items())


def over(rows: Iterable[dict[str, Any]]) -> str:
    """Over how many clips and voices some means are: "32 clips of 3 voices".

    Args:
        rows: Of results.
    """
    parts, rows = [], list(rows)
    for key, what in (("total", "clip"), ("voices", "voice")):
        few, many = (choice(row[key] for row in rows) for choice in (min, max))
        numbers = str(many) if few == many else f"{few} to {many}"
        parts.append(f"{numbers} {what}{'s' * (many != 1)}")
    return " of ".join(parts)


def listed(names: list[str]) -> str:
    """Names as a sentence lists them: "a, b and c"."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def heading(metric: str) -> str:
    """Name of a metric in a table."""
    return METRICS.get(metric, Metric(metric)).heading


def column(title: str, decimals: int = 3) -> tuple[str, int]:
    """Heading of a table's column with its unit, and the decimals of what stands in it.

    A heading that names a measure has the decimals of that measure, and its unit if the heading is
    nothing but the name; one that ends in a unit has the decimals of that unit.

    Args:
        title: The heading: "SI-SDR" -> ("SI-SDR, dB", 1).
        decimals: Where the heading says nothing of them.
    """
    for known in METRICS.values():
        if title == known.heading and known.unit:
            return f"{title}, {known.unit}", known.decimals
    named = [known for known in METRICS.values() if known.heading in re.split("[ ,]+", title)]
    if named:
        return title, named[0].decimals
    return title, UNIT_DECIMALS.get(title.rpartition(", ")[2].strip(), decimals)


def change_of_ratio(row: Mapping[str, Any]) -> str:
    """What a system does to the mean SI-SDR, as the rest of a sentence that begins with it."""
    before, after = (score("si_sdr", row[side]) for side in ("noisy", "denoised"))
    if before == after:
        return f"leaves the mean SI-SDR at {before}"
    return f"takes the mean SI-SDR from {before} to {after}"
