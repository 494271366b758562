"""Names, colours and number formats, the same in figures, players and tables."""

import re

# One colour, one meaning, on the whole page: what is heard, and below, by which damage. Each has a
# contrast of at least 3:1 against the light page and against the dark one.
COLOURS = {
    "clean": "#4f8a2f",
    "noisy": "#82868f",
    "autoencoder": "#b97a00",
    "wavenet": "#9b63d6",
    "dcunet": "#2279c8",
    "unet": "#0a8ea8",
    "tuned unet": "#7d8f00",
    "street": "#cc5540",
}
OTHER_COLOUR = "#8a7f72"
DAMAGE_COLOURS = {"zero": "#c2418f", "raise": "#16877a"}

NAMES = {
    "wavenet": "WaveNet",
    "dcunet": "DCUnet",
    "unet": "U-Net",
    "germain": "Germain et al.",
    "gain": "half the volume",
    "spectral_gating": "spectral gating",
    "log_mmse": "log-MMSE",
    "rnnoise": "RNNoise",
}

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


def colour(name):
    """Colour of a version, by the last known name in it ("street, dcunet" is a dcunet)."""
    found = [
        (match.end(), len(known), tone)
        for known, tone in (COLOURS | DAMAGE_COLOURS).items()
        for match in re.finditer(rf"\b{known}\b", name.lower())
    ]
    return max(found)[-1] if found else OTHER_COLOUR  # of two that end alike, the longer one


def label(name):
    """Name as it is written on the page: "dcunet, retrained" -> "DCUnet, retrained"."""
    for plain, written in NAMES.items():
        name = name.replace(plain, written)
    return name


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
