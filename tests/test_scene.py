"""The core of the listening room: the notebooks' own damage, computed again only where needed."""

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from small_corpus import small_corpus

from denoise_lib import RATE, Corruption, StreetMix, wsdr
from denoise_lib.audio import to_level
from denoise_lib.damage.corruption import FIXED
from denoise_lib.data.crops import clip_generator, fixed_clip
from denoise_lib.errors import UserError
from denoise_lib.listening_room import scene
from denoise_lib.listening_room.scene import DRAWN, Scene, Setting
from denoise_lib.models import ConvAutoencoder
from denoise_lib.models.checkpoints import save_model
from denoise_lib.models.inference import process

CLIP = "test/0"
MODEL = "quick both autoencoder"


@pytest.fixture
def build(tmp_path):
    """A folder of runs with one network in it."""
    torch.manual_seed(0)
    save_model(tmp_path / "quick" / "02_autoencoder" / "both.safetensors", ConvAutoencoder())
    return tmp_path


@pytest.fixture
def room(build):
    return Scene(small_corpus(), small_corpus(seconds=1.0), build)


@pytest.fixture
def counted(monkeypatch):
    """Names of what has been computed, in order."""
    calls = []

    def count(name):
        function = getattr(scene, name)
        monkeypatch.setattr(
            scene, name, lambda *args, **options: calls.append(name) or function(*args, **options)
        )

    for name in ("process", "score", "clip_generator"):
        count(name)
    return calls


def wav(samples, rate=RATE):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


@pytest.mark.parametrize("condition", FIXED)
@pytest.mark.parametrize("seed", [0, 7])
def test_damage_is_that_of_the_notebooks(room, condition, seed):
    setting = Setting(CLIP, condition, zero=0.4, value=2.0, n_fft=512, hop=128, seed=seed)
    damage = Corruption.for_condition(condition, zero=0.4, value=2.0, n_fft=512, hop=128)
    noisy, clean = fixed_clip(room.speech, room.clip(CLIP), damage, seed)
    assert torch.equal(room.noisy(setting), noisy)
    assert torch.equal(room.clean(setting), clean)
    assert room.scores(setting, "noisy")["wsdr"] == float(wsdr(noisy, clean, noisy))


def test_street_is_that_of_the_notebooks(room):
    setting = Setting(CLIP, "street", snr_db=3.0, seed=2)
    test = room.noise.split("test")
    street = StreetMix([room.noise.waveform(each) for each in test], 3.0)
    assert torch.equal(room.noisy(setting), fixed_clip(room.speech, room.clip(CLIP), street, 2)[0])
    assert room.street_recording(setting) in [each.name for each in test]


def test_one_recording_can_be_chosen(room):
    setting = Setting(CLIP, "street", recording="train/1", snr_db=0.0)
    (chosen,) = [each for each in room.noise.clips if each.name == "train/1"]
    alone = StreetMix([room.noise.waveform(chosen)], 0.0)
    assert room.street_recording(setting) == "train/1"
    assert torch.equal(room.noisy(setting), alone(room.clean(setting), clip_generator(CLIP, 0)))
    assert not torch.equal(room.noisy(setting), room.noisy(replace(setting, recording=DRAWN)))


def test_versions_in_the_order_of_the_buttons(room):
    setting = Setting(CLIP, models=(MODEL,))
    versions = room.versions(setting)
    assert list(versions) == ["clean", "noisy", MODEL]
    network = ConvAutoencoder()
    network.load_state_dict(room._network(MODEL).state_dict())
    assert torch.equal(versions[MODEL], process(network, versions["noisy"]))
    assert list(room.versions(replace(setting, damage="none"))) == ["as it is", MODEL]


def test_only_what_changed_is_computed(room, counted):
    setting = Setting(CLIP, models=(MODEL,))

    def hear(setting):
        counted.clear()
        for name in room.versions(setting):
            room.scores(setting, name)
        return sorted(set(counted))

    assert hear(setting) == ["clip_generator", "process", "score"]
    assert hear(setting) == []
    assert hear(replace(setting, models=())) == []
    assert hear(setting) == [], "a network that is ticked again has its output still"
    assert hear(replace(setting, snr_db=9.0)) == [], "the street's level does not matter here"
    assert hear(replace(setting, zero=0.3)) == ["clip_generator", "process", "score"]
    assert hear(replace(setting, zero=0.3, models=())) == []
    # Zeroing alone does not know how much is raised.
    hear(replace(setting, damage="zero"))
    assert hear(replace(setting, damage="zero", raised=0.9)) == []


