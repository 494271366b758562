"""Masks, holes and harmonics on constructed cases whose answers are known."""

import pytest
import torch
from small_corpus import small_corpus

from denoise_lib import RATE, Corruption
from denoise_lib.display import spectra
from denoise_lib.models.baselines import Identity
from denoise_lib.names import label
from denoise_lib.study import masks
from denoise_lib.study.experiment import Experiment
from denoise_lib.study.run import Run

PROCEDURE = Corruption()


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def complex_noise(*shape):
    return torch.complex(noise(*shape), noise(*shape, seed=1))


class Times(torch.nn.Module):
    """Its input times a factor."""

    stride, context, rate = 1, 0, None

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, noisy):
        return self.factor * noisy


def test_every_coefficient_is_of_one_kind():
    spectrum = PROCEDURE.stft(0.05 * noise(1, 16000))
    positions = PROCEDURE.draw(spectrum, torch.Generator().manual_seed(0))
    found = masks.kinds(spectrum, positions, PROCEDURE)
    assert tuple(found) == masks.KINDS
    total = torch.stack(list(found.values())).sum(0)
    assert torch.equal(total == 0, positions.zeroed & positions.raised) and total.max() == 1
    zeroed, large, raised, small = (each.sum() / each.numel() for each in found.values())
    # 2 % are zeroed; raising draws half of the nine tenths that are smallest then, the zeroed ones
    # among them, and so some that were just below the largest tenth become part of the large.
    assert float(large) == pytest.approx(0.08, abs=1e-3)
    assert float(zeroed) == pytest.approx(0.01, abs=2e-3)
    assert float(raised) == pytest.approx(0.44, abs=2e-3)
    magnitude = spectrum.abs()
    assert magnitude[found["untouched large"]].min() > magnitude[found["untouched small"]].max()


def test_patch_around_one_coefficient_is_the_mask_there():
    noisy, mask = complex_noise(20, 30), complex_noise(20, 30) + 3
    centre = torch.zeros(20, 30, dtype=torch.bool)
    centre[9, 12] = True
    found = masks.patch(noisy, mask * noisy, centre, 3)
    torch.testing.assert_close(found.mask, mask[6:13, 9:16])
    torch.testing.assert_close(found.level, 20 * mask[6:13, 9:16].abs().log10())


def test_patches_add_up_weighted_by_power_and_end_at_the_edge():
    noisy, mask = complex_noise(8, 9), complex_noise(8, 9)
    centres = torch.zeros(8, 9, dtype=torch.bool)
    centres[4, 4] = centres[5, 7] = True
    both = masks.patch(noisy, mask * noisy, centres, 2)
    one = centres.clone()
    one[5, 7] = False
    parts = [masks.patch(noisy, mask * noisy, each, 2) for each in (one, centres & ~one)]
    torch.testing.assert_close((parts[0] + parts[1]).mask, both.mask)
    power = [noisy[4, 4].abs() ** 2, noisy[5, 7].abs() ** 2]
    middle = (mask[4, 4] * power[0] + mask[5, 7] * power[1]) / (power[0] + power[1])
    torch.testing.assert_close(both.mask[2, 2], middle)
    torch.testing.assert_close(both.mask[2, 4], mask[4, 6])  # the other one has no frame there
    assert not parts[1].power[:, 4].any()


@pytest.mark.parametrize(("factor", "returned"), [(1.0, 0.0), (2.0, -1.0), (0.25, 0.75)])
def test_a_hole_in_noise(factor, returned):
    """A factor answers to what is missing with (factor - 1) times minus that.

    With four frames to a sample and a rectangular window, a hole is a quarter of its coefficient.
    """
    clips = [0.05 * noise(24000), 0.05 * noise(20000, seed=2)]
    answer = masks.single_hole(Times(factor), clips, PROCEDURE, holes=2, reach=3, seed=0)
    assert answer.returned == pytest.approx(returned, abs=1e-3)
    assert answer.lost.shape == answer.added.shape == (7, 7)
    assert complex(answer.lost[3, 3]) == pytest.approx(0.25, abs=0.01)
    assert float(answer.lost.abs().max()) == float(answer.lost[3, 3].abs())
    torch.testing.assert_close(answer.added, (1 - factor) * answer.lost, atol=1e-4, rtol=1e-3)


def test_harmonics_of_a_tone_have_their_numbers():
    time = torch.arange(RATE) / RATE
    tone = 0.05 * sum(torch.sin(2 * torch.pi * 200 * k * time) / k for k in range(1, 9))
    numbers = masks.harmonic_numbers(torch.cat([tone, torch.zeros(RATE)]), PROCEDURE)
    assert numbers.shape == (321, 201)
    steady = numbers[:, 40:60]
    # 25 Hz to a bin: a harmonic every 8 bins, its own within 2 bins, then none.
    expected = torch.tensor([1, 1, 1, 2, 5, 7])
    assert torch.equal(steady[[7, 8, 9, 16, 40, 56]].mode(1).values, expected)
    assert not steady[[0, 4, 12, 20]].any()
    assert not numbers[:, 120:180].any(), "silence is not voiced"


def test_measures_of_a_network_that_does_nothing(tmp_path):
    lab = Experiment(Run("07_ideas", tmp_path), small_corpus(), max_seconds=1.0, metrics=["wsdr"])
    clips = lab.clips("test")[:2]
    patches, errors = masks.measure(lab, {"identity": Identity()}, clips, reach=2, highest=4)
    assert set(patches) == {(n, k) for n in ("clean", "identity") for k in masks.KINDS}
    for kind in masks.KINDS:
        torch.testing.assert_close(patches["identity", kind].level, torch.zeros(5, 5))
    assert float(patches["clean", "raised"].level[2, 2]) < -3
    assert float(patches["clean", "zeroed"].level[2, 2]) > 1
    assert torch.equal(errors["identity"], errors["noisy"]) and not errors["clean"].any()
    assert errors["noisy"].shape == (4,) and errors["noisy"].sum() > 0


def test_patches_are_drawn_on_one_scale_with_names():
    rows = {
        "zeroed": {"perfect": noise(5, 5), "unet": 2 * noise(5, 5)},
        "raised": {"perfect": noise(5, 5), "unet": noise(5, 5)},
    }
    figure = spectra.patches(rows, "mask, dB", bin_width=25, frame_step=10)
    *axes, bar = figure.axes
    assert [axis.get_title(loc="left") for axis in axes] == ["perfect", label("unet"), "", ""]
    assert len({axis.images[0].get_clim() for axis in axes}) == 1
    assert "zeroed" in axes[0].get_ylabel() and "ms" in axes[2].get_xlabel()
    assert bar.get_ylabel() == "mask, dB"
