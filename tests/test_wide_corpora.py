"""The wide corpora: whose voice a name means, what is clean enough, archives in archives."""

import io
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from archive_server import ArchiveServer, archive
from hypothesis import given
from hypothesis import strategies as st

from denoise_lib import RATE, cli
from denoise_lib.data import corpora, decoded, default_corpora, fetch, unpack, wide_corpora
from denoise_lib.data.wide_corpora import (
    MUSIC,
    NOISE,
    SPEECH,
    TEST_NOISE,
    TRAIN_VOICES,
    UNSEEN_VOICES,
    VALID_NOISE,
    VALID_VOICES,
    noise_clip,
    speech_clip,
)
from denoise_lib.errors import UserError

PREFIXES = {package.prefix.removesuffix("/") for package in SPEECH}


def tone(seconds=2.0, level=0.1, pause_db=-50.0, rate=RATE):
    """Half-second bursts of a voice-like tone with pauses between, and a noise floor."""
    time = np.arange(int(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20))
    voice *= (time % 0.8 < 0.5) * level
    floor = np.random.default_rng(0).standard_normal(len(time))
    return (voice + floor * level * 10 ** (pause_db / 20)).astype(np.float32)


def wav(samples, rate=RATE):
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="WAV")
    return out.getvalue()


# Names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "placed"),
    [
        ("tuxpaint/animals/birds/swan_desc_el", ("tuxpaint/el", "unseen_voice")),
        ("tuxpaint/symbols/math/7_en_GB", ("tuxpaint/en_GB", "unseen_voice")),
        ("tuxpaint/town/barn_desc_fr", ("tuxpaint/fr", "unused")),
        ("tuxpaint/animals/birds/swan", None),
        ("ktuberling/uk/hat", ("ktuberling/uk", "train")),
        ("klettres/de/alpha/a-0", ("klettres/de", "valid")),
        ("klettres/fr/syllab/ba", ("klettres/fr", "unseen_voice")),
        ("fillets-cs/city/cs/vit-hs-klid1", ("fillets-cs/hs", "unused")),
        ("fillets-cs/city/cs/vit-m-hlava", ("fillets-cs/m", "train")),
        ("fillets-nl/city/nl/vit-v-proc", ("fillets-nl/v", "train")),
        ("fillets-nl/share/cow", None),
        ("gcin/ogg/a1/5", ("gcin/5", "train")),
        ("warzone/base/audio/memressp/detect/one", ("warzone/memressp", "train")),
        ("warzone/base/audio/sfx/weapons/gun", ("warzone/sfx", "unused")),
        ("hedgewars/Pirate/Hello", ("hedgewars/Pirate", "train")),
        ("horizons/en/0/new_world/0", ("horizons/en", "valid")),
        ("festvox-ru/ru_0001", ("festvox-ru/ru", "train")),
    ],
)
def test_who_speaks(name, placed):
    assert speech_clip(name) == placed


@pytest.mark.parametrize(
    ("name", "placed"),
    [
        ("scorched3d/data/globalmods/none/data/wav/misc/rain", ("scorched3d", "test")),
        ("scorched3d/data/globalmods/none/data/wav/shoot/shoot1", None),
        ("openttd/opensfx/07", ("openttd", "test")),
        ("minetest/games/x/sounds/env_water", ("minetest", "valid")),
        ("colobot-music/Quite", ("colobot" + MUSIC, "train")),
        ("hedgewars/Music/City", ("hedgewars" + MUSIC, "train")),
        ("hedgewars/Sounds/voices/Pirate/Hello", None),
        ("searchandrescue/sounds/gear_up", ("searchandrescue", "train")),
        ("tuxpaint/animals/birds/swan", ("tuxpaint", "train")),
        ("tuxpaint/animals/birds/swan_desc", None),
        ("tuxpaint/animals/birds/swan_desc_el", None),
        ("tuxpaint/symbols/math/7_en_GB", None),
        ("warzone/base/audio/sfx/vehicle/tread", ("warzone", "train")),
        ("warzone/base/audio/tutorial/one", None),
        ("ufoai/0snd/sound/ambience/arcticwind", ("ufoai", "train")),
        ("ufoai/0snd/sound/civilians/hurt", None),
        ("fillets/sound/linux/en/x", None),
        ("moh/macroform-cold_day", ("moh" + MUSIC, "train")),
        ("megaglest/birch_forest/sounds/night", ("megaglest", "train")),
        ("btanks/ambient/city", ("btanks", "train")),
        ("btanks/deadman1", None),
        ("btanks/menu/select", None),
        ("btanks-music/glory", ("btanks" + MUSIC, "train")),
        ("blanket/blanket/02", ("blanket", "train")),
        ("0ad/public/audio/ambient/weather/rain_11", ("0ad", "train")),
        ("0ad/public/audio/voice/greek/civ/civ_male_select", None),
        ("0ad/public/audio/music/Calm_Ambient", None),
        ("nexuiz/data/sound/player/fricka/coms/attackinfive", None),
        ("openarena/baseoa/pak0/sound/world/wind1", ("openarena", "train")),
        ("openttd/opensfx/36", None),  # the sheep of unknown-horizons
    ],
)
def test_what_is_noise(name, placed):
    assert noise_clip(name) == placed


