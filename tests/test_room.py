"""The listening room's widgets, moved by hand instead of by a browser."""

import asyncio
import base64
import io
import re
import threading
from datetime import datetime

import numpy as np
import pytest
import soundfile
import torch
from small_corpus import small_corpus

from denoise_lib import RATE
from denoise_lib.errors import UserError
from denoise_lib.listening_room import room, scene
from denoise_lib.listening_room.room import Room, table
from denoise_lib.listening_room.scene import Scene
from denoise_lib.models import ConvAutoencoder
from denoise_lib.models.checkpoints import save_model

MODEL = "quick both autoencoder"


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A room over small corpora with one network; saves go to the test's folder."""
    monkeypatch.setattr(scene, "pretrained_names", list)
    monkeypatch.setattr(room, "STILL", 0)
    torch.manual_seed(0)
    save_model(tmp_path / "build/quick/02_autoencoder/both.safetensors", ConvAutoencoder())
    found = Scene(small_corpus(2.6), small_corpus(1.0), tmp_path / "build")
    return Room(found, tmp_path)


def sounds(small):
    """{version: key of its sound} of the player that is shown."""
    (output,) = small.player.outputs
    source = output["data"]["text/html"]
    names = re.findall(r"<figcaption>([^<]+)</figcaption>", source)
    return dict(zip(names, re.findall(r'<audio[^>]+data-sound="(\w+)"', source), strict=True))


def said(small):
    return re.sub("<[^>]+>", "", small.status.value)


def alarmed(small):
    return 'role="alert"' in small.status.value


def wav(samples):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV")
    return buffer.getvalue()


def upload(small, name, content):
    small.sound.source.value = "file"
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content)}
    small.sound.upload.value = (file | {"last_modified": datetime.now()},)


def test_it_starts_with_the_clip_that_the_notebook_plays(small):
    assert list(sounds(small)) == ["clean", "noisy"]
    assert small.setting.sound == small.sound.clip.value
    assert "01_noise_design plays this sound" in small.damage.note.value
    assert "heard after" in said(small) and not alarmed(small)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quantile", 0.5),
        ("zero", 0.9),
        ("raised", 0.1),
        ("value", 4.0),
        ("n_fft", 1024),
        ("hop", 320),
        ("window", "hann"),
    ],
)
def test_every_parameter_of_the_procedure_is_heard(small, name, value):
    before, scores = sounds(small), small.table.value
    small.damage.fixed[name].value = value
    after = sounds(small)
    assert getattr(small.setting, name) == value
    assert after["noisy"] != before["noisy"] and after["clean"] == before["clean"]
    assert small.table.value != scores
    small.damage.defaults.click()
    assert sounds(small) == before


def test_street_and_its_parameters_are_heard(small):
    heard = [sounds(small)["noisy"]]
    small.damage.kind.value = "street"
    assert "street: test/" in said(small)
    heard.append(sounds(small)["noisy"])
    small.damage.street["snr_db"].value = 12.0
    heard.append(sounds(small)["noisy"])
    small.damage.street["recording"].value = "train/0"
    heard.append(sounds(small)["noisy"])
    assert "street: train/0" in said(small)
    small.damage.draw.click()
    heard.append(sounds(small)["noisy"])
    assert len(set(heard)) == 5


def test_only_controls_of_the_damage_are_there(small):
    def visible():
        every = small.damage.fixed | small.damage.street | {"seed": small.damage.seed}
        return {name for name, widget in every.items() if widget.layout.display != "none"}

    fixed = {"quantile", "zero", "raised", "value", "n_fft", "hop", "window", "seed"}
    assert visible() == fixed
    small.damage.kind.value = "zero"
    assert visible() == fixed
    assert small.damage.fixed["raised"].disabled and not small.damage.fixed["zero"].disabled
    small.damage.kind.value = "street"
    assert visible() == {"recording", "snr_db", "seed"}
    small.damage.kind.value = "none"
    assert visible() == set()
    assert list(sounds(small)) == ["as it is"]


