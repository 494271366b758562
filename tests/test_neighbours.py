"""How alike neighbours are, against NumPy and a signal whose correlation is known."""

import numpy as np
import pytest
import torch

from denoise_lib import Corruption
from denoise_lib.study.neighbours import FLOOR_DB, correlation, log_magnitude, mean_neighbourhood


def test_levels_are_re_the_largest_and_have_a_floor():
    level = log_magnitude(torch.tensor([[1 + 0j, 10j], [0j, 1e-6 + 0j]]))
    assert level[0].tolist() == pytest.approx([-20, 0])
    assert level[1].tolist() == [FLOOR_DB, FLOOR_DB]


@pytest.mark.parametrize("axis", ["time", "frequency"])
def test_correlation_is_numpys(axis):
    clips = [torch.randn(9, 11, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    clips = [clip.cumsum(0 if axis == "frequency" else 1) for clip in clips]
    measured = correlation(clips, axis, 3)
    centred = [(clip - clip.mean(1, keepdim=True)).numpy() for clip in clips]
    if axis == "frequency":
        centred = [clip.T for clip in centred]
    for distance, value in enumerate(measured):
        one = np.concatenate([clip[:, : clip.shape[1] - distance].ravel() for clip in centred])
        other = np.concatenate([clip[:, distance:].ravel() for clip in centred])
        assert value == pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-6)
    assert measured[0] == pytest.approx(1)


def test_a_moving_average_of_noise_correlates_as_it_overlaps():
    noise = torch.randn(40, 4003, generator=torch.Generator().manual_seed(0))
    smooth = noise.unfold(1, 4, 1).mean(-1)
    assert correlation([smooth], "time", 4) == pytest.approx([1, 0.75, 0.5, 0.25, 0], abs=0.02)
    assert correlation([smooth], "frequency", 2)[1:] == pytest.approx([0, 0], abs=0.02)


@pytest.mark.parametrize(
    ("clips", "axis", "complaint"),
    [
        ([torch.zeros(4, 4)], "phase", "axis"),
        ([torch.zeros(4, 4)], "time", "reach 4"),
        ([], "time", "at least one clip"),
    ],
)
def test_what_cannot_be_measured_is_refused(clips, axis, complaint):
    with pytest.raises(ValueError, match=complaint):
        correlation(clips, axis, 4)


def test_a_steady_tone_stands_still_in_its_own_phase():
    """A cosine in the middle of bin 20 with a phase of 1.1 rad; what is zeroed is a dip of 1."""
    procedure = Corruption(n_fft=64, hop=16)
    tone = torch.cos(2 * torch.pi * 20 * torch.arange(1600) / 64 + 1.1)
    spectrum = procedure.stft(tone[None])[0]
    centres = torch.zeros_like(spectrum, dtype=torch.bool)
    centres[20, 10:91:10] = True
    centres[2, 0] = True  # too near to an edge to count
    own, as_is = (
        mean_neighbourhood(spectrum, centres, procedure, 3, own_phase)
        for own_phase in (True, False)
    )
    torch.testing.assert_close(own[3], torch.ones(7), atol=1e-4, rtol=0)
    assert float(own[[0, 1, 2, 4, 5, 6]].abs().max()) < 1e-4
    # Frames start at multiples of 16 samples, 20 / 4 periods of the tone: the phase is 1.1 again,
    # but for the half frame before the first sample, another 10 periods.
    torch.testing.assert_close(as_is[3], torch.full((7,), np.cos(1.1)).float(), atol=1e-4, rtol=0)
    holed = spectrum.masked_fill(centres, 0) + 0.25 * spectrum * centres
    own = mean_neighbourhood(holed, centres, procedure, 3, own_phase=True)
    torch.testing.assert_close(own[3], torch.tensor([4, 4, 4, 1, 4, 4, 4.0]), atol=1e-3, rtol=0)
