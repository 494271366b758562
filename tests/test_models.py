"""The networks: shapes, receptive fields, the papers' sizes, and complex layers against torch."""

import copy
import itertools
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import denoise_lib
from denoise_lib import Corruption
from denoise_lib.errors import UserError
from denoise_lib.models import (
    CausalNet,
    ConvAutoencoder,
    DCUnet,
    DenoisingWaveNet,
    DilatedContextNet,
    InformedDCUnet,
    UNet,
)
from denoise_lib.models.base import ROOMS, Denoiser, find
from denoise_lib.models.baselines import BASELINES
from denoise_lib.models.complex_layers import ComplexBatchNorm2d, ComplexConv2d
from denoise_lib.models.germain import AdaptiveNorm
from denoise_lib.models.inference import process
from denoise_lib.models.unet import FLOOR, LAYOUT, REACH, Neighbours, _shuffle
from denoise_lib.names import MODELS

TINY_LAYERS = [(2, (7, 5), (2, 2)), (3, (5, 3), (2, 2)), (3, (5, 3), (2, 1))]


def tiny(name: str, **changes):
    """A network of the named kind that runs in milliseconds."""
    torch.manual_seed(0)
    if name == "autoencoder":
        return ConvAutoencoder(channels=4, kernel=128, stride=8)
    if name == "wavenet":
        return DenoisingWaveNet(channels=4, stacks=2, depth=4, final=(5, 3))
    if name == "germain":
        return DilatedContextNet(channels=4, levels=4)
    if name == "unet":
        return awake(UNet.from_preset("tiny", n_fft=64, hop=16, fine_bins=12))
    if name == "causal":
        model = CausalNet.from_preset("tiny")
        torch.nn.init.normal_(model.last.weight, std=0.3)
        return model
    if name == "informed":
        return InformedDCUnet(3, [0.5, 2.0], layers=TINY_LAYERS, n_fft=64, hop=16)
    return DCUnet(layers=TINY_LAYERS, n_fft=64, hop=16, **changes)


def awake(model: UNet) -> UNet:
    """The U-Net with last layers that do something: fresh ones are zero, the identity."""
    for last in (model.out, model.fine_out):
        torch.nn.init.normal_(last.weight, std=0.3)
        torch.nn.init.normal_(last.bias, std=0.3)
    return model


def parameters(model) -> int:
    return sum(each.numel() for each in model.parameters())


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_denoiser_keeps_its_arguments_and_is_found_by_its_name():
    class Scaled(DCUnet):
        name = "scaled"

        def __init__(self, factor: float = 2.0, *, sizes: tuple = (1, 2), **arguments):
            super().__init__(layers=[(2, (3, 3), (2, 2))], **arguments)

    class Fixed(Scaled):
        name = "fixed"

        def __init__(self, depth: int):
            super().__init__(3.0, hop=64)

    given = {"factor": 3.0, "sizes": [1, 2], "mask": "residual"}
    config = Scaled(3.0, mask="residual").config
    assert given.items() <= config.items() and config["hop"] == 160
    assert Fixed(4).config == {"depth": 4}, "what it fixes by itself is no argument"
    assert copy.deepcopy(Fixed(4)).config == {"depth": 4}
    with pytest.raises(TypeError, match="width"):
        Fixed(4, width=1)
    assert InformedDCUnet(multiples=(2.0,), hop=80).config == DCUnet(hop=80).config | {
        "mfcc": 0,
        "multiples": [2.0],
        "layers": "dcunet16",
    }


def test_every_network_of_the_room_is_named_and_every_name_is_one():
    rooms = [each.replace(".", "/") for each in ROOMS]
    library = Path(denoise_lib.__file__).parent.parent
    files = {path.stem for room in rooms for path in (library / room).glob("*.py")}
    found = set()
    for name in files - {"__init__"}:
        with suppress(UserError):
            assert find(name).name == name and issubclass(find(name), Denoiser)
            found.add(name)
    assert found == {*MODELS, *BASELINES, "gain", "identity", "chain"}
    for name in ("checkpoints", "../unet", "nothing", ""):
        with pytest.raises(UserError, match="no network or tool"):
            find(name)
    with pytest.raises(UserError, match="unet has no preset 'huge': use one of small, large"):
        UNet.from_preset("huge")


