"""A larger network with a trained one's weights computes the same, and what is new in it learns."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib import load_pretrained
from denoise_lib.commands.train import _started
from denoise_lib.errors import UserError
from denoise_lib.models import CausalNet, UNet
from denoise_lib.models.widen import deepened, grown, widened
from denoise_lib.training.losses import wsdr_loss

LAYERS = [[4, (7, 5), (2, 2)], [6, (5, 3), (2, 2)], [5, (5, 3), (2, 1)]]


def network(widths, fine):
    layers = [[width, *layer[1:]] for width, layer in zip(widths, LAYERS, strict=True)]
    return UNet(layers, fine_bins=16, fine_channels=fine, fine_blocks=2)


def trained(widths=(4, 6, 5), fine=4):
    """A small network whose weights and statistics are all of its own."""
    model = network(widths, fine)
    with torch.no_grad():
        for each in model.state_dict().values():
            if each.is_floating_point():
                each.copy_(
                    0.1 + torch.rand_like(each) if each.ndim == 1 else torch.randn_like(each)
                )
    return model.eval()


@settings(max_examples=20, deadline=None)
@given(
    more=st.lists(st.integers(0, 9), min_size=3, max_size=3),
    fine=st.sampled_from([4, 6, 10]),
    training=st.booleans(),
    seed=st.integers(0, 100),
)
def test_it_computes_the_same(more, fine, training, seed):
    torch.manual_seed(seed)
    model = trained().train(training).double()
    wider = network([width + m for width, m in zip((4, 6, 5), more, strict=True)], fine).double()
    noisy = torch.randn(2, 3000, dtype=torch.float64)
    assert widened(model, wider) is wider
    # In training, too: a copy has the statistics of what it copies.
    torch.testing.assert_close(wider(noisy), model(noisy), rtol=1e-6, atol=1e-8)


def test_a_shipped_network_on_speech(speech):
    model = load_pretrained("unet-street")
    wider = widened(model, UNet.from_preset("large"))
    assert sum(p.numel() for p in wider.parameters()) > 3 * sum(
        p.numel() for p in model.parameters()
    )
    with torch.inference_mode():
        clip = speech.waveform(speech.split("test")[0])[None]
        before, after = model(clip), wider(clip)
    assert (after - before).abs().max() < 1e-4 * before.abs().max()


def test_copies_part_in_training():
    torch.manual_seed(0)
    wider = widened(trained((4, 6, 5)), network((8, 12, 10), 8)).train()
    kernels = [block.convolution.weight for block in wider.encoder]
    assert torch.equal(kernels[0][:4].sort(0).values, kernels[0][4:].sort(0).values)
    optimizer = torch.optim.SGD(wider.parameters(), 0.1)
    clean = torch.randn(2, 3000)
    noisy = clean + 0.5 * torch.randn_like(clean)
    wsdr_loss(wider(noisy), clean, noisy).backward()
    optimizer.step()
    first = kernels[0].detach().flatten(1)
    assert torch.cdist(first, first).fill_diagonal_(1).min() > 1e-6


@pytest.mark.parametrize(
    ("wider", "message"),
    [
        (UNet(LAYERS, fine_bins=16, fine_channels=2, fine_blocks=2), "at least"),
        (network((3, 6, 5), 4), "at least"),
        (UNet(LAYERS, fine_bins=16, fine_channels=4, fine_blocks=3), "in widths alone"),
        (UNet(LAYERS[:2], fine_bins=16, fine_channels=4, fine_blocks=2), "in widths alone"),
    ],
)
def test_what_cannot_be_widened(wider, message):
    with pytest.raises(ValueError, match=message):
        widened(trained(), wider)


def test_a_finer_one_computes_the_same_where_nothing_is_new():
    """Six bins below the old edge, farther than two 3x3 convolutions and their input see."""
    torch.manual_seed(0)
    model = trained()
    bins = model.config["fine_bins"]
    finer = grown(model, UNet(**model.config | {"fine_bins": 4 * bins}))
    assert not finer.training and finer.config["fine_bins"] == 4 * bins
    spectrum = torch.complex(*torch.randn(2, 1, 321, 40))
    with torch.inference_mode():
        before, after = model.estimate(spectrum), finer.estimate(spectrum)
    same = bins - 6
    change = (after - before).abs() / before.abs().mean()
    assert change[:, :same].max() < 1e-4 and change[:, 4 * bins :].max() < 1e-4
    assert change[:, bins : 4 * bins].mean() > 1e-2


def test_wider_and_finer_at_once():
    torch.manual_seed(0)
    model = trained()
    size = {"fine_bins": 32, "fine_channels": 8}
    larger = grown(model, UNet(**model.config | size))
    finer = grown(model, UNet(**model.config | {"fine_bins": 32}))
    x = torch.randn(2, 3000)
    with torch.inference_mode():
        expected = finer(x)
        assert (larger(x) - expected).abs().max() < 1e-4 * expected.abs().max()


def test_a_branch_that_reaches_less_far_up_is_refused():
    model = trained()
    with pytest.raises(ValueError, match="at least 16 fine_bins are needed, got 14"):
        grown(model, UNet(**model.config | {"fine_bins": 14}))


@pytest.mark.parametrize(
    ("start", "model", "preset", "message"),
    [
        ("repair", "dcunet", None, "repair is a unet, not a dcunet: leave out --model"),
        ("dcunet-stft", None, "20", "only a unet or a causal network can start a larger one"),
        ("unet-street", None, "tiny", "unet-street cannot start a unet of preset tiny"),
        ("unet-street", None, "huge", "no preset 'huge'"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(start, model, preset, message):
    with pytest.raises(UserError, match=message) as caught:
        _started(start, model, preset)
    assert "\n" not in str(caught.value)


def test_a_start_as_it_is_and_made_larger():
    assert _started("unet-street", "unet", None).config == load_pretrained("unet-street").config
    for preset in ("large", "fine"):
        assert _started("unet-street", None, preset).config == UNet.from_preset(preset).config


def test_a_deeper_causal_network_computes_the_same_and_learns(speech):
    model, deeper = load_pretrained("speech"), _started("speech", None, "large")
    assert deeper.config == CausalNet.from_preset("large").config
    assert deeper.trainings == model.trainings
    noisy = speech.waveform(speech.split("test")[0])[None, :32000]
    with torch.inference_mode():
        torch.testing.assert_close(deeper(noisy), model(noisy), rtol=0, atol=0)
    deeper.train()(noisy).square().mean().backward()
    for layer in (*deeper.middle[len(model.middle) :], *deeper.fine):
        assert layer.norm.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dilations": (1, 2)}, "dilations must begin with"),
        ({"dilations": (2, 2, 4, 8, 16, 32, 1, 2, 4)}, "dilations must begin with"),
        ({"widths": (24, 32, 48, 96)}, "residual layers alone"),
    ],
)
def test_a_causal_network_that_is_not_deeper_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        deepened(CausalNet(), CausalNet(**changed))