@given(st.sampled_from(sorted(PREFIXES)), st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_name_is_placed(prefix, rest):
    placed = speech_clip(f"{prefix}/{rest}")
    assert placed is None or placed[1] in ("train", "valid", "unseen_voice", "unused")


def test_a_voice_is_in_one_split_and_of_a_package_that_is_there():
    everybody = [*TRAIN_VOICES, *VALID_VOICES, *UNSEEN_VOICES]
    assert len(everybody) == len(set(everybody)) >= 50
    assert {voice.split("/")[0] for voice in everybody} <= PREFIXES


def test_kept_out_are_several_languages_and_none_of_them_is_heard_in_the_same_projects():
    languages = {voice.split("/")[1] for voice in UNSEEN_VOICES}
    assert len(UNSEEN_VOICES) >= 6 and len(languages) >= 5
    volunteers = {
        voice
        for voice in TRAIN_VOICES
        if voice.split("/")[0] in ("tuxpaint", "ktuberling", "klettres")
    }
    assert not languages & {voice.split("/")[1] for voice in volunteers}


def test_noise_of_the_test_comes_from_other_packages():
    prefixes = {package.prefix.removesuffix("/") for package in NOISE}
    assert prefixes >= TEST_NOISE | VALID_NOISE and not TEST_NOISE & VALID_NOISE
    names = {package.prefix.removesuffix("/"): package.name for package in NOISE}
    kept = {names[each] for each in TEST_NOISE | VALID_NOISE}
    assert not kept & {
        name for prefix, name in names.items() if prefix not in TEST_NOISE | VALID_NOISE
    }


def test_packages_are_pinned_and_credited():
    for package in (*SPEECH, *NOISE):
        assert len(package.sha256) == len(package.content) == 64 and package.credit
    for kind in (SPEECH, NOISE):
        assert len({package.prefix for package in kind}) == len(kind)


# Clean enough ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "kept"),
    [
        (tone(), True),
        (tone(pause_db=-10), False),
        (np.clip(tone(level=3.0), -1, 1), False),
        (tone(seconds=0.2), False),
        (np.zeros(2 * RATE, np.float32), False),
        (tone(level=1e-4), False),
    ],
    ids=["clean", "noisy", "clipped", "short", "silent", "soft"],
)
def test_only_clean_clips_become_targets(tmp_path, samples, kept):
    (tmp_path / "clip.wav").write_bytes(wav(samples))
    assert (len(decoded.READERS["wide_speech"](tmp_path / "clip.wav")) > 0) == kept


def test_a_narrow_recording_is_no_target_and_an_empty_one_no_error(tmp_path):
    (tmp_path / "narrow.wav").write_bytes(wav(tone(rate=8000), 8000))
    (tmp_path / "empty.wav").write_bytes(wav(np.zeros(0, np.float32)))
    for name in ("narrow.wav", "empty.wav"):
        for reader in ("wide_speech", "wide_noise"):
            if (name, reader) != ("narrow.wav", "wide_noise"):
                assert len(decoded.READERS[reader](tmp_path / name)) == 0


def test_hum_below_the_voice_and_silent_ends_are_taken_off(tmp_path):
    voice = tone(seconds=2.1)
    hum = 0.05 * np.sin(2 * np.pi * 20 * np.arange(len(voice)) / RATE).astype(np.float32)
    silence = np.zeros(RATE, np.float32)
    (tmp_path / "clip.wav").write_bytes(wav(np.concatenate([silence, voice + hum, silence])))
    x = decoded.READERS["wide_speech"](tmp_path / "clip.wav").astype(float)
    assert abs(len(x) / RATE - 2.1 - 0.1) < 0.15  # 50 ms are left at either end
    power = np.abs(np.fft.rfft(x)) ** 2
    freq = np.fft.rfftfreq(len(x), 1 / RATE)
    assert power[(freq > 15) & (freq < 25)].sum() < 1e-3 * power.sum()


def test_a_minute_of_music_is_kept(tmp_path):
    (tmp_path / "song.wav").write_bytes(wav(tone(seconds=70.0, pause_db=-20)))
    assert len(decoded.READERS["wide_noise"](tmp_path / "song.wav")) == 60 * RATE


# Archives in archives --------------------------------------------------------------------------


def catalogue(sounds):
    """An OpenTTD catalogue of named WAV files, built from its description."""
    head, body = b"", b""
    for name, data in sounds:
        head += struct.pack("<II", (8 * len(sounds) + len(body)) | 0x80000000, len(data))
        body += bytes([len(name) + 1]) + name.encode() + b"\0" + data
    return head + body


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return out.getvalue()


def packed(inner, suffix, inside, folder: Path):
    """A package whose one recording is an archive, as unpacked into a folder."""
    made = folder / "made"
    (made / "sub").mkdir(parents=True)
    (made / "sub" / f"inner{suffix}").write_bytes(inner)
    package = replace(
        SPEECH[0], name="x", suffix=suffix, inside=inside, content=unpack.content(made, suffix)
    )
    path = folder / "x.tar.gz"
    path.write_bytes(archive({f"sub/inner{suffix}": inner}))
    out = folder / "out"
    out.mkdir()
    unpack.recordings(package, path, out)
    return sorted(each.relative_to(out).as_posix() for each in out.rglob("*") if each.is_file())


