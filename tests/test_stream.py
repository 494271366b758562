"""Streams: what comes out in blocks is what the whole recording gives, after the latency said."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from denoise_lib import RATE, Stream
from denoise_lib.errors import UserError
from denoise_lib.models import CausalNet, DCUnet, DenoisingWaveNet, UNet
from denoise_lib.models.baselines import Identity
from denoise_lib.models.inference import process
from denoise_lib.models.stream import NOMINAL, RunningLevel
from denoise_lib.models.whole_band import WholeBand, near_sound


def noise(time, seed=0):
    return 0.05 * torch.randn(time, generator=torch.Generator().manual_seed(seed))


def awake(**changes):
    """A causal network that changes its input, with statistics of norms that are not 0 and 1."""
    torch.manual_seed(0)
    model = CausalNet.from_preset("tiny", **changes)
    torch.nn.init.normal_(model.last.weight, std=0.3)
    model(noise(12_000).reshape(4, 3000))
    return model.eval()


def streamed(stream, x, sizes):
    """All that comes out when blocks of these sizes go in, over and over."""
    out, start, turn = [], 0, 0
    while start < len(x):
        out.append(stream.process(x[start : start + sizes[turn % len(sizes)]]))
        start += sizes[turn % len(sizes)]
        turn += 1
    return torch.cat([*out, stream.flush()])


sizes = st.lists(st.integers(0, 700), min_size=1, max_size=6).filter(any)


@given(time=st.integers(1, 3000), sizes=sizes, hop=st.sampled_from([32, 16]))
@settings(max_examples=40, deadline=None)
@torch.inference_mode()
def test_a_causal_network_in_blocks_gives_what_it_gives_at_once(time, sizes, hop):
    model, x = awake(hop=hop), noise(time)
    out = streamed(Stream(model, level=NOMINAL), x, sizes)
    torch.testing.assert_close(out, model(x[None])[0], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_shipped_causal_network_streams():
    from denoise_lib import load_pretrained

    model, x = load_pretrained("speech"), noise(20_123)
    out = streamed(Stream(model, level=NOMINAL), x, [256, 1000])
    torch.testing.assert_close(out, model(x[None])[0], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_last_samples_are_no_louder_than_the_rest():
    """A network that turns each frame around writes at its frames' ends, too."""

    class Turning(CausalNet):
        def factor(self, x, past=None):
            turns = torch.arange(x.shape[-1]) * torch.pi
            out = torch.stack([turns.cos() - 1, turns.sin()])  # a shift by half a frame
            return out[None, :, None].expand(len(x), 2, x.shape[2], -1).to(x)

    model = Turning(**CausalNet.PRESETS["tiny"], keep=0.0).eval()
    for time in range(640, 672):
        x = noise(time)[None]
        out = model(x)
        longer = model(F.pad(x, (0, 200)))[:, :time]
        torch.testing.assert_close(out, longer, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "model",
    [
        DCUnet([(4, (5, 3), (2, 2)), (6, (3, 3), (2, 1))], 64, 16, "residual", 0.5),
        UNet.from_preset("tiny", n_fft=64, hop=16, fine_bins=12),
        DenoisingWaveNet(channels=2, stacks=1, depth=2, final=(2, 2)),
    ],
    ids=lambda model: model.name,
)
def test_a_network_that_looks_ahead_gives_what_the_recording_gives(model):
    torch.manual_seed(0)
    for each in model.parameters():
        torch.nn.init.normal_(each, std=0.1)
    x = torch.cat([torch.zeros(9000), noise(23_000), torch.zeros(30_000), noise(5000)])
    level = float(x.square().mean().sqrt())
    out = streamed(Stream(model, level=level), x, [3000, 17, 20_000])
    gain = 0.05 / level
    near = torch.from_numpy(near_sound(x.numpy(), 640))
    wanted = (process(model.eval(), x * gain) / gain).where(near, 0.0)
    assert (wanted[40_000:60_000] == 0).all(), "silence is silence"
    torch.testing.assert_close(out, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("model", "block"), [(awake(), 1), (Identity(), 128)], ids=["causal", "look-ahead"]
)
def test_the_latency_is_what_it_says(model, block):
    stream, taken, given_out, longest = Stream(model), 0, 0, 0
    for each in noise(3 * stream.latency).split(block):
        taken += len(each)
        given_out += len(stream.process(each))
        longest = max(longest, taken - given_out)
    assert longest == stream.latency - block, "the next block would have brought some"


def test_a_frame_of_32_ms():
    assert Stream("speech").latency == 0.032 * RATE


# --- level --------------------------------------------------------------------------------------


