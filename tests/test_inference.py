"""enhance(): same length, level, rate and channels, and memory that does not grow."""

import threading
import time
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib.externals import loky
from small_corpus import small_corpus

from denoise_lib import RATE, Corruption, enhance
from denoise_lib.errors import UserError
from denoise_lib.metrics.evaluate import evaluate
from denoise_lib.models import DenoisingWaveNet
from denoise_lib.models.baselines import Identity
from denoise_lib.models.checkpoints import load_pretrained
from denoise_lib.models.inference import evaluated, process, process_each
from denoise_lib.models.whole_band import Treatment, WholeBand, stretches


def white(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@given(time=st.integers(1, 4000), gain=st.floats(1e-3, 1))
@settings(max_examples=25, deadline=None)
def test_nothing_changes_but_the_noise(time, gain):
    """With a model that does nothing, what comes out is what went in: level, length, no shift."""
    x = gain * white(time)
    out = enhance(x, Identity())
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, x, atol=1e-5 * gain, rtol=1e-5)


def test_the_network_hears_speech_at_the_nominal_level_of_the_whole_file():
    heard = []

    class Listening(Identity):
        def forward(self, noisy):
            heard.append(noisy)
            return noisy

    quiet_then_loud = torch.cat([0.001 * white(32000), 0.5 * white(32000)])
    enhance(quiet_then_loud, Listening(), chunk_seconds=1.0)
    assert len(heard) == 4  # the pause is none of the speech
    assert float(heard[-1].square().mean().sqrt()) == pytest.approx(0.05, rel=0.02)
    assert float(heard[0].square().mean()) < 1e-4 * float(heard[-1].square().mean())


class Humming(Identity):
    """Writes into whatever it hears."""

    def forward(self, noisy):
        return noisy + 0.01


def test_silence_stays_silence():
    assert torch.equal(enhance(torch.zeros(3000), Humming()), torch.zeros(3000))
    assert len(enhance(torch.zeros(1), Humming())) == 1


@given(start=st.integers(0, 9000), length=st.integers(1, 3000), rest=st.integers(0, 9000))
@settings(max_examples=25, deadline=None)
def test_silence_around_sound_stays_silence(start, length, rest):
    x = torch.cat([torch.zeros(start), 0.1 + white(length).abs(), torch.zeros(rest)])
    out = enhance(x, Humming())
    heard = torch.zeros(len(x), dtype=torch.bool)
    heard[max(0, start - 640) : start + length + 640] = True
    assert torch.equal(out != 0, heard)


@pytest.mark.parametrize("name", ["repair", "unet-street", "dcunet-stft"])
def test_shipped_networks_leave_a_silent_second_alone(name):
    voice = torch.sin(torch.arange(RATE) / 7) * 0.1
    out = enhance(torch.cat([torch.zeros(RATE), voice]), name)
    assert not out[: RATE - 640].any() and out[RATE:].any()


@pytest.mark.parametrize("kind", ["tensor", "float32", "float64"])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_the_same_kind_comes_back_in_either_layout(kind, rate):
    stereo = white(2, 5000)
    stereo = stereo if kind == "tensor" else stereo.numpy().astype(kind)
    for layout in (stereo, stereo.T, stereo[0], stereo[:1]):
        out = enhance(layout, Identity(), rate=rate)
        assert type(out) is type(layout) and out.dtype == layout.dtype
        assert out.shape == layout.shape
        np.testing.assert_allclose(np.asarray(out), np.asarray(layout), atol=1e-5)