def test_sounds_in_a_zip(tmp_path):
    inner = zipped({"audio/a.ogg": b"1", "audio/b.OGG": b"2", "text.txt": b"3"})
    assert packed(inner, ".pk3", ".ogg", tmp_path) == [
        "sub/inner/audio/a.ogg",
        "sub/inner/audio/b.OGG",
    ]


def test_sounds_in_a_catalogue(tmp_path):
    inner = catalogue([("bus", wav(tone(0.2))), ("crowd", wav(tone(0.3)))])
    assert packed(inner, ".cat", ".wav", tmp_path) == ["sub/inner/00.wav", "sub/inner/01.wav"]
    samples, rate = soundfile.read(tmp_path / "out" / "sub" / "inner" / "01.wav")
    assert (len(samples), rate) == (round(0.3 * RATE), RATE)


@pytest.mark.parametrize(
    "inner", [b"no archive at all", catalogue([("bus", b"JUNKJUNKJUNK")]), b""]
)
def test_a_damaged_archive_inside_is_one_line(tmp_path, inner):
    with pytest.raises(UserError, match="an archive in a package, cannot be unpacked"):
        packed(inner, ".cat", ".wav", tmp_path)


def test_nothing_inside_lands_outside(tmp_path):
    with pytest.raises(UserError, match="unsafe name"):
        packed(zipped({"../../evil.ogg": b"1"}), ".wz", ".ogg", tmp_path)


# Fetched and opened ----------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Small corpora of every kind on a local server."""
    server = ArchiveServer()
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("DENOISE_MIRROR", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def package(like, recordings, **changes):
        folder = tmp_path / like.prefix / str(len(server.files))
        for name, data in recordings.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        file = f"{len(server.files)}.tar.gz"
        server.files[file] = archive(recordings)
        return replace(like, archive=file, content=unpack.content(folder, like.suffix), **changes)

    prompt = np.random.default_rng(0).bytes(16_000)
    klettres = next(each for each in SPEECH if each.prefix == "klettres/")
    colobot = next(each for each in NOISE if each.prefix == "colobot-music/")
    street = default_corpora.STREET[0]
    clips = {
        f"{voice}/alpha/a.ogg": wav(tone(1.2 + k / 10))
        for k, voice in enumerate(("da", "de", "fr", "tn"))
    }
    clips["da/alpha/noisy.ogg"] = wav(tone(pause_db=-10))
    monkeypatch.setattr(
        fetch,
        "CORPORA",
        {
            "speech": (package(default_corpora.SPEECH[0], {"hello.g722": prompt}),),
            "street": (package(street, {"TraficHigh1.wav": wav(tone())}),),
            "wide_speech": (package(klettres, clips),),
            "wide_noise": (package(colobot, {"song.ogg": wav(tone(3.0, pause_db=-20))}),),
        },
    )
    yield server
    server.stop()


def test_wide_speech_is_the_default_one_and_the_packages(small):
    corpus = corpora.open_speech("wide", fractions=(1, 0, 0))
    placed = {clip.name: (clip.voice, clip.split) for clip in corpus.clips}
    assert placed == {
        "en/hello": ("allison", "train"),
        "klettres/da/alpha/a": ("klettres/da", "train"),
        "klettres/de/alpha/a": ("klettres/de", "valid"),
        "klettres/fr/alpha/a": ("klettres/fr", "unseen_voice"),
        "klettres/tn/alpha/a": ("klettres/tn", "unused"),
    }
    assert [clip.name for clip in corpus.clips] == sorted(placed)
    for clip in corpus.clips:
        assert len(corpus.waveform(clip)) == clip.samples
    assert (
        corpus.name == "wide" and corpus.digest != corpora.open_speech(fractions=(1, 0, 0)).digest
    )


def test_wide_noise_is_the_street_and_the_packages(small):
    corpus = corpora.open_noise("wide", fractions=(1, 0, 0))
    assert {clip.name: clip.voice for clip in corpus.clips} == {
        "TraficHigh1": "TraficHigh",
        "colobot-music/song": "colobot music",
    }


def test_the_default_corpora_do_not_need_the_wide_ones(small):
    asked = len(small.log)
    corpora.open_speech(fractions=(1, 0, 0))
    corpora.open_noise(fractions=(1, 0, 0))
    assert len(small.log) == asked + 2
    assert wide_corpora.SPEECH and "wide_speech" in fetch.CORPORA


def test_fetching_wide_says_what_there_is_and_whom_it_is_by(small, capsys):
    with pytest.raises(SystemExit):
        cli.main(["fetch", "wide"])
    out = capsys.readouterr().out
    assert re.search(r"^wide speech: [45] clips", out, re.M)
    assert re.search(r"^wide noise: [12] clips", out, re.M)
    for package in (*SPEECH, *NOISE):
        assert f"{package.name} {package.version}: {package.credit}" in out
