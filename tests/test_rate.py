"""The sample rate is a property of corpus and network: 48 kHz, the original study's, beside 16."""

import numpy as np
import pystoi
import pytest
import soundfile
import torch
import trees
from small_corpus import small_corpus

from denoise_lib import RATE, Corruption, audio, enhance, wsdr
from denoise_lib.commands import evaluate, train
from denoise_lib.commands.enhance import enhance as enhance_command
from denoise_lib.damage import conditions
from denoise_lib.damage.corruption import frame_at
from denoise_lib.data import corpora
from denoise_lib.data.crops import CleanCrops, fixed_clip
from denoise_lib.errors import UserError
from denoise_lib.files import read_json
from denoise_lib.metrics import score_cache
from denoise_lib.metrics.measures import brought_down, log_spectral_distance, score
from denoise_lib.models import CausalNet, ConvAutoencoder, DCUnet, UNet
from denoise_lib.models.baselines import Chain, Gain, Identity
from denoise_lib.models.checkpoints import load_model, read_record, save_model
from denoise_lib.models.inference import process
from denoise_lib.models.stream import Stream
from denoise_lib.report import glance
from denoise_lib.study.experiment import LONGEST_SENTENCE, Experiment
from denoise_lib.study.run import Run
from denoise_lib.training.loop import Schedule
from denoise_lib.training.loop import train as train_network

WIDE = 48_000
ORIGINAL = {"n_fft": 2048, "hop": 512}  # the original study's frame at that rate


def noise(samples, seed=0):
    return 0.05 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def tone(hertz, rate=WIDE, seconds=2.0):
    return 0.1 * torch.sin(2 * np.pi * hertz * torch.arange(int(seconds * rate)) / rate)


class Silencing(Identity):
    """Takes everything away that it hears."""

    def forward(self, noisy):
        return 0 * noisy


def test_frames_last_as_long_at_every_rate_unless_they_are_given():
    assert frame_at(RATE) == {"n_fft": Corruption().n_fft, "hop": Corruption().hop}
    assert frame_at(WIDE) == {"n_fft": 1920, "hop": 480}
    assert frame_at(44_100) == {"n_fft": 1764, "hop": 441}
    assert frame_at(WIDE, **ORIGINAL) == ORIGINAL


def test_a_network_for_another_rate_has_the_damage_s_frame_or_one_as_long_as_before():
    for network in (UNet.from_preset("tiny"), DCUnet.from_preset("small")):
        assert network.at(RATE, 640, 160) is network and network.rate == RATE
        wide = network.at(WIDE, **ORIGINAL)
        assert (wide.rate, wide.n_fft, wide.hop) == (WIDE, 2048, 512)
        assert wide.config == network.config | ORIGINAL and network.rate == RATE
        assert wide.eval()(noise(5001)[None]).shape == (1, 5001)
    causal = CausalNet().at(WIDE, **ORIGINAL)
    assert (causal.n_fft, causal.hop, causal.rate) == (3 * 512, 3 * 256, WIDE)
    assert UNet(layers="tiny", offset=80).at(WIDE, **ORIGINAL).offset == 256  # half a hop
    filters = ConvAutoencoder(2, 16, 4)
    assert filters.at(WIDE, **ORIGINAL) is filters and filters.rate == WIDE


def test_a_checkpoint_carries_its_rate(tmp_path):
    network = DCUnet.from_preset("small").at(WIDE, 1920, 480)
    save_model(tmp_path / "wide.safetensors", network)
    assert read_record(tmp_path / "wide.safetensors")["rate"] == WIDE
    again = load_model(tmp_path / "wide.safetensors")
    assert again.rate == WIDE and again.n_fft == 1920
    x = noise(4000)[None]
    torch.testing.assert_close(again(x), network.eval()(x), rtol=0, atol=0)


