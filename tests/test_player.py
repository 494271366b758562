"""The player: one gain, honest sounds, complete markup. Its behaviour is in test_browser.py."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
import torch
from page_fixture import Scene, voice
from PIL import Image

from denoise_lib.display import player, spectra
from denoise_lib.display.player import Sound, common_gain_db, compare
from denoise_lib.errors import UserError


def sounds(html):
    """{key: samples} of the sounds in some markup."""
    found = re.findall(r'data-sound="(\w+)" src="data:audio/flac;base64,([^"]+)"', html)
    return {key: decode(source) for key, source in found}


def decode(source):
    return soundfile.read(io.BytesIO(base64.b64decode(source)), dtype="float32")[0]


def peak(level):
    wave = np.zeros(1000, dtype=np.float32)
    wave[500] = -level
    return wave


class Tags(HTMLParser):
    """Every tag of some markup with its attributes; fails on tags left open."""

    def __init__(self, html):
        super().__init__()
        self.found, self.open = [], []
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("img", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.mark.parametrize(
    ("levels", "gain"),
    # -1 dB re full scale is 0.891; the gain is rounded down to a tenth.
    [([0.5, 0.89], 0.0), ([0.0], 0.0), ([0.5, 1.0], -1.0), ([0.1, 2.0], -7.1), ([0.9], -0.1)],
)
def test_gain_is_the_loudest_version_s(levels, gain):
    waves = [peak(level) for level in levels]
    assert common_gain_db(waves) == pytest.approx(gain)
    assert max(levels) * 10 ** (common_gain_db(waves) / 20) <= max(10 ** (-1 / 20), 0)


def test_all_versions_get_one_gain():
    versions = {"clean": peak(0.5), "noisy": peak(1.6)}
    player = compare(versions, title="x")
    gain = 10 ** (player.gain_db / 20)
    for name, wave in versions.items():
        assert player.versions[name].key == Sound.of(wave * np.float32(gain)).key
    heard = sounds(player.html())
    assert len(heard) == 2
    ratio = np.divide(*sorted(np.abs(wave).max() for wave in heard.values()))
    assert ratio == pytest.approx(0.5 / 1.6, abs=1e-4)
    assert "gain −5.1 dB, the same for all versions" in player.html()


def test_quiet_clips_are_not_normalised():
    player = compare({"clean": peak(0.01)}, title="x")
    assert player.gain_db == 0
    (heard,) = sounds(player.html()).values()
    assert np.abs(heard).max() == pytest.approx(0.01, abs=2**-15)


def test_a_gain_that_clips_is_refused():
    assert compare({"clean": peak(0.25)}, title="x", gain_db=6.0).gain_db == 6.0
    with pytest.raises(UserError, match="would clip"):
        compare({"clean": peak(0.6)}, title="x", gain_db=6.0)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_flac_round_trip(rate):
    wave = np.random.default_rng(0).uniform(-1, 1, 999).astype(np.float32)
    flac = Sound.of(wave, rate).flac
    info = soundfile.info(io.BytesIO(flac))
    assert (info.format, info.subtype, info.channels) == ("FLAC", "PCM_16", 1)
    assert info.samplerate == rate
    # Rounding is half a step; +1.0 itself has no 16-bit value and loses one.
    assert np.abs(decode(base64.b64encode(flac)) - wave).max() <= 2**-15


def test_keys_tell_sounds_apart():
    wave = voice(seconds=0.2)
    assert Sound.of(wave) == Sound.of(wave.numpy().copy())
    assert Sound.of(wave).key != Sound.of(wave * 0.5).key
    assert Sound.of(wave, 16000).key != Sound.of(wave, 8000).key


def test_torch_and_numpy_give_the_same_player():
    scene = Scene("both", seconds=0.5)
    versions = scene.versions("dcunet")
    arrays = {name: wave.numpy() for name, wave in versions.items()}
    assert compare(versions, title="x").html() == compare(arrays, title="x").html()


def test_everything_has_a_name():
    scene = Scene("both", seconds=0.5)
    player = compare(scene.versions("wavenet"), title="A & B", listen_for="a <hiss>")
    tags = Tags(player.html())
    assert [each["aria-label"] for each in tags.all("audio")] == [
        "clean, A & B",
        "noisy, A & B",
        "WaveNet, A & B",
    ]
    assert all("controls" in each for each in tags.all("audio"))
    assert all("A & B" in each["alt"] for each in tags.all("img"))
    assert tags.all("div")[0]["aria-label"] == "Player: A & B"
    assert "a &lt;hiss&gt;" in player.html()


def test_scores_of_each_version_in_fixed_order():
    scene = Scene("both", seconds=0.5)
    scores = {"noisy": {"pesq": 1.234, "wsdr": -0.8012, "si_sdr": None}}
    html = compare(scene.versions(), title="x", scores=scores).html()
    items = re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", html)
    assert items == [("wSDR", "−0.801"), ("SI-SDR", "–"), ("PESQ", "1.23")]


def test_pictures_share_range_and_are_small():
    scene = Scene("both")
    html = compare(scene.versions("dcunet"), title="x").html()
    pictures = re.findall(r"data:image/webp;base64,([^\"]+)", html)
    assert len(pictures) == 3
    for picture in pictures:
        data = base64.b64decode(picture)
        assert Image.open(io.BytesIO(data)).size == player.PICTURE
        assert len(data) < 30_000
    low, high = (f"−{-level:.0f}" for level in spectra.DB_RANGE)
    assert f"{low}<i></i>{high} dB re full scale" in html


def test_low_frequencies_are_at_the_bottom():
    time = np.arange(16000) / 16000
    html = compare({"clean": 0.5 * np.sin(2 * np.pi * 500 * time)}, title="x").html()
    data = base64.b64decode(re.search(r"data:image/webp;base64,([^\"]+)", html)[1])
    rows = np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=float).mean(1)
    # 500 Hz of 8 kHz: a sixteenth of the way up.
    assert rows.argmax() == pytest.approx(180 * 15 / 16, abs=3)


def test_excerpt():
    player = compare({"clean": voice(seconds=1.0)}, title="x", seconds=0.25)
    assert player.seconds == 0.25
    assert all(len(wave) == 4000 for wave in sounds(player.html()).values())
    assert compare({"clean": voice(seconds=0.5)}, title="x", seconds=3).seconds == 0.5


def test_scores_of_an_excerpt_are_said_to_be_of_the_whole():
    given = {"versions": {"clean": voice(seconds=0.5)}, "scores": {"clean": {"wsdr": -1}}}
    assert "the scores are of all of it" in compare(**given, title="x", seconds=0.2).html()
    assert "the scores are of all of it" not in compare(**given, title="x", seconds=0.5).html()


@pytest.mark.parametrize("samples", [1, 2, 100, 16001])
def test_any_length_plays(samples):
    html = compare({"clean": torch.full((samples,), 0.1)}, title="x").html()
    (wave,) = sounds(html).values()
    assert len(wave) == samples


@pytest.mark.parametrize(
    ("versions", "scores", "message"),
    [
        ({"clean": peak(0.1), "noisy": peak(0.1)[:-1]}, None, "one length"),
        ({}, None, "one length"),
        ({"clean": peak(0.1)}, {"dcunet": {"wsdr": -1}}, "scores of"),
    ],
)
def test_versions_that_cannot_be_compared(versions, scores, message):
    with pytest.raises(UserError, match=message):
        compare(versions, title="x", scores=scores)


def test_jupyter_gets_style_and_script_once_between_marks():
    html = compare({"clean": peak(0.1)}, title="x")._repr_html_()
    before, rest = html.split(player.ASSETS[0])
    inside, after = rest.split(player.ASSETS[1])
    assert not after and "<script" not in before and "<style" not in before
    assert inside.count("<script>") == inside.count("<style>") == 1
    assert not re.findall(r"https?://", html)