@pytest.mark.parametrize("name", MODELS)
@given(batch=st.integers(1, 3), time=st.integers(1, 700))
@settings(max_examples=25, deadline=None)
def test_output_has_the_shape_of_the_input(name, batch, time):
    model = tiny(name).eval()
    with torch.inference_mode():
        out = model(0.05 * noise(batch, time))
    assert out.shape == (batch, time) and torch.isfinite(out).all()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("mask", ["polar", "residual"])
def test_a_gradient_reaches_every_parameter(name, mask):
    model = tiny(name, mask=mask) if name == "dcunet" else tiny(name)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    target = noise(2, 600, seed=1)
    # A residual mask starts at zero, so the layers below its last one hear of the loss only from
    # the second step on.
    for _ in range(2):
        optimizer.zero_grad()
        (model(noise(2, 600)) - target).square().mean().backward()
        optimizer.step()
    # Silent are only the convolution biases that a batch norm takes away again.
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not [n for n in silent if not n.endswith("bias")], silent


@pytest.mark.parametrize("name", MODELS)
def test_evaluation_changes_nothing_and_clips_do_not_mix(name):
    model = tiny(name).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    clips = noise(3, 500)
    with torch.inference_mode():
        together = model(clips)
        alone = torch.cat([model(clip[None]) for clip in clips])
    assert not model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_nothing_beyond_the_context_reaches_a_sample(name):
    """Measured with a gradient: from one output sample back to the input."""
    model = tiny(name).eval().double()
    length = 4 * model.context + 600
    x = noise(1, length).double().requires_grad_()
    for middle in (length // 2, length // 2 + 7):
        (gradient,) = torch.autograd.grad(model(x)[0, middle], x)
        reached = gradient[0].nonzero()[:, 0]
        assert middle - model.context <= int(reached.min())
        assert int(reached.max()) <= middle + model.context


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("time", [1, 999, 5000])
def test_chunks_give_what_one_pass_gives(name, time):
    model = tiny(name).eval()
    x = 0.05 * noise(time)
    with torch.inference_mode():
        whole = model(x[None])[0]
    torch.testing.assert_close(process(model, x, chunk_seconds=0.04), whole, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("preset", DCUnet.PRESETS)
def test_dcunet_presets_in_chunks(preset):
    model = DCUnet.from_preset(preset).eval()
    torch.manual_seed(0)
    if model.mask == "residual":
        torch.nn.init.normal_(model.decoder[-1].weight, std=0.02)
    x = 0.05 * noise(40000)
    with torch.inference_mode():
        whole = model(x[None])[0]
    torch.testing.assert_close(process(model, x, chunk_seconds=0.5), whole, atol=1e-5, rtol=1e-3)


def test_autoencoder_is_two_convolutions():
    model = ConvAutoencoder()
    assert parameters(model) == 2 * 32 * 2048 + 32 + 1
    x = noise(2, 6400)
    torch.testing.assert_close(model.encode(x), model.encoder(x[:, None]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model(x), model.decoder(torch.tanh(model.encoder(x[:, None])))[:, 0])


def test_wavenet_of_the_paper():
    """Rethage et al. 2018: receptive field 6,139 samples (section 4.1), 6.3 M parameters."""
    model = DenoisingWaveNet.from_preset("paper")
    assert model.stack_receptive_field == 6139
    assert parameters(model) == pytest.approx(6.3e6, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("preset", DenoisingWaveNet.PRESETS)
def test_wavenet_receptive_field_measured_with_an_impulse(preset):
    # Averaging weights and small biases: nothing cancels, no gate saturates, no ReLU closes. The
    # way to the outermost sample is a product of sixty small factors, hence float64. Fewer channels
    # look as far back, and 2 GB of memory less are needed.
    few = {**DenoisingWaveNet.PRESETS[preset], "channels": 4, "final": (4, 4)}
    model = DenoisingWaveNet(**few).double()
    for parameter in model.parameters():
        parameter.data.fill_(1 / parameter[0].numel() if parameter.dim() > 1 else 0.01)
    length = model.receptive_field + 200
    x = torch.zeros(1, length, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x)[0, length // 2], x)
    assert int((gradient != 0).sum()) == model.receptive_field


def test_wavenet_target_field_needs_no_more_than_its_context():
    model = tiny("wavenet").eval()
    x = noise(1, 3000)
    with torch.inference_mode():
        whole = model(x)
        field = model.target_field(x[:, 1000 - model.context : 1400 + model.context])
    torch.testing.assert_close(field, whole[:, 1000:1400], atol=1e-6, rtol=1e-5)


def test_context_network_of_the_paper():
    """Germain et al. 2018: 16 layers with the input, 64 channels, 2 ** 14 + 1 samples (about 1 s).

    Parameters by hand: a first layer of 3 weights, 13 of 3 x 64, per channel, with a bias each; two
    numbers for each of these 14 normalisations; 64 weights and a bias for the output.
    """
    model = DilatedContextNet.from_preset("paper")
    assert model.receptive_field == 2**14 + 1
    assert [layer.dilation[0] for layer in model.layers] == [2**k for k in range(13)] + [1]
    assert parameters(model) == 64 * (3 + 1) + 13 * 64 * (3 * 64 + 1) + 14 * 2 + 64 + 1 == 160_925


@pytest.mark.slow
@pytest.mark.parametrize("preset", DilatedContextNet.PRESETS)
def test_context_network_receptive_field_measured_with_an_impulse(preset):
    # Positive weights and biases: nothing cancels, and no leaky ReLU is on its lower side.
    model = DilatedContextNet.from_preset(preset).eval()
    for parameter in [*model.layers.parameters(), *model.output.parameters()]:
        parameter.data.fill_(1 / parameter[0].numel() if parameter.dim() > 1 else 0.01)
    length = model.receptive_field + 200
    # Some paths are products of fifteen small factors, hence float64.
    x = torch.zeros(1, length, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.double()(x)[0, length // 2], x)
    reached = gradient[0].nonzero()[:, 0]
    assert (int(reached.min()), int(reached.max())) == (length // 2 - 2**13, length // 2 + 2**13)
    assert len(reached) == model.receptive_field


def test_adaptive_norm_is_a_weighted_sum():
    norm = AdaptiveNorm(3)
    x = 2 * noise(4, 3, 50) + 1
    torch.testing.assert_close(norm(x), x)  # it starts as the identity
    norm.plain.data.fill_(0.5)
    norm.normed.data.fill_(2.0)
    mean = x.mean((0, 2), keepdim=True)
    deviation = x.var((0, 2), correction=0, keepdim=True).add(1e-5).sqrt()
    torch.testing.assert_close(norm(x), 0.5 * x + 2 * (x - mean) / deviation)


@pytest.mark.parametrize(("preset", "millions"), [("10", 1.4), ("16", 2.3), ("20", 3.5)])
def test_dcunets_of_the_paper(preset, millions):
    """Choi et al. 2019, table 2 states 1.4 M, 2.3 M and 3.5 M parameters (16 has 2.37 M)."""
    assert int(parameters(DCUnet.from_preset(preset)) / 1e5) / 10 == millions


def test_polar_mask_is_bounded_and_keeps_the_phase():
    model = DCUnet(layers=TINY_LAYERS, n_fft=64, hop=16, mask="polar").eval()
    seen = {}
    unet = model.unet
    model.unet = lambda x: seen.setdefault("out", 5 * unet(x))
    spectrum = torch.complex(noise(1, 33, 20), noise(1, 33, 20, seed=1))
    mask = model.estimate(spectrum) / spectrum
    out = torch.view_as_complex(seen["out"][:, :, 0].movedim(1, -1).contiguous())
    assert float(mask.abs().max()) <= 1 + 1e-5
    torch.testing.assert_close(mask.abs(), torch.tanh(out.abs()), atol=1e-5, rtol=1e-4)
    turned = torch.angle(mask * out.conj())
    assert float(turned.abs().max()) < 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_mixed_precision_trains(name):
    model = tiny(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(0.05 * noise(2, 800))
    out.float().square().mean().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_residual_mask_starts_as_the_identity():
    model = DCUnet.from_preset("small").eval()
    x = 0.05 * noise(2, 5000)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), x, atol=1e-6, rtol=0)


@pytest.mark.parametrize("preset", UNet.PRESETS)
def test_unet_starts_as_the_identity(preset):
    model = UNet.from_preset(preset).eval()
    x = 0.05 * noise(2, 5001)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), x, atol=1e-6, rtol=0)


def test_unet_size_from_its_layer_table():
    """By hand: two numbers a channel where there is batch norm, a bias where there is none."""
    # Channels, kernel, and how many positions a step down takes together.
    table = [(48, 7, 5, 4), (48, 5, 3, 4), (48, 5, 3, 2), (48, 5, 3, 2)]
    count = 5 * 48 * 7 * 5 + 2 * 48  # down to half the resolution
    for (inputs, *_), (outputs, high, wide, shuffled) in itertools.pairwise(table):
        count += inputs * outputs * high * wide + 2 * outputs  # encoder
        count += (outputs + 1) * inputs * shuffled  # up, by pixel shuffle
        count += 2 * inputs * inputs * 3 * 3 + 2 * inputs  # decoder, beside its skip
    count += (48 + 1) * 4 * 4  # factor and term over all bins, two numbers each, shuffled by 2 x 2
    count += 48 * 48 * 4  # what the fine branch gets from there
    count += 2 * 48 * 7 * 9 + 2 * 48 + 2 * 48  # neighbours, their levels, batch norm
    count += 6 * (48 * 48 * 3 * 3 + 2 * 48) + (48 + 1) * 4  # the fine branch itself
    assert parameters(UNet.from_preset("small")) == count == 397_412


def test_the_unet_goes_up_by_pixel_shuffle():
    """Both ways at once torch's own; one way, the channels of a row stand one below the other."""
    x = noise(2, 12, 5, 7)
    assert torch.equal(_shuffle(x, (2, 2), (9, 13)), F.pixel_shuffle(x, 2)[..., :9, :13])
    rows = torch.stack([x[:, 0::2], x[:, 1::2]], 3).flatten(2, 3)
    assert torch.equal(_shuffle(x, (2, 1), (10, 7)), rows)


def test_no_convolution_of_the_unet_has_its_input_laid_out_anew():
    """A copy in the other layout, and sums over both, took a fifth of the time."""
    model, seen = UNet.from_preset("small"), []
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].stride(1) == 1))
    model(0.05 * noise(2, 8000))
    assert len(seen) > 15 and set(seen) == {torch.channels_last == LAYOUT}


@pytest.mark.parametrize(("n_fft", "hop"), [(640, 160), (60, 16), (64, 48)])
def test_a_steady_tone_stands_still_for_the_unet(n_fft, hop):
    """Counted from sample 0, cos(2 pi k n / N + p) is N / 2 exp(i p) in bin k of every frame."""
    phase, time = 0.7, np.arange(40 * hop)
    model = UNet(layers="tiny", n_fft=n_fft, hop=hop, fine_bins=8, fine_channels=4)
    seen = {}

    def listening(x, root, turn):
        seen["parts"] = x.detach()
        return torch.zeros_like(x)

    model.unet = listening
    for k in (1, 5, n_fft // 2 - 3):
        tone = np.cos(2 * np.pi * k * time / n_fft + phase)
        with torch.inference_mode():
            model(torch.from_numpy(tone).float()[None])
        first = -(-n_fft // (2 * hop))  # frames that lie within the tone
        re, im, turned_re, turned_im, level = seen["parts"][0, :, k, first:-first].numpy()
        # Square root of the magnitude, N / 2.
        expected = np.sqrt(n_fft / 2) * np.exp(1j * phase)
        np.testing.assert_allclose(turned_re + 1j * turned_im, expected, atol=1e-3 * n_fft**0.5)
        np.testing.assert_allclose(level, 0.4 * np.log(n_fft / 2), atol=1e-3)
        starts = np.arange(first, first + len(re)) * hop - n_fft // 2
        frames = np.array([np.fft.rfft(tone[start : start + n_fft])[k] for start in starts])
        np.testing.assert_allclose(
            re + 1j * im, frames / np.sqrt(np.abs(frames)), atol=1e-3 * n_fft**0.5
        )


def spectrum_of(model, waveform):
    return torch.stft(
        waveform,
        model.n_fft,
        model.hop,
        window=model.window,
        pad_mode="constant",
        return_complex=True,
    )


@pytest.mark.parametrize("time", [1, 700, 16001])
def test_mfcc_are_torchaudios(time):
    model = InformedDCUnet(13, [], layers=TINY_LAYERS)
    x = 0.05 * noise(2, time)
    options = {"n_fft": 640, "hop_length": 160, "n_mels": 40, "pad_mode": "constant"}
    expected = torchaudio.transforms.MFCC(16000, 13, log_mels=True, melkwargs=options)(x)
    found = model.cepstrum(spectrum_of(model, x))
    assert found.shape == (2, 13, 321, 1 + time // 160)
    for bin in (0, 320):
        torch.testing.assert_close(found[:, :, bin], expected, atol=1e-3, rtol=1e-4)


def test_harmonics_are_read_at_multiples():
    """Bin k holds the magnitude k, compressed: the channels can be written down."""
    model = InformedDCUnet(
        multiples=[0.5, 1.0, 3.0], layers=TINY_LAYERS, n_fft=64, hop=16, compression=0.5
    )
    spectrum = torch.arange(33.0)[None, :, None].expand(1, 33, 5).to(torch.complex64)
    half, same, triple = model.harmonics(spectrum)[0, :, :, 2]
    bins = torch.arange(33.0)
    torch.testing.assert_close(same, bins.sqrt(), atol=1e-2, rtol=0)
    torch.testing.assert_close(half[::2], (bins[::2] / 2).sqrt(), atol=1e-2, rtol=0)
    torch.testing.assert_close(triple[:11], (3 * bins[:11]).sqrt(), atol=1e-2, rtol=0)
    assert not triple[11:].any(), "beyond the highest bin there is nothing"


@pytest.mark.parametrize("mask", ["polar", "residual"])
def test_an_informed_dcunet_that_ignores_what_is_added_is_a_dcunet(mask):
    plain = DCUnet(layers=TINY_LAYERS, n_fft=64, hop=16, mask=mask, compression=0.5).eval()
    torch.nn.init.normal_(plain.decoder[-1].weight, std=0.3)
    model = InformedDCUnet(
        2, [2.0], layers=TINY_LAYERS, n_fft=64, hop=16, mask=mask, compression=0.5
    ).eval()
    state = plain.state_dict()
    weight = torch.zeros_like(model.encoder[0].weight)
    weight[:, :, :1] = state["encoder.0.weight"]
    missing = model.load_state_dict(state | {"encoder.0.weight": weight}, strict=False)
    assert all(key.startswith("norm.") for key in missing.missing_keys)
    assert not missing.unexpected_keys
    x = 0.05 * noise(2, 999)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), plain(x), atol=1e-6, rtol=1e-5)
    assert parameters(model) - parameters(plain) == 2 * 2 * 3 * 7 * 5  # complex, outputs, added
    assert set(plain.config) == {"layers", "n_fft", "hop", "mask", "compression", "tied"}


def test_untied_convolutions_with_a_complex_ones_weights_are_that_one():
    tied = DCUnet(layers=TINY_LAYERS, n_fft=64, hop=16, compression=0.5).eval()
    model = DCUnet(layers=TINY_LAYERS, n_fft=64, hop=16, compression=0.5, tied=False).eval()
    state = tied.state_dict()
    for name, weight in state.items():
        if name.endswith("weight"):
            state[name] = torch.stack(
                [torch.stack([weight[0], -weight[1]]), torch.stack([weight[1], weight[0]])]
            )
    model.load_state_dict(state)
    x = 0.05 * noise(2, 999)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), tied(x), atol=1e-6, rtol=1e-5)
    convolutions = [*tied.encoder, *tied.decoder]
    assert parameters(model) - parameters(tied) == sum(each.weight.numel() for each in convolutions)


def test_a_unets_frames_can_lie_off_the_damages():
    torch.manual_seed(0)
    plain = tiny("unet").eval()
    off = UNet(**plain.config | {"offset": 7}).eval()
    off.load_state_dict(plain.state_dict())
    x = 0.05 * noise(2, 999)
    with torch.inference_mode():
        later = plain(torch.nn.functional.pad(x, (7, 0)))[:, 7:]
        torch.testing.assert_close(off(x), later)
        assert not torch.allclose(off(x), plain(x), atol=1e-4)
    assert off.context == plain.context + 7
    with pytest.raises(ValueError, match=r"offset must be in \[0, 16\), got 16"):
        UNet(**plain.config | {"offset": 16})


def test_what_a_unet_writes():
    torch.manual_seed(0)
    plain = tiny("unet").eval()
    spectrum = torch.complex(*noise(2, 1, 33, 20))
    estimates = {}
    for writes in (["factor"], ["term"], ["factor", "term"]):
        model = UNet(**plain.config | {"writes": writes}).eval()
        model.load_state_dict(plain.state_dict())
        with torch.inference_mode():
            estimates[" ".join(writes)] = model.estimate(spectrum) - spectrum
    torch.testing.assert_close(estimates["factor"] + estimates["term"], estimates["factor term"])
    assert all(float(each.abs().max()) > 1e-3 for each in estimates.values())
    for writes in ([], ["mask"]):
        with pytest.raises(ValueError, match="writes must be of"):
            UNet(**plain.config | {"writes": writes})


def test_unets_term_takes_away_what_was_written_in():
    """The damage adds 1 everywhere; a term of -1, which is a bias here, gives the clip back."""
    procedure = Corruption()
    x = 0.05 * noise(1, 5000)
    noisy = procedure.istft(procedure.stft(x) + 1, 5000)
    model = UNet.from_preset("tiny").eval()
    assert float((noisy - x).abs().max()) > 0.1
    # Four numbers a coefficient (factor and term, real and imaginary), each for 2 x 2 positions.
    model.out.bias.data.view(4, 4)[2] = -1
    with torch.inference_mode():
        torch.testing.assert_close(model(noisy), x, atol=1e-5, rtol=0)


def test_unets_factor_repairs_what_is_left():
    x = 0.05 * noise(1, 3000)
    model = UNet.from_preset("tiny").eval()
    model.out.bias.data.view(4, 4)[0] = 1
    with torch.inference_mode():
        torch.testing.assert_close(model(0.5 * x), x, atol=1e-5, rtol=0)


def test_only_the_lowest_bins_are_written_by_the_fine_branch():
    spectrum = torch.complex(noise(2, 33, 21), noise(2, 33, 21, seed=1))
    model = tiny("unet").eval()
    read = []
    model.neighbours.register_forward_hook(lambda module, given, out: read.append(out.shape))
    with torch.inference_mode():
        whole = model.estimate(spectrum)
        torch.nn.init.zeros_(model.fine_out.weight)
        torch.nn.init.zeros_(model.fine_out.bias)
        coarse = model.estimate(spectrum)
    assert torch.equal(whole[:, 12:], coarse[:, 12:])
    assert (whole[:, :12] != coarse[:, :12]).all() and (coarse != spectrum).all()
    assert {shape[2] for shape in read} == {12}


@pytest.mark.parametrize("own_phase", [True, False])
def test_neighbours_are_read_in_the_phase_of_the_middle(own_phase):
    """Turned as a whole and made louder, a spectrum reads the same in its own phase.

    Not so near 0 Hz, where the mirror image turns the other way.
    """
    torch.manual_seed(0)
    layer = Neighbours(8, own_phase)
    layer.weight.data.unflatten(0, (2, 8))[:, 4:] = 0  # the half that reads what is there
    torch.nn.init.zeros_(layer.levels.weight)
    spectrum = 50 * torch.complex(noise(1, 23, 30), noise(1, 23, 30, seed=1))
    turn = torch.polar(torch.ones(20, 30), noise(20, 30, seed=2))
    with torch.inference_mode():
        read = layer(spectrum, turn)[:, :, 3:]
        again = layer(spectrum * torch.polar(torch.tensor(3.0), torch.tensor(0.8)), turn)[:, :, 3:]
    assert read.abs().mean() > 0.1
    assert bool(torch.allclose(read, again, atol=1e-3)) == own_phase


def test_neighbours_against_a_sum_written_out():
    torch.manual_seed(0)
    (above, beside), bins, frames = REACH, 6, 12
    layer = Neighbours(2)
    torch.nn.init.zeros_(layer.levels.weight)
    spectrum = 9 * torch.complex(
        noise(1, bins + above, frames), noise(1, bins + above, frames, seed=1)
    )
    turn = torch.polar(torch.ones(bins, frames), noise(bins, frames, seed=2))
    with torch.inference_mode():
        read = layer(spectrum, turn)[0].numpy()
    x, t = spectrum[0].numpy(), turn.numpy()
    weight = torch.complex(*layer.weight[:, :, 0].chunk(2)).detach().numpy()  # own phase, as it is
    k, m = 1, 5  # bins below 0 Hz are conjugates
    around = [(d, e) for d in range(-above, above + 1) for e in range(-beside, beside + 1)]
    value = {(d, e): x[k + d, m + e] if k + d >= 0 else x[-k - d, m + e].conj() for d, e in around}
    level = np.mean([abs(value[each]) ** 2 + FLOOR for each in around])
    own, as_is = (
        sum(kind[d + above, e + beside] * value[d, e] * t[k, m + e] for d, e in around)
        for kind in weight
    )
    own = own * (x[k, m] * t[k, m]).conj() / np.sqrt((abs(x[k, m]) ** 2 + FLOOR) * level)
    expected = own + as_is * t[k, m].conj()
    np.testing.assert_allclose(read[:, k, m], [expected.real, expected.imag], rtol=1e-3)


@pytest.mark.parametrize(("layers", "hop"), [("small", 16), ("tiny", 24), ("tiny", 48)])
def test_unets_grid_and_context_hold_for_other_frames(layers, hop):
    """Frames that the hop does not divide: the turned input repeats after more of them."""
    torch.manual_seed(0)
    model = awake(UNet(layers, n_fft=64, hop=hop, fine_bins=12, fine_channels=4)).eval()
    x = 0.05 * noise(2 * model.context + 3 * model.stride + 77)
    with torch.inference_mode():
        whole = model(x[None])[0]
    torch.testing.assert_close(process(model, x, chunk_seconds=0.01), whole, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("hop", [16, 24])
def test_nothing_beyond_the_small_unets_context_reaches_a_sample(hop):
    torch.manual_seed(0)
    model = awake(UNet("small", n_fft=64, hop=hop, fine_bins=12)).eval().double()
    middle = model.context + 500
    x = (0.05 * noise(1, 2 * middle)).double().requires_grad_()
    for place in (middle, middle + 5 * hop + 3):
        (gradient,) = torch.autograd.grad(model(x)[0, place], x)
        reached = gradient[0].nonzero()[:, 0]
        assert place - model.context <= int(reached.min())
        assert int(reached.max()) <= place + model.context


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 2)])
def test_complex_convolution_matches_torch_complex(transposed, stride):
    layer = ComplexConv2d(3, 4, (5, 3), stride, transposed)
    torch.nn.init.normal_(layer.bias)
    x = noise(2, 2, 3, 9, 8)
    z, weight = torch.complex(x[:, 0], x[:, 1]), torch.complex(*layer.weight)
    bias = torch.complex(*layer.bias)
    if transposed:
        size = (9 * stride[0] - (stride[0] == 2), 8 * stride[1])
        extra = [s - ((n - 1) * k + 1) for s, n, k in zip(size, (9, 8), stride, strict=True)]
        expected = F.conv_transpose2d(z, weight.transpose(0, 1), bias, stride, layer.padding, extra)
        ours = layer(x, size=size)
    else:
        expected = F.conv2d(z, weight, bias, stride, layer.padding)
        ours = layer(x)
    torch.testing.assert_close(
        torch.complex(ours[:, 0], ours[:, 1]), expected, atol=1e-5, rtol=1e-4
    )