def test_a_network_at_16_khz_leaves_what_it_does_not_hear():
    """Of tones at 1 and 12 kHz it takes the lower one; at 48 kHz both; controls have no rate."""
    silencing, middle = Silencing(), slice(WIDE // 2, -WIDE // 2)
    both = tone(1000) + tone(12_000)
    silencing.rate = RATE
    left = process(silencing, both, rate=WIDE)
    torch.testing.assert_close(left[middle], tone(12_000)[middle], atol=2e-3, rtol=0)
    silencing.rate = WIDE
    assert not process(silencing, both, rate=WIDE).any()
    silencing.rate = None
    assert not process(silencing, both, rate=WIDE).any()
    assert Chain(Identity(), Gain(), UNet.from_preset("tiny")).rate == RATE
    assert Chain(Identity(), Gain()).rate is None


@pytest.mark.parametrize("rate", [44_100, WIDE, 96_000])
def test_enhance_hears_as_far_as_the_network_does(rate):
    """A network at 48 kHz hears 12 kHz and takes away what it is to take away there alone."""

    class NoTreble(Identity):
        rate = WIDE

        def forward(self, noisy):
            spectrum = torch.fft.rfft(noisy)
            freq = torch.fft.rfftfreq(noisy.shape[-1], 1 / WIDE)
            return torch.fft.irfft(spectrum * (freq < 10_000), noisy.shape[-1])

    middle = slice(rate // 2, -rate // 2)
    low, high = tone(1000, rate), tone(12_000, rate)
    out = enhance(low + high, NoTreble(), rate=rate)
    torch.testing.assert_close(out[middle], low[middle], atol=2e-3, rtol=0)


def test_measures_at_16_khz_alone_are_taken_of_resampled_clips():
    clean = torch.from_numpy(trees.speech(WIDE, 3, 3.0)).float()
    noisy = clean + 0.3 * noise(len(clean))
    names = ("wsdr", "si_sdr", "lsd", "pesq", "stoi")
    wide, reasons = score(noisy, clean, noisy, names, WIDE)
    assert not reasons
    low = [audio.resample(each, WIDE, RATE) for each in (noisy, clean)]
    narrow, _ = score(low[0], low[1], low[0], names)
    assert wide["pesq"] == narrow["pesq"] and wide["stoi"] == narrow["stoi"]
    assert wide["wsdr"] == float(wsdr(noisy, clean, noisy)) != narrow["wsdr"]
    # STOI itself resamples, to 10 kHz.
    own = pystoi.stoi(clean.numpy(), noisy.numpy(), WIDE)
    assert wide["stoi"] == pytest.approx(own, abs=0.01)
    assert brought_down(names, WIDE) == ["pesq", "stoi"] and brought_down(names, RATE) == []


def test_lsd_has_frames_of_32_ms_at_every_rate():
    clean, other = noise(WIDE), noise(WIDE, seed=1)
    windows = np.hanning(1537)[:-1]
    padded = [np.pad(each.numpy(), 768) for each in (other, clean)]
    frames = [np.lib.stride_tricks.sliding_window_view(x, 1536)[::384] for x in padded]
    levels = [np.abs(np.fft.rfft(each * windows, axis=1)) for each in frames]
    floor = levels[1].max() / 1000
    far = np.diff([20 * np.log10(np.maximum(each, floor)) for each in levels], axis=0)[0]
    expected = np.sqrt((far**2).mean(1)).mean()
    assert float(log_spectral_distance(other, clean, WIDE)) == pytest.approx(expected, rel=1e-3)


def test_scores_kept_at_one_rate_are_not_those_at_another(tmp_path, monkeypatch):
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path))
    taken = []

    def counted(waveform, metrics):
        taken.append(1)
        return {"sum": 1.0 * len(taken)}, {}

    found = [
        score_cache.known(counted, (noise(10),), ("sum",), rate) for rate in (RATE, WIDE, WIDE)
    ]
    assert [values["sum"] for values, _ in found] == [1, 2, 2]


def test_training_at_another_rate_is_refused(tmp_path):
    corpus, network = small_corpus(), ConvAutoencoder(2, 16, 4)
    network.rate = WIDE
    crops = CleanCrops(corpus, corpus.split("train"), batch=1, seconds=0.1, seed=0, steps=1)
    batch = noise(800)[None]
    with pytest.raises(UserError, match="autoencoder is for 48000 Hz, the speech has 16000"):
        train_network(network, crops, Corruption(), (batch, batch), Schedule(1), tmp_path / "x")