def test_channels_are_processed_apart_at_their_own_levels():
    heard = []

    class Listening(Identity):
        def forward(self, noisy):
            heard.append(float(noisy.square().mean().sqrt()))
            return noisy * 0

    loud, soft = 0.5 * white(16000), 0.001 * white(16000)
    out = enhance(torch.stack([loud, soft, torch.zeros(16000)]), Listening())
    assert heard == pytest.approx([0.05, 0.05], rel=0.02) and not out.any()


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
def test_chunks_make_no_difference_at_any_rate(rate):
    """RNNoise is recurrent and so left out: a network that reads what lies around each sample."""

    class Smearing(Identity):
        context, stride = 1600, 160

        def forward(self, noisy):
            return (noisy + noisy.roll(800, -1) + noisy.roll(-800, -1)) / 3

    x = 0.05 * white(5 * rate)
    whole = enhance(x, Smearing(), rate=rate, chunk_seconds=60)
    parts = enhance(x, Smearing(), rate=rate, chunk_seconds=0.5)
    inside = slice(rate // 4, -rate // 4)  # roll() brings one end to the other
    torch.testing.assert_close(parts[inside], whole[inside], atol=1e-5, rtol=0)


def test_what_a_network_does_not_hear_goes_down_with_what_it_hears():
    """Tones at 5 and 12 kHz: a network that halves the one halves the other; or it is cut off."""

    class Halving(Identity):
        def forward(self, noisy):
            return noisy / 2

    time = torch.arange(2 * 48000) / 48000
    low, high = torch.sin(2 * np.pi * 5000 * time) / 10, torch.sin(2 * np.pi * 12000 * time) / 10
    middle = slice(24000, -24000)
    out = enhance(low + high, Halving(), rate=48000)
    torch.testing.assert_close(out[middle], ((low + high) / 2)[middle], atol=2e-3, rtol=0)
    out = enhance(low + high, Halving(), rate=48000, cut=True)
    torch.testing.assert_close(out[middle], (low / 2)[middle], atol=2e-3, rtol=0)


def test_an_offset_is_taken_off():
    x = 0.05 * white(32000)
    torch.testing.assert_close(enhance(x + 0.3, Identity()), x, atol=2e-3, rtol=0)


def test_memory_does_not_grow_with_length():
    """What is held at its most, as tracemalloc counts arrays: six times as long, and no more."""

    def peak(seconds):
        whole = WholeBand(
            Identity(), RATE, np.full(1, 0.05), np.zeros(1), Treatment(chunk_seconds=2.0), "cpu"
        )
        block = np.full((RATE, 1), 0.05, np.float32)
        tracemalloc.start()
        samples = sum(len(each) for each in whole.blocks(block for _ in range(seconds)))
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert samples == seconds * RATE
        return held

    peak(10)  # what is made once
    assert peak(60) < 1.3 * peak(10)


@given(
    blocks=st.lists(st.integers(0, 50), max_size=20),
    step=st.integers(1, 40),
    before=st.integers(0, 40),
    ahead=st.integers(0, 40),
)
@settings(max_examples=100, deadline=None)
def test_stretches_hold_every_sample_once_with_what_lies_around(blocks, step, before, ahead):
    x = np.arange(sum(blocks), dtype=np.float32)[:, None]
    source = np.split(x, np.cumsum(blocks)[:-1]) if blocks else []
    at = 0
    for window, lead, size in stretches(source, step, before, ahead):
        assert window[lead, 0] == at and 0 < size <= step
        assert lead >= min(at, before)
        assert len(window) - lead - size >= min(ahead, len(x) - at - size)
        assert np.array_equal(np.diff(window[:, 0]), np.ones(len(window) - 1))
        at += size
    assert at == len(x)


def test_bad_input_is_refused_in_a_line():
    for rate in (0, -16000, 44100.5):
        with pytest.raises(ValueError, match="rate"):
            enhance(white(100), Identity(), rate=rate)
    broken = white(100)
    broken[3] = torch.nan
    with pytest.raises((ValueError, UserError), match="finite"):
        enhance(broken, Identity())
    with pytest.raises(UserError, match="'dcunet-mars'"):
        enhance(white(100), "dcunet-mars")


def test_process_runs_in_evaluation_mode_and_restores_the_mode():
    model = DenoisingWaveNet(channels=2, stacks=1, depth=2, final=(2, 2)).train()
    process(model, white(500))
    assert model.training


class Moved(Identity):
    """Has a parameter, and fails; notes where it is moved to."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.norm = torch.nn.BatchNorm1d(1)
        self.moves = []

    def to(self, place):
        self.moves.append(torch.device(place))
        return self

    def forward(self, noisy):
        assert not (self.training or self.norm.training)
        raise RuntimeError("out of memory")


def scored(model):
    corpus = small_corpus()
    evaluate(model, corpus, corpus.split("test")[:1], Corruption(), seed=0, device="cuda")


@pytest.mark.parametrize(
    ("use", "moves"),
    [
        (lambda model: process(model, white(500)), []),
        (lambda model: enhance(white(500), model, device="cuda"), ["cuda", "cpu"]),
        (scored, ["cuda", "cpu"]),
    ],
)
def test_a_network_that_fails_is_left_where_and_as_it_was(use, moves, monkeypatch):
    """Also one whose norms are kept in evaluation mode, as a training with fixed norms has it."""
    model = Moved().train()
    model.norm.eval()
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *_: tensor)  # there need be no GPU
    with pytest.raises(RuntimeError, match="out of memory"):
        use(model)
    assert model.training and not model.norm.training
    assert [each.type for each in model.moves] == moves


def test_chunks_are_bounded():
    longest = []

    class Measuring(Identity):
        context, stride = 100, 7

        def forward(self, noisy):
            longest.append(noisy.shape[-1])
            return noisy

    x = white(100_000)
    assert torch.equal(process(Measuring(), x, chunk_seconds=0.5), x)
    assert max(longest) <= 8000 + 2 * (100 + 7)


class Remembering(Identity):
    """Keeps its input from one layer to the next, as networks with a state do."""

    def forward(self, noisy):
        self.kept = noisy
        time.sleep(0.002)
        return self.kept * 2


def test_several_at_once_give_what_each_gives_alone(monkeypatch):
    """In their order, to the last bit, and with threads left as they were."""
    monkeypatch.setattr(loky, "cpu_count", lambda: 4)
    waveforms = [white(1000 + 37 * index) for index in range(13)]
    threads = torch.get_num_threads()
    torch.set_num_threads(4)  # one for each of those that run at once
    for model in (Remembering(), load_pretrained("speech")):
        with evaluated(model):
            together = process_each(model, waveforms)
            assert torch.get_num_threads() == 4
            torch.set_num_threads(1)
            alone = [process(model, each) for each in waveforms]
            torch.set_num_threads(4)
        assert all(map(torch.equal, together, alone))
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", ["repair", "speech"])
def test_bfloat16_changes_what_a_network_writes_by_less_than_one_hears(name):
    """Networks are run in it where the processor has it: by -45 dB, and in 32 bits again after.

    That is of white noise; of noisy speech it is about -50 dB.
    """
    model, noisy = load_pretrained(name), 0.05 * white(RATE)
    whole = process(model, noisy)
    for found in (
        process(model, noisy, precision="bf16-mixed"),
        process_each(model, [noisy] * 2, precision="bf16-mixed")[1],
    ):
        assert found.dtype == torch.float32 and not torch.equal(found, whole)
        assert (found - whole).square().sum() < 10**-4.5 * noisy.square().sum()
    assert torch.equal(process(model, noisy), whole)


def test_a_network_that_writes_the_waveform_runs_in_32_bits():
    torch.manual_seed(0)
    model, noisy = DenoisingWaveNet.from_preset("light"), white(1000)
    with evaluated(model), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        rounded = model(noisy[None])[0].float()
    whole = process(model, noisy)
    assert (rounded - whole).abs().max() > 1e-4, "in bfloat16 it would write something else"
    assert torch.equal(process(model, noisy, precision="bf16-mixed"), whole)


def test_they_do_run_at_once(monkeypatch):
    monkeypatch.setattr(loky, "cpu_count", lambda: 3)
    meeting = threading.Barrier(3, timeout=60)

    class Meeting(Identity):
        def forward(self, noisy):
            meeting.wait()
            return noisy

        def __deepcopy__(self, memo):
            return Meeting()

    assert len(process_each(Meeting().eval(), [white(10)] * 3)) == 3


def test_an_error_in_one_of_them_is_raised(monkeypatch):
    monkeypatch.setattr(loky, "cpu_count", lambda: 2)

    class Refusing(Identity):
        def forward(self, noisy):
            if noisy.shape[-1] == 12:
                raise UserError("twelve samples")
            return noisy

    with pytest.raises(UserError, match="twelve"):
        process_each(Refusing(), [white(length) for length in range(10, 20)])