def test_several_networks_at_once(small):
    small.models.boxes[MODEL].value = True
    assert list(sounds(small)) == ["clean", "noisy", MODEL]
    assert small.table.value.count("<tr>") == 4
    small.damage.kind.value = "none"
    assert "nothing is damaged" in said(small)
    small.models.boxes[MODEL].value = False
    assert list(sounds(small)) == ["as it is"]


def test_pesq_is_taken_when_it_is_asked_for(small):
    assert "PESQ" not in small.table.value
    small.models.pesq.value = True
    assert re.search(r"PESQ</th>.*noisy</th>(<td>[^<]+</td>){3}", small.table.value)
    assert "\N{HORIZONTAL ELLIPSIS}" not in small.table.value


def test_scores_that_are_computed_still_are_dots():
    source = table({"noisy": {"wsdr": -0.5, "si_sdr": None}, "dcunet": {}}, ["wsdr", "si_sdr"])
    assert "<td>\N{MINUS SIGN}0.500</td><td>\N{EN DASH}</td>" in source
    assert source.count("<td>\N{HORIZONTAL ELLIPSIS}</td>") == 2 and "DCUnet" in source


def test_a_bad_combination_is_one_line_and_the_last_sound_stays(small):
    before, scores = sounds(small), small.table.value
    small.damage.fixed["hop"].value = 800
    assert alarmed(small) and "longer than the frame" in said(small)
    assert "\n" not in said(small) and "Traceback" not in said(small)
    assert (sounds(small), small.table.value) == (before, scores)
    small.save.click()
    assert alarmed(small) and not small.command.value
    small.damage.fixed["n_fft"].value = 800
    assert not alarmed(small) and sounds(small) != before


def test_what_nobody_expected_is_one_line_too(small, monkeypatch):
    def broken(*args):
        raise ZeroDivisionError("of something")

    before = sounds(small)
    monkeypatch.setattr(small.scene, "noisy", broken)
    small.damage.seed.value += 1
    assert alarmed(small) and said(small) == "ZeroDivisionError: of something"
    assert sounds(small) == before


def test_a_network_that_fails_leaves_the_others(small, monkeypatch):
    real = small.scene.output

    def output(setting, model):
        if model == MODEL:
            raise UserError("this network is broken")
        return real(setting, model)

    monkeypatch.setattr(small.scene, "output", output)
    small.models.boxes[MODEL].value = True
    assert alarmed(small) and said(small) == "this network is broken"
    assert list(sounds(small)) == ["clean", "noisy"]


def test_split_voice_and_clip(small):
    small.sound.split.value = "train"
    assert small.setting.sound.startswith("train/")
    assert set(small.sound.voice.options) == {"high", "low"}
    small.sound.voice.value = "low"
    assert [value for _, value in small.sound.clip.options] == ["train/1"]
    assert small.setting.sound == "train/1"
    assert "does not play" in small.damage.note.value


def test_a_chosen_test_clip_brings_a_seed_with_which_the_notebook_plays_it(small):
    for voice in ("low", "high"):
        small.sound.voice.value = voice
        for _, clip in small.sound.clip.options:
            small.sound.clip.value = clip
            assert "01_noise_design plays" in small.damage.note.value
            small.damage.draw.click()
            assert "01_noise_design plays" in small.damage.note.value


def test_an_upload_is_heard(small):
    before = sounds(small)
    upload(small, "mine.wav", wav(0.1 * np.sin(np.arange(RATE) / 7)))
    assert small.setting.sound == "mine.wav"
    assert "mine.wav: 1.0 s" in small.sound.loaded.value
    assert set(sounds(small).values()).isdisjoint(before.values())
    assert "mine.wav" in small.player.outputs[0]["data"]["text/html"]
    small.sound.source.value = "clip"
    assert sounds(small) == before
    small.sound.source.value = "file"
    assert small.setting.sound == "mine.wav"


def test_an_unreadable_upload_is_one_line_and_the_last_sound_stays(small):
    before = sounds(small)
    upload(small, "mine.wav", b"no sound")
    assert alarmed(small) and said(small).startswith("mine.wav cannot be read")
    assert sounds(small) == before


