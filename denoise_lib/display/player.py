"""A player that compares versions of one clip under one transport, in Jupyter and on the page.

The markup works by itself: a list of versions, each with its spectrogram, scores and the browser's
own audio controls. player.js adds the shared controls, and player.css the layout.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
import soundfile
from PIL import Image

from denoise_lib import RATE
from denoise_lib.display.spectra import COLOUR_MAP, DB_RANGE, as_array, spectrogram_db
from denoise_lib.errors import UserError
from denoise_lib.files import resource
from denoise_lib.names import METRICS, colour, heading, label, number, prose, score

LONGEST_HEARD = 2.5  # s of a clip that a player plays on the page, so that it stays small
PEAK_DB = -1.0  # the loudest sample of a player's versions, dB re full scale, at most
PICTURE = (640, 180)  # pixels of a spectrogram
# The page holds style and script once and takes out those between the marks.
ASSETS = ("<!--player assets-->", "<!--end of player assets-->")


@dataclass(frozen=True)
class Sound:
    """A version as it is played.

    Args:
        key: Equal for equal sounds.
        flac: The content of a FLAC file, 16 bit, mono.
        picture: The content of a WebP file, its spectrogram without axes.
    """

    key: str
    flac: bytes = field(repr=False)
    picture: bytes = field(repr=False)

    @classmethod
    def of(cls, waveform: Any, rate: int = RATE) -> Sound:
        """Encode a waveform (time,) within [-1, 1], torch or numpy.

        Decoded samples differ from it by at most one step of 2 ** -15.
        """
        return cls(*encoded(waveform, rate), _picture(waveform, rate))


def encoded(waveform: Any, rate: int = RATE) -> tuple[str, bytes]:
    """A waveform (time,) within [-1, 1] as a player holds it: its key, and its FLAC file."""
    samples = np.clip(np.round(as_array(waveform) * 32768), -32768, 32767).astype("<i2")
    key = hashlib.sha256(f"{rate} ".encode() + samples.tobytes()).hexdigest()[:16]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return key, buffer.getvalue()


def compare(
    versions: dict[str, Any],
    rate: int = RATE,
    *,
    title: str,
    listen_for: str = "",
    scores: dict[str, dict[str, float | None]] | None = None,
    gain_db: float | None = None,
    seconds: float | None = None,
) -> Player:
    """A player for several versions of one clip; display it as the last value of a cell.

    All versions get the same gain, which the player shows: levels stay comparable. Nothing is
    normalised by version.

    Args:
        versions: {name: waveform (time,)}, torch or numpy, full scale = 1, all of one length, in
            the order of the buttons.
        rate: Samples per second.
        title: What is heard.
        listen_for: What to listen for, in a sentence.
        scores: {name: {metric: value}}; names and metrics may be missing.
        gain_db: Gain in dB for all versions; None: 0 dB, or less where the loudest sample of any
            version would come above -1 dB re full scale.
        seconds: Length of the excerpt from the start; None for the whole clip.

    Returns:
        An object that Jupyter displays.

    Raises:
        UserError: There is no version, versions have different lengths, a gain would clip, or
            scores are of a version that is not there.
    """
    arrays = {name: as_array(waveform) for name, waveform in versions.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise UserError(f"compare({title!r}) needs versions of one length, got {lengths}")
    unknown = set(scores or {}) - set(arrays)
    if unknown:
        raise UserError(
            f"compare({title!r}) has scores of {sorted(unknown)}, but plays {list(arrays)}"
        )
    samples = next(iter(lengths.values()))
    cut = seconds is not None and seconds * rate < samples
    if cut:
        samples = max(1, round(seconds * rate))
        arrays = {name: array[:samples] for name, array in arrays.items()}
    if gain_db is None:
        gain_db = common_gain_db(arrays.values())
    gain = 10 ** (gain_db / 20)
    if max(float(np.abs(array).max()) for array in arrays.values()) * gain > 1:
        raise UserError(f"compare({title!r}): a gain of {gain_db} dB would clip; leave gain_db out")
    played = {name: Sound.of(array * np.float32(gain), rate) for name, array in arrays.items()}
    return Player(
        title, played, rate, samples / rate, float(gain_db), listen_for, scores or {}, cut
    )


def common_gain_db(waveforms: Iterable[Any]) -> float:
    """The one gain for all versions of a clip, in dB.

    It is 0, or what brings the loudest sample of any version down to -1 dB re full scale; rounded
    down to 0.1 dB, so that the number shown is the gain applied.
    """
    peak = max(float(np.abs(as_array(waveform)).max()) for waveform in waveforms)
    if peak <= 10 ** (PEAK_DB / 20):
        return 0.0
    return math.floor((PEAK_DB - 20 * math.log10(peak)) * 10) / 10


@dataclass
class Player:
    """What :func:`compare` returns.

    Args:
        versions: The sounds as played, gain included, by name.
        rate: Samples per second.
        seconds: Length of each.
        gain_db: The gain that all of them got, dB.
        cut: Whether they are the beginning of a clip, whose scores are of the whole.
    """

    title: str
    versions: dict[str, Sound]
    rate: int
    seconds: float
    gain_db: float
    listen_for: str = ""
    scores: dict[str, dict[str, float | None]] = field(default_factory=dict, repr=False)
    cut: bool = False

    def _repr_html_(self) -> str:
        return self.html() + ASSETS[0] + assets() + ASSETS[1]

    def html(self) -> str:
        """Markup of the player without style and script."""
        lines = [
            f'<div class="player" role="group" aria-label="{html.escape(f"Player: {self.title}")}" '
            f'data-seconds="{self.seconds:.6f}" data-lm-suppress-shortcuts="true">',
            f'<p class="player-title">{html.escape(self.title)}</p>',
        ]
        if self.listen_for:
            hint = html.escape(prose(self.listen_for))
            lines.append(f'<p class="player-hint">What to listen for: {hint}</p>')
        lines += [self._version(name, sound) for name, sound in self.versions.items()]
        low, high = (number(level, 0) for level in DB_RANGE)
        gain = f"gain {number(self.gain_db, 1)} dB, the same for all versions"
        if self.cut and self.scores:
            gain = f"you hear the beginning of the clip, the scores are of all of it; {gain}"
        lines.append(
            f'<p class="player-foot"><span>{gain}</span> <span class="player-scale">{low}<i></i>'
            f"{high} dB re full scale</span></p></div>"
        )
        return "\n".join(lines)

    def _version(self, name: str, sound: Sound) -> str:
        written = html.escape(label(name))
        alt = html.escape(f"Spectrogram: {label(name)}, {self.title}")
        heard = html.escape(f"{label(name)}, {self.title}")
        return (
            f'<figure class="player-version" data-name="{html.escape(name)}" '
            f'style="--version:{colour(name)}">'
            f"<figcaption>{written}</figcaption>"
            f'<div class="player-screen"><img class="player-picture" alt="{alt}" '
            f'width="{PICTURE[0]}" height="{PICTURE[1]}" '
            f'src="{data_uri("image/webp", sound.picture)}">{self._axes()}</div>'
            f'<audio class="player-native" controls preload="none" aria-label="{heard}" '
            f'data-sound="{sound.key}" src="{data_uri("audio/flac", sound.flac)}"></audio>'
            f"{self._scores(name)}</figure>"
        )

    def _axes(self) -> str:
        top = self.rate / 2000
        marks = [
            f'<span class="y" style="bottom:{share:.0%}">{top * share:g}</span>'
            for share in (0, 0.25, 0.5, 0.75)
        ]
        marks.append(f'<span class="y" style="bottom:100%">{top:g} kHz</span>')
        step = next(
            step
            for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 600, math.inf)
            if self.seconds / step <= 9
        )
        for index in range(int(self.seconds / step) + 1 if step < math.inf else 1):
            at = 0 if index == 0 else index * step
            unit = " s" if index == 0 else ""
            marks.append(
                f'<span class="x" style="left:{at / self.seconds:.2%}">{at:g}{unit}</span>'
            )
        return f'<span class="player-axes" aria-hidden="true">{"".join(marks)}</span>'

    def _scores(self, name: str) -> str:
        given = self.scores.get(name, {})
        metrics = [*(each for each in METRICS if each in given), *(given.keys() - METRICS.keys())]
        items = (
            f"<div><dt>{html.escape(heading(each))}</dt><dd>{score(each, given[each])}</dd></div>"
            for each in metrics
        )
        return f'<dl class="player-scores">{"".join(items)}</dl>'


def assets() -> str:
    """Style and script of the player as HTML; on a page they are needed once."""
    style, script = (resource(__package__, f"player.{kind}") for kind in ("css", "js"))
    return f"<style>{style}</style><script>{script}</script>"


def data_uri(kind: str, content: bytes) -> str:
    """A file's content as an address that holds it, such as "data:audio/flac;base64,..."."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _picture(waveform: Any, rate: int) -> bytes:
    """Spectrogram as WebP: DB_RANGE on the page's colour map, no axes."""
    hop = min(0.008, len(waveform) / rate / PICTURE[0])  # a column or more per pixel
    levels = spectrogram_db(waveform, rate, hop=max(hop, 0.001))
    share = np.clip((levels - DB_RANGE[0]) / (DB_RANGE[1] - DB_RANGE[0]), 0, 1)
    image = Image.fromarray(share[::-1].astype(np.float32)).resize(PICTURE, Image.Resampling.BOX)
    pixels = matplotlib.colormaps[COLOUR_MAP](np.asarray(image), bytes=True)[..., :3]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "WEBP", quality=55, method=6)
    return buffer.getvalue()