def test_a_retrained_network_is_read_again(room, build):
    setting = Setting(CLIP, models=(MODEL,))
    before = room.output(setting, MODEL)
    torch.manual_seed(1)
    save_model(build / "quick" / "02_autoencoder" / "both.safetensors", ConvAutoencoder())
    assert not room.known(setting, MODEL)
    assert not torch.equal(before, room.output(setting, MODEL))


def test_networks_of_unfinished_and_foreign_files_are_left_out(build):
    (build / "quick" / "02_autoencoder" / "broken.safetensors").write_bytes(b"nothing")
    torch.manual_seed(0)
    save_model(build / "quick" / "04_dcunet.partial" / "both.safetensors", ConvAutoencoder())
    found = scene._checkpoints(build)
    assert list(found) == [MODEL]
    assert scene._checkpoints(build / "nothing") == {}


def test_a_checkpoint_of_another_version_is_one_line(room, build):
    network = ConvAutoencoder()
    network.config = network.config | {"gone": 1}
    save_model(build / "quick" / "02_autoencoder" / "both.safetensors", network)
    with pytest.raises(
        UserError, match="both.safetensors was trained by another version.*gone"
    ) as caught:
        room.versions(Setting(CLIP, models=(MODEL,)))
    assert "\n" not in str(caught.value)


def test_without_any_network(tmp_path, monkeypatch):
    monkeypatch.setattr(scene, "pretrained_names", list)
    empty = Scene(small_corpus(), small_corpus(), tmp_path)
    assert empty.models == {}
    assert list(empty.versions(Setting(CLIP))) == ["clean", "noisy"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop": 800}, "a hop of 800 samples is longer than the frame of 640"),
        ({"quantile": 1.5}, r"quantile must be in \[0, 1\]"),
        ({"window": "hann", "hop": 640}, "leave gaps"),
    ],
)
def test_what_does_not_go_together_is_one_line(room, changes, message):
    good = room.noisy(Setting(CLIP))
    with pytest.raises(UserError, match=message) as caught:
        room.noisy(Setting(CLIP, **changes))
    assert "\n" not in str(caught.value)
    assert room.noisy(Setting(CLIP)) is good, "the last good sound is still there"


def test_a_recording_of_ones_own(room):
    left = 0.1 * np.sin(np.arange(44100 * 12) / 9)
    note = room.add("dir/mine.wav", wav(np.stack([left, 0 * left], 1), 44100))
    assert note == (
        "mine.wav: the first 8 of 12.0 s, 2 channels mixed down to one, "
        "resampled from 44100 to 16000 Hz, brought to \N{MINUS SIGN}26 dB re full scale"
    )
    clean = room.clean(Setting("mine.wav"))
    assert clean.shape == (8 * RATE,)
    assert float(clean.square().mean().sqrt()) == pytest.approx(0.05, rel=1e-4)
    assert set(room.versions(Setting("mine.wav"))) == {"clean", "noisy"}


def test_a_recording_under_a_name_that_was_used_replaces_it(room):
    for pitch in (5, 9):
        room.add("mine.wav", wav(0.1 * np.sin(np.arange(RATE) / pitch)))
        expected = to_level(torch.from_numpy(0.1 * np.sin(np.arange(RATE) / pitch)).float())
        assert torch.allclose(room.clean(Setting("mine.wav")), expected, atol=1e-6)
    assert room.clip("mine.wav") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "mine.wav is empty"),
        (b"no sound at all", "mine.wav cannot be read as audio"),
        (wav(np.zeros(160)), r"mine.wav lasts 0.010 s, too short"),
        (wav(np.full(RATE, np.nan)), "mine.wav holds samples that are not finite"),
    ],
)
def test_an_unreadable_recording_is_one_line(room, content, message):
    with pytest.raises(UserError, match=f"^{message}") as caught:
        room.add("mine.wav", content)
    assert "\n" not in str(caught.value) and "/" not in str(caught.value)


def test_silence_has_scores_that_can_be_shown(room):
    room.add("silence.wav", wav(np.zeros(RATE)))
    values = room.scores(Setting("silence.wav"), "noisy", ("wsdr", "pesq"))
    assert values["pesq"] is None and -1 <= values["wsdr"] <= 1


@pytest.mark.parametrize("name", ["..", "a" * 300, "x\0y.wav", ".", "a/../b", "x." + "y" * 300])
def test_a_recording_may_have_any_name(room, name):
    """Browsers send what they like: the name is for the reader, and names no file."""
    content = io.BytesIO()
    soundfile.write(content, 0.1 * torch.randn(8000).numpy(), RATE, format="WAV")
    assert "0.5 s" in room.add(name, content.getvalue())
    with pytest.raises(UserError) as caught:
        room.add(name, b"nothing")
    assert "sound" not in str(caught.value).split()[0]