def test_a_recording_of_the_microphone_is_heard(small):
    content = base64.b64encode(wav(0.1 * np.sin(np.arange(RATE) / 7))).decode()
    small.sound.source.value = "microphone"
    small.sound.recorded.value = f"data:audio/wav;codecs=1;base64,{content}"
    assert small.setting.sound == "recording 1.wav"
    small.sound.recorded.value = f"data:audio/wav;base64,{content[:-3]}"
    assert alarmed(small) and "record it again" in said(small)
    assert small.setting.sound == "recording 1.wav"


def test_names_are_text_not_markup(small):
    upload(small, "<b>mine.wav", wav(0.1 * np.sin(np.arange(RATE) / 7)))
    for source in (small.sound.loaded.value, small.player.outputs[0]["data"]["text/html"]):
        assert "<b>mine" not in source and "&lt;b&gt;mine" in source


def test_saved_parameters_and_the_command(small, tmp_path):
    small.damage.fixed["zero"].value = 0.3
    small.file.value = "mine.yaml"
    small.save.click()
    assert 'make notebook NB=01_noise_design P="-f report/mine.yaml"' in small.command.value
    assert "zero: 0.3\n" in (tmp_path / "report" / "mine.yaml").read_text()
    small.file.value = "no such/name"
    small.save.click()
    assert alarmed(small)


def test_the_cheap_part_is_heard_before_the_networks(small, monkeypatch):
    waiting = threading.Event()
    real = small.scene.output
    monkeypatch.setattr(small.scene, "output", lambda *args: waiting.wait(30) and real(*args))

    async def run():
        small.models.boxes[MODEL].value = True
        small.damage.fixed["zero"].value = 0.7
        while "at work" not in said(small):
            await asyncio.sleep(0.01)
        first, scores = sounds(small), small.table.value
        waiting.set()
        while "heard" not in said(small):
            await asyncio.sleep(0.01)
        return first, scores

    before = sounds(small)
    first, scores = asyncio.run(run())
    assert list(first) == ["clean", "noisy"] and first["noisy"] != before["noisy"]
    assert "\N{HORIZONTAL ELLIPSIS}" in scores and MODEL in scores
    assert list(sounds(small)) == ["clean", "noisy", MODEL]
    assert "\N{HORIZONTAL ELLIPSIS}" not in small.table.value


def test_of_many_moves_the_last_is_computed(small, monkeypatch):
    monkeypatch.setattr(room, "STILL", 0.05)
    played = []
    real = small.scene.noisy
    monkeypatch.setattr(
        small.scene, "noisy", lambda setting: played.append(setting.zero) or real(setting)
    )

    async def drag():
        for value in np.linspace(0.3, 0.8, 11):
            small.damage.fixed["zero"].value = value
            await asyncio.sleep(0)
        while small._tasks:
            await asyncio.sleep(0.01)

    asyncio.run(drag())
    assert set(played) == {0.8}


def test_a_network_that_comes_too_late_is_not_played(small, monkeypatch):
    waiting, started = threading.Event(), threading.Event()
    real = small.scene.output

    def output(setting, model):
        started.set()
        waiting.wait(30)
        return real(setting, model)

    monkeypatch.setattr(small.scene, "output", output)

    async def run():
        small.models.boxes[MODEL].value = True
        while not started.is_set():
            await asyncio.sleep(0.01)
        small.models.boxes[MODEL].value = False
        small.damage.fixed["zero"].value = 0.7
        waiting.set()
        while small._tasks:
            await asyncio.sleep(0.01)

    asyncio.run(run())
    assert list(sounds(small)) == ["clean", "noisy"]
    assert small.setting.zero == 0.7 and "heard" in said(small)


def test_without_any_network_it_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr(scene, "pretrained_names", list)
    monkeypatch.setattr(room, "STILL", 0)
    bare = Room(Scene(small_corpus(), small_corpus(), tmp_path), tmp_path)
    texts = [getattr(child, "value", "") for child in bare.models.box.children]
    assert any("make report" in str(text) for text in texts)
    assert list(sounds(bare)) == ["clean", "noisy"]