@given(time=st.integers(1, 4000), sizes=sizes, loud=st.floats(-60, 0))
@settings(max_examples=30, deadline=None)
def test_a_running_level_is_undone_on_the_samples_that_had_it(time, sizes, loud):
    x = noise(time) * 10 ** (loud / 20)
    out = streamed(Stream(awake(keep=0.999)), x, sizes)
    still = streamed(Stream(awake(keep=0.999)), x, [time])
    torch.testing.assert_close(out, still, atol=1e-6, rtol=1e-4)
    out = streamed(Stream(Identity()), x, sizes)
    torch.testing.assert_close(out, x, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("level", [0.5, 0.05, 0.002])
def test_speech_with_pauses_comes_to_the_nominal_level(level):
    """Pauses, 30 dB below, do not count; after two seconds the level is that of the talk."""
    talk = level * torch.randn(8 * RATE, generator=torch.Generator().manual_seed(0))
    pause = (torch.arange(len(talk)) // (RATE // 2)) % 2 == 1
    heard = RunningLevel().apply(talk.where(~pause, 0.03 * talk))
    rms = heard[2 * RATE :][~pause[2 * RATE :]].square().mean().sqrt()
    assert float(rms) == pytest.approx(NOMINAL, rel=0.1)


def test_a_louder_and_a_softer_voice_are_followed():
    follower = RunningLevel()
    voice = torch.randn(10 * RATE, generator=torch.Generator().manual_seed(0))
    for level, seconds in ((0.01, 1), (0.1, 2), (0.05, 8)):
        heard = follower.apply(level * voice[: seconds * RATE])
        assert float(heard[-RATE // 2 :].square().mean().sqrt()) == pytest.approx(NOMINAL, rel=0.3)


def test_silence_has_no_level():
    follower = RunningLevel()
    follower.apply(torch.zeros(RATE))
    assert follower.after == 1
    follower.apply(noise(RATE))
    before = follower.after
    follower.apply(torch.zeros(RATE))
    assert follower.after == before


# --- kinds and errors ---------------------------------------------------------------------------


def test_the_same_kind_comes_back():
    stream = Stream(awake())
    out = stream.process(noise(500).numpy().astype(np.float64))
    assert isinstance(out, np.ndarray) and out.dtype == np.float32
    assert isinstance(stream.flush(), np.ndarray)
    assert isinstance(Stream(awake()).process(noise(500)), torch.Tensor)


def test_nothing_in_nothing_out():
    for model in (awake(), Identity()):
        stream = Stream(model)
        assert len(stream.process(torch.zeros(0))) == len(stream.flush()) == 0


def test_a_flushed_stream_has_ended():
    stream = Stream(awake())
    stream.flush()
    for call in (stream.flush, lambda: stream.process(noise(3))):
        with pytest.raises(RuntimeError, match="flushed"):
            call()


@pytest.mark.parametrize(
    ("block", "told"),
    [
        (torch.zeros(2, 100), r"\(2, 100\)"),
        (torch.zeros(100, dtype=torch.int16), "int16"),
        (torch.tensor([0.0, torch.nan]), "finite"),
    ],
)
def test_what_is_no_block_is_refused_in_a_line(block, told):
    with pytest.raises(UserError, match=told):
        Stream(awake()).process(block)


@pytest.mark.parametrize("level", [0, -1, float("nan"), float("inf")])
def test_a_level_is_above_zero(level):
    with pytest.raises(UserError, match="above 0"):
        Stream(awake(), level=level)


@pytest.mark.parametrize("name", ["log_mmse", "spectral_gating"])
def test_what_is_run_over_the_whole_cannot_stream(name):
    with pytest.raises(UserError, match=f"{name} is run over whole .* use speech"):
        Stream(name)


@torch.inference_mode()
def test_long_blocks_go_through_in_stretches(monkeypatch):
    from denoise_lib.models import stream

    monkeypatch.setattr(stream, "LONGEST", 1000)
    model, x = awake(), noise(5500)
    torch.testing.assert_close(
        streamed(Stream(model, level=NOMINAL), x, [5500]), process(model, x), atol=1e-5, rtol=0
    )


# Other rates, and RNNoise


@pytest.mark.parametrize("rate", [8000, 48_000])
def test_a_stream_of_another_rate_gives_what_the_recording_gives(rate):
    model = awake()
    x = noise(3 * rate)
    x[rate : rate + rate // 2] *= 0.05
    stream = Stream(model, level=0.05, rate=rate)
    out, late = [], 0
    for start in range(0, len(x), rate // 100):
        out.append(stream.process(x[start : start + rate // 100]))
        late = max(late, min(start + rate // 100, len(x)) - sum(map(len, out)))
    out = torch.cat([*out, stream.flush()])
    whole = WholeBand(model, rate, np.array([0.05]), np.zeros(1))
    wanted = np.concatenate(list(whole.blocks([x[:, None].numpy()])))[:, 0]
    assert len(out) == len(x) and late <= stream.latency + rate // 100
    np.testing.assert_allclose(out, wanted, atol=1e-5)
    assert abs(wanted - x.numpy()).max() > 0.01, "the network does something"


def test_rnnoise_streams():
    from denoise_lib.models.baselines import RNNoise

    x = noise(20_123)
    x[8000:12_000] *= 0.02
    out = streamed(Stream("rnnoise", level=NOMINAL), x, [256, 1000, 1])
    wanted = RNNoise()(x[None])[0]
    assert len(out) == len(x)
    torch.testing.assert_close(out[:-50], wanted[:-50], atol=1e-4, rtol=0)


def test_webrtc_streams():
    from denoise_lib.models.baselines import WebRTC

    x = noise(20_123)
    stream = Stream("webrtc", level=NOMINAL)
    assert stream.latency == 254  # a frame of 10 ms, and what its frames overlap
    assert torch.equal(streamed(stream, x, [256, 1000, 1]), WebRTC()(x[None])[0])


@pytest.mark.parametrize("rate", [0, -1, 44100.0])
def test_a_rate_is_a_whole_number_above_zero(rate):
    with pytest.raises(UserError, match="whole number of Hz"):
        Stream(Identity(), rate=rate)