def test_conditions_have_a_rate_and_a_frame():
    wide = conditions.Noise(rate=WIDE, **ORIGINAL)
    assert conditions.damage_for("both", wide) == Corruption(n_fft=2048, hop=512)
    assert conditions.damage_for("zero", conditions.Noise(rate=WIDE)).n_fft == 1920
    assert conditions.damage_for("both", conditions.Noise()) == Corruption()
    with pytest.raises(UserError, match="'varied' is made for 16000 Hz; at 48000 there are"):
        conditions.damage_for("both,varied", wide)
    with pytest.raises(UserError, match="hop must be in"):
        conditions.damage_for("both", conditions.Noise(n_fft=100, hop=200))


def test_commands_train_score_and_use_a_network_at_48_khz(tmp_path, monkeypatch, capsys):
    speech = trees.plain(tmp_path / "speech", clips=24, rate=WIDE)
    where = {"speech": str(speech), "rate": WIDE, **ORIGINAL}
    path, heard = tmp_path / "wide.safetensors", []
    train.train(path, model="unet", preset="tiny", steps=1, batch=1, crop=0.3, **where)
    record = read_record(path)
    assert record["rate"] == WIDE and record["config"].items() >= ORIGINAL.items()
    assert record["plan"]["damage"][1].items() >= ORIGINAL.items()
    evaluate.evaluate(str(path), max_seconds=1.5, max_clips=1, metrics="wsdr,stoi", **where)
    said = capsys.readouterr()
    assert "STOI: taken at 16000 Hz, of resampled clips" in said.err and "wSDR" in said.out
    evaluate.evaluate("repair", max_seconds=1.0, max_clips=1, metrics="wsdr", **where)
    said = capsys.readouterr().err
    assert "repair is for 16000 Hz: what it changes is brought to 48000" in said
    with pytest.raises(UserError, match="is for 48000 Hz: give --rate 48000"):
        train.train(tmp_path / "y.safetensors", start=str(path), speech=str(speech))

    own = UNet.forward
    monkeypatch.setattr(UNet, "forward", lambda self, x: heard.append(x.shape[-1]) or own(self, x))
    enhance_command([str(speech / "take 0.wav"), str(tmp_path / "out.wav")], model=str(path))
    written, rate = soundfile.read(tmp_path / "out.wav")
    assert (len(written), rate) == (int(2.2 * WIDE), WIDE) and sum(heard) >= len(written)
    with pytest.raises(UserError, match="48000 Hz and streams run at 16000"):
        Stream(load_model(path))


def test_an_experiment_at_48_khz_damages_and_plays_in_its_own_frame(tmp_path):
    corpus = corpora.open_speech(trees.plain(tmp_path / "speech", clips=24, rate=WIDE), WIDE)
    run = Run("04_dcunet", tmp_path / "04_dcunet")
    lab = Experiment(run, corpus, metrics=["wsdr"], max_seconds=1.0, **ORIGINAL)
    assert lab.damage("zero") == Corruption(raised=0.0, **ORIGINAL)
    assert lab.seeded(lambda: UNet.from_preset("tiny")).config.items() >= ORIGINAL.items()
    lab.hear("both", {"identity": Identity()})
    record = read_json(run.out / "sentences" / "both-0.json")
    noisy, clean = fixed_clip(
        corpus, lab.clip(record["clip"]), Corruption(**ORIGINAL), 0, LONGEST_SENTENCE
    )
    scores = {each["name"]: each["scores"]["wsdr"] for each in record["versions"]}
    assert scores["noisy"] == scores["identity"] == float(wsdr(noisy, clean, noisy))
    assert record["rate"] == WIDE


def test_the_head_table_does_not_mix_rates():
    row = {"condition": "both", "split": "test", "metric": "wsdr", "noisy": -0.8, "ci95": None}
    row |= {"denoised": -0.9, "n": 1, "total": 1, "voices": 1}
    rows = [
        row | {"experiment": "04_dcunet", "model": "dcunet"},
        row | {"experiment": "08_outside", "model": "repair"},
    ]
    headline = {"04_dcunet": ["fixed"], "08_outside": ["fixed"]}
    results = {"results": rows, "headline": headline}
    (line,) = glance.lines(results)
    assert set(line.rows) == {"dcunet", "repair"}
    results["provenance"] = {"parameters": {"04_dcunet": {"rate": WIDE}, "08_outside": {}}}
    (line,) = glance.lines(results)
    assert set(line.rows) == {"dcunet"}