def test_complex_batch_norm_whitens():
    norm = ComplexBatchNorm2d(3)
    mix = noise(3, 2, 2, seed=3)
    x = torch.einsum("cij,bjcft->bicft", mix, noise(8, 2, 3, 20, 20)) + noise(2, 3, 1, 1, seed=4)
    y = norm(x)
    for channel in range(3):
        pairs = y[:, :, channel].movedim(1, 0).flatten(1)
        # gamma starts at I / sqrt(2), so that the two parts together have variance 1.
        torch.testing.assert_close(torch.cov(pairs), 0.5 * torch.eye(2), atol=2e-3, rtol=0)
        torch.testing.assert_close(pairs.mean(1), torch.zeros(2), atol=1e-4, rtol=0)


def test_complex_batch_norm_learns_the_statistics_it_evaluates_with():
    norm = ComplexBatchNorm2d(2)
    x = 3 * noise(16, 2, 2, 20, 20) + 1
    for _ in range(100):
        trained = norm(x)
    norm.eval()
    torch.testing.assert_close(norm(x), trained, atol=1e-2, rtol=1e-2)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="mask"):
        DCUnet(layers=TINY_LAYERS, mask="soft")
    with pytest.raises(ValueError, match="kernel"):
        ConvAutoencoder(kernel=7)
    for wrong in (0, 41):
        with pytest.raises(ValueError, match="mfcc"):
            InformedDCUnet(wrong, [], layers=TINY_LAYERS)
    with pytest.raises(ValueError, match="levels"):
        DilatedContextNet(levels=0)
    for bins in (0, 13, 34):  # of 33
        with pytest.raises(ValueError, match="fine_bins"):
            UNet.from_preset("tiny", n_fft=64, hop=16, fine_bins=bins)
    with pytest.raises(ValueError, match="stride"):
        UNet([(4, (3, 3), (2, 1))])
