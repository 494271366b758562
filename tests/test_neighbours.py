"""How alike neighbours are, against NumPy and a signal whose correlation is known."""

import numpy as np
import pytest
import torch

from denoise_lib.neighbours import FLOOR_DB, correlation, log_magnitude


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
        ([], "time", "no clips"),
    ],
)
def test_what_cannot_be_measured_is_refused(clips, axis, complaint):
    with pytest.raises(ValueError, match=complaint):
        correlation(clips, axis, 4)
