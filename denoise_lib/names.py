"""Names, colours and number formats, the same in figures, players and tables."""

import re
from typing import NamedTuple

OTHER_COLOUR = "#8a7f72"


class Name(NamedTuple):
    """How something is written on the page, and the colour that stands for it everywhere.

    Each colour has a contrast of at least 3:1 against the light page and against the dark one.
    """

    written: str
    colour: str = OTHER_COLOUR


# The networks that can be trained, by the names of their classes.
MODELS = {
    "autoencoder": Name("autoencoder", "#b97a00"),
    "wavenet": Name("WaveNet", "#9b63d6"),
    "dcunet": Name("DCUnet", "#2279c8"),
    "unet": Name("U-Net", "#0a8ea8"),
    "germain": Name("Germain et al."),
    "informed": Name("informed DCUnet"),
}
# What else is heard or stands in a table beside them.
VERSIONS = {
    "clean": Name("clean", "#4f8a2f"),
    "noisy": Name("noisy", "#82868f"),
    "tuned unet": Name("tuned U-Net", "#7d8f00"),
    "street": Name("street", "#cc5540"),
    "gain": Name("half the volume"),
    "spectral_gating": Name("spectral gating"),
    "log_mmse": Name("log-MMSE"),
    "rnnoise": Name("RNNoise"),
    "zero": Name("zero", "#c2418f"),
    "raise": Name("raise", "#16877a"),
}
KNOWN = MODELS | VERSIONS
# A name inside another text, as a whole word; of two that begin alike, the longer one.
WORDS = re.compile(rf"(?<!\w)({'|'.join(sorted(KNOWN, key=len, reverse=True))})(?!\w)", re.IGNORECASE)

CONDITIONS = {
    "both": "zeroing and raising",
    "zero": "zeroing alone",
    "raise": "raising alone",
    "street": "street noise",
}

SPLITS = {
    "test": "test clips, training voices",
    "unseen_voice": "a voice never heard in training",
    "valid": "validation clips",
}

# metric -> (heading, unit, decimals, which way is better)
METRICS = {
    "wsdr": ("wSDR", "", 3, "lower"),
    "snr": ("SNR", "dB", 1, "higher"),
    "si_sdr": ("SI-SDR", "dB", 1, "higher"),
    "lsd": ("LSD", "dB", 1, "lower"),
    "pesq": ("PESQ", "", 2, "higher"),
    "stoi": ("STOI", "", 3, "higher"),
    "dnsmos": ("DNSMOS", "", 2, "higher"),
}


def colour(name: str) -> str:
    """Colour of a version, by the last known name in it ("street, dcunet" is a dcunet)."""
    tones = [KNOWN[found.lower()].colour for found in WORDS.findall(name)]
    return next((tone for tone in reversed(tones) if tone != OTHER_COLOUR), OTHER_COLOUR)


def label(name: str) -> str:
    """Name as it is written on the page: "dcunet, retrained" -> "DCUnet, retrained"."""
    return WORDS.sub(lambda found: KNOWN[found[1].lower()].written, name)


def number(value, decimals=3):
    """A number with a real minus sign; a missing one is an en dash."""
    if value is None or value != value:
        return "\N{EN DASH}"
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def shown_decimals(decimals, values, most=2):
    """Decimals with which no value reads as zero that is not, as far as ``most`` more go."""
    for more in range(most):
        if all(float(f"{each:.{decimals + more}f}") for each in values if each):
            return decimals + more
    return decimals + most


def prose(text):
    """Text as it is set on the page: a hyphen that stands for minus becomes one ("-0.94")."""
    return re.sub(r"(?<![\w.-])-(?=[\d.])", "\N{MINUS SIGN}", text)


def score(metric, value):
    """A score with the decimals and the unit of its metric: ("si_sdr", 14.21) -> "14.2 dB"."""
    _, unit, decimals, _ = METRICS.get(metric, (metric, "", 3, ""))
    return number(value, decimals) + (
        f"\N{NO-BREAK SPACE}{unit}" if unit and value is not None else ""
    )


def heading(metric):
    """Name of a metric in a table."""
    return METRICS.get(metric, (metric, "", 3, ""))[0]
