"""The benchmark: what it compares computes the same, and a ratio is what it says."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from denoise_lib import RATE
from denoise_lib.damage.corruption import Corruption
from denoise_lib.models import DCUnet
from denoise_lib.models.base import Denoiser
from denoise_lib.models.baselines import Gain

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.bench import inference, obvious_damage, timing
from tools.bench.__main__ import stages
from tools.bench.plain import FourConvolutions, plain

LAYERS = [(3, (5, 3), (2, 2)), (4, (3, 3), (2, 1))]


def test_the_plain_formulation_computes_the_same_with_the_same_gradients():
    torch.manual_seed(0)
    model = DCUnet(LAYERS).double()
    for norm in (*model.encoder_norms, *model.decoder_norms):
        norm.eval()  # its running mean would differ by the second pass
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    other = plain(model)
    assert sum(isinstance(each, FourConvolutions) for each in other.modules()) == 4
    noisy = 0.05 * torch.randn(2, 2000, dtype=torch.float64)
    outputs = [each(noisy) for each in (model, other)]
    assert (outputs[0] - noisy).abs().max() > 1e-3
    torch.testing.assert_close(*outputs)
    for each in outputs:
        each.square().sum().backward()
    complex_grad = model.encoder[0].weight.grad
    torch.testing.assert_close(other.encoder[0].real.grad, complex_grad[0])
    torch.testing.assert_close(other.encoder[0].imaginary.grad, complex_grad[1])


@pytest.mark.parametrize("condition", ["zero", "raise", "both"])
def test_the_obvious_loop_does_the_same_damage(condition):
    """Where all large, or all small coefficients change, nothing is left to chance."""
    procedure = Corruption.for_condition(condition, zero=1.0, raised=1.0)
    waveform = 0.05 * torch.randn(4800, dtype=torch.float64)
    expected = procedure(waveform).numpy()
    found = obvious_damage.damage(waveform.numpy(), procedure, np.random.default_rng(0))
    assert np.abs(expected - waveform.numpy()).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_obvious_loop_draws_as_many_as_the_damage():
    """The waveform is spectrum enough where no frames overlap: what was written is counted."""
    procedure = Corruption(n_fft=64, hop=64, value=7.0)
    waveform = 0.05 * np.random.default_rng(1).standard_normal(64 * 40)
    found = obvious_damage.damage(waveform, procedure, np.random.default_rng(0))
    frames = np.fft.rfft(np.pad(found, 32).reshape(-1, 64))
    total = frames.size
    raised = round(0.5 * (total - round(0.1 * total)))
    zeros = round(0.2 * round(0.1 * total))
    inner = frames[1:-1]  # the outer frames are half outside, where nothing is kept
    outside = frames.size - inner.size
    assert 0 <= raised - np.isclose(inner, 7).sum() <= outside
    assert 0 <= zeros - np.isclose(inner, 0).sum() <= outside


def test_ratios_are_taken_round_by_round():
    """A machine that gets slower while it measures changes no ratio."""
    slower = iter(range(1, 100))
    now = {"x": 0}

    def one():
        now["x"] = next(slower)
        return float(now["x"])

    times = timing.in_turn({"one": one, "two": lambda: 2.0 * now["x"]}, rounds=5)
    assert times["one"] == [2.0, 3.0, 4.0, 5.0, 6.0], "the first round is not counted"
    (row,) = timing.ratios(times, "one", extra="y")
    assert (row["what"], row["to"], row["extra"], row["rounds"]) == ("two", "one", "y", 5)
    assert row["low"] == row["ratio"] == row["high"] == 2.0


def test_what_a_call_returns_is_no_time_unless_it_is_a_float():
    now = iter(range(100))
    times = timing.in_turn({"a": lambda: torch.ones(3)}, 2, clock=lambda: float(next(now)))
    assert times == {"a": [1.0, 1.0]}


class Ahead(Denoiser):
    """An output sample depends on what comes a given number of samples later."""

    name = "ahead"

    def __init__(self, samples=480, whole=False):
        super().__init__()
        self.samples, self.whole, self.context = samples, whole, samples

    def forward(self, noisy):
        later = torch.nn.functional.pad(noisy, (0, self.samples))[:, self.samples :]
        return noisy + later + (noisy.abs().mean() if self.whole else 0)


def test_look_ahead_is_found():
    assert inference.look_ahead(Gain(0.5)) == 0
    assert inference.look_ahead(Ahead(480)) == pytest.approx(1000 * 480 / RATE)
    assert inference.look_ahead(Ahead(480, whole=True)) is None


def test_stages_are_shares_of_the_report(tmp_path):
    from denoise_lib.files import write_json

    for name, seconds in (("01_a", 30), ("02_b", 90)):
        (tmp_path / name).mkdir()
        run = {"notebook": name, "seconds": seconds, "threads": 1, "peak_memory_mib": 500}
        write_json(tmp_path / name / "run.json", run)
    assert [(row["what"], row["share"]) for row in stages(tmp_path)] == [
        ("01_a", 0.25),
        ("02_b", 0.75),
    ]
