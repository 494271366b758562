"""The causal network: what reaches what, measured with changes of the input, and its size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib import RATE
from denoise_lib.models import CausalNet
from denoise_lib.models.causal import _widened


def noise(*shape, seed=0):
    return 0.05 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def awake(preset="tiny", **changes):
    """A network that changes its input, with statistics of its batch norms that are not 0 and 1."""
    torch.manual_seed(0)
    model = CausalNet.from_preset(preset, **changes)
    torch.nn.init.normal_(model.last.weight, std=0.3)
    model(noise(4, 3000))
    return model.eval()


def test_a_fresh_network_is_the_identity():
    model, x = CausalNet().eval(), noise(2, 5001)
    torch.testing.assert_close(model(x), x, atol=1e-6, rtol=0)


def test_in_use_a_share_of_the_input_stays():
    """A network whose factor is -1 everywhere takes all away in training, and in use all but it."""
    model, x = CausalNet.from_preset("tiny", keep=0.1), noise(1, 2048)
    model.last.bias.data[:] = torch.tensor([-1.0, 0.0, -1.0, 0.0])
    silent, kept = model.train()(x), model.eval()(x)
    middle = slice(64, -64)  # the Nyquist frequency is left as it is, so not all is silent
    assert silent[:, middle].norm() < 0.3 * x[:, middle].norm()
    torch.testing.assert_close(kept - silent, 0.1 * (x - silent), atol=1e-5, rtol=0)


@given(batch=st.integers(1, 3), time=st.integers(1, 2000))
@settings(max_examples=30, deadline=None)
def test_any_length_comes_out_as_long(batch, time):
    with torch.inference_mode():
        out = awake()(noise(batch, time))
    assert out.shape == (batch, time) and out.isfinite().all()


@pytest.mark.parametrize(("preset", "place"), [("tiny", 1000), ("tiny", 1024), ("default", 20_000)])
@torch.inference_mode()
def test_nothing_reaches_back_further_than_the_latency(preset, place):
    """A click at one sample changes the output from one latency before it on, and not earlier."""
    model = awake(preset).double()
    x = noise(1, 2 * place).double()
    clicked = x.clone()
    clicked[0, place] += 0.5
    changed = (model(clicked) - model(x))[0].abs().nonzero()[:, 0]
    assert place - model.latency < int(changed.min()) <= place


@torch.inference_mode()
def test_the_latency_is_needed():
    """Some sample of a hop hears one almost a frame ahead: the window is 0 at its first sample."""
    model, reach = awake().double(), 0
    x = noise(1, 2000).double()
    for place in range(1000, 1000 + model.hop):
        clicked = x.clone()
        clicked[0, place] += 0.5
        changed = (model(clicked) - model(x))[0].abs().nonzero()[:, 0]
        reach = max(reach, place - int(changed.min()))
    assert reach == model.latency - 2


def test_40_ms_at_most_and_2_million_weights():
    for preset in CausalNet.PRESETS:
        model = CausalNet.from_preset(preset)
        assert model.latency <= 0.040 * RATE
        assert sum(each.numel() for each in model.parameters()) < 2_000_000


def test_size_from_its_layer_table():
    """Counted by hand: convolutions, two numbers of a batch norm per channel, 1 x 1 with bias."""
    widths, frames, dilations = (24, 32, 48, 80), (3, 2, 1, 1), 8
    inputs = (3, *widths[:-1])
    encoder = sum(i * o * t * 5 + 2 * o for i, o, t in zip(inputs, widths, frames, strict=True))
    middle = dilations * (80 * 80 * 9 + 2 * 80)
    up = sum((read + 1) * 2 * write for write, read in zip(widths, widths[1:], strict=False))
    decoder = sum(o * o * 3 + 2 * o for o in widths[:-1])
    last = (24 * 3 + 1) * 4
    found = sum(each.numel() for each in CausalNet().parameters())
    assert found == encoder + middle + up + decoder + last


def test_its_past_is_that_of_its_layers():
    """Measured with a gradient from one output sample back: as far as the layers' taps say."""
    model = awake().double()
    x = noise(1, 3000).double().requires_grad_()
    place = 2000 - 2000 % model.hop + model.hop // 2
    (gradient,) = torch.autograd.grad(model(x)[0, place], x)
    first = int(gradient[0].nonzero()[:, 0].min())
    # The encoder's first layer, two residual ones at the coarsest resolution, one at the finest.
    frames = (2 - 1) + 2 * (1 + 2) + 2 * 1
    # From the earliest frame that covers the sample, and half a frame before that one's middle;
    # the window is 0 at its first sample.
    assert first == place // model.hop * model.hop - frames * model.hop - model.n_fft // 2 + 1
    assert place - first <= model.context


@given(channels=st.integers(1, 4), freq=st.integers(1, 5), frames=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_widening_puts_each_bins_two_halves_side_by_side(channels, freq, frames):
    x = torch.arange(2.0 * channels * freq * frames).reshape(1, 2 * channels, frames, freq)
    wide = _widened(x)
    assert wide.shape == (1, channels, frames, 2 * freq)
    for half in (0, 1):
        assert torch.equal(wide[..., half::2], x[:, half * channels : (half + 1) * channels])


@pytest.mark.parametrize(
    "changes", [{"n_fft": 500}, {"widths": ()}, {"frames": (1,)}, {"hop": 100}, {"hop": 512}]
)
def test_impossible_arguments_are_named(changes):
    with pytest.raises(ValueError, match="CausalNet: "):
        CausalNet(**changes)
