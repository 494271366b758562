"""What a network learned: its mask around touched coefficients, its answer to a single hole."""

from __future__ import annotations

from typing import NamedTuple

import librosa
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from denoise_lib import RATE
from denoise_lib.damage.corruption import Corruption, Positions
from denoise_lib.data.corpora import Clip
from denoise_lib.data.crops import clip_generator
from denoise_lib.models.base import Denoiser
from denoise_lib.models.inference import process
from denoise_lib.study.experiment import Experiment

KINDS = ("zeroed", "untouched large", "raised", "untouched small")
LOWEST_PITCH, HIGHEST_PITCH = 65.0, 400.0  # Hz, searched for


def kinds(spectrum: Tensor, positions: Positions, procedure: Corruption) -> dict[str, Tensor]:
    """What became of every coefficient, as one mask for each of ``KINDS``.

    Large are the coefficients from which the zeroed ones were drawn. A coefficient that was zeroed
    and then raised is in none of the four.

    Args:
        spectrum: Clean STFT, (batch, freq, frames).
        positions: What was touched in it.
    """
    magnitude = spectrum.abs().flatten(1)
    rank = magnitude.argsort(1, descending=True).argsort(1).view(spectrum.shape)
    large = rank < round((1 - procedure.quantile) * magnitude.shape[1])
    zeroed, raised = positions
    masks = (zeroed & ~raised, large & ~zeroed & ~raised, raised & ~zeroed)
    return dict(zip(KINDS, (*masks, ~large & ~raised & ~zeroed), strict=True))


class Patch(NamedTuple):
    """Sums over centres, (2 reach + 1, 2 reach + 1), (bins, frames) away from the centre."""

    products: Tensor  # of estimate and conjugate noisy coefficient
    power: Tensor  # of the noisy coefficient

    def __add__(self, other: Patch) -> Patch:
        return Patch(self.products + other.products, self.power + other.power)

    @property
    def mask(self) -> Tensor:
        """The mean mask, each coefficient weighted by its noisy power; complex."""
        return self.products / self.power.clamp_min(1e-12)

    @property
    def level(self) -> Tensor:
        """Magnitude of the mean mask, dB."""
        return 20 * torch.log10(self.mask.abs().clamp_min(1e-6))


def patch(noisy: Tensor, estimate: Tensor, centres: Tensor, reach: int) -> Patch:
    """Mask of a network around certain coefficients, laid on top of each other.

    The mask is estimate / noisy. Its mean is weighted by the power of the noisy coefficient, which
    makes it the one factor that comes nearest to the estimate in the least-squares sense;
    unweighted, coefficients near zero would decide it.

    Args:
        noisy, estimate: STFTs of one clip, complex (freq, frames).
        centres: Which coefficients to align on, boolean (freq, frames).
        reach: Half the side of the patch, bins and frames. Beyond the edges nothing counts.
    """
    products, power = estimate * noisy.conj(), noisy.abs().square()
    rows, columns = centres.nonzero(as_tuple=True)
    sums = []
    for each in (products, power):
        padded = F.pad(each, (reach, reach, reach, reach))
        windows = padded.unfold(0, 2 * reach + 1, 1).unfold(1, 2 * reach + 1, 1)
        total = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=padded.dtype)
        for start in range(0, len(rows), 4096):  # patches are gathered; not all at once
            some = slice(start, start + 4096)
            total += windows[rows[some], columns[some]].sum(0)
        sums.append(total)
    return Patch(*sums)


class Response(NamedTuple):
    """Mean over holes, each divided by the coefficient taken out; complex (bins, frames)."""

    lost: Tensor
    added: Tensor
    returned: float  # share of what was lost that comes back, along the lost waveform


@torch.inference_mode()
def single_hole(
    model: Denoiser, clips: list[Tensor], procedure: Corruption, holes: int, reach: int, seed: int
) -> Response:
    """What a network adds when one large coefficient of clean speech is set to zero.

    The answer is the difference of what it adds to the speech with the hole and to the whole one,
    so that its errors on clean speech do not count. Each hole is made in a stretch of 1 s, at its
    middle.

    Args:
        clips: Clean waveforms at 16 kHz, (time,).
        holes: Number of holes in each clip, drawn among the largest coefficients.
        reach: Half the side of the patch, bins and frames.
        seed: Fixes the choice.
    """
    half = 50 * procedure.hop  # samples on either side
    lost, added, shares = [], [], []
    for number, clip in enumerate(clips):
        padded = F.pad(clip, (half, half))
        rows, columns = _large_places(procedure.stft(clip[None])[0], procedure, reach)
        generator = torch.Generator().manual_seed(1000 * seed + number)
        for chosen in torch.randperm(len(rows), generator=generator)[:holes].tolist():
            row, start = int(rows[chosen]), int(columns[chosen]) * procedure.hop
            whole = padded[None, start : start + 2 * half]
            spectrum = procedure.stft(whole)
            middle = spectrum.shape[-1] // 2
            factor = spectrum[0, row, middle].clone()
            spectrum[0, row, middle] = 0
            holed = procedure.istft(spectrum, whole.shape[-1])
            both = torch.cat([holed, whole])
            answers = torch.stack([process(model, each, rate=RATE) for each in both]) - both
            pair = whole - holed, answers[:1] - answers[1:]
            near = slice(row - reach, row + reach + 1), slice(middle - reach, middle + reach + 1)
            for wave, into in zip(pair, (lost, added), strict=True):
                into.append(procedure.stft(wave)[0][near] / factor)
            shares.append(float((pair[0] * pair[1]).sum() / pair[0].square().sum()))
    return Response(torch.stack(lost).mean(0), torch.stack(added).mean(0), float(np.mean(shares)))


def _large_places(spectrum: Tensor, procedure: Corruption, reach: int) -> tuple[Tensor, Tensor]:
    """Bins and frames of the largest coefficients that are ``reach`` bins from either end."""
    magnitude = spectrum.abs()
    count = round((1 - procedure.quantile) * magnitude.numel())
    large = magnitude >= magnitude.flatten().topk(count).values[-1]
    large[:reach] = False
    large[-reach:] = False
    return large.nonzero(as_tuple=True)


def harmonic_numbers(clean: Tensor, procedure: Corruption) -> Tensor:
    """Number of the harmonic nearest to each coefficient, (freq, frames); 0 where none is.

    A coefficient belongs to a harmonic when it is within a quarter of the fundamental of it, in a
    voiced frame.

    Args:
        clean: (time,).

    References:
        Mauch, Dixon, "pYIN: A Fundamental Frequency Estimator Using Probabilistic Threshold
        Distributions", ICASSP 2014, in librosa's version.
    """
    pitch, voiced, _ = librosa.pyin(
        clean.numpy(),
        fmin=LOWEST_PITCH,
        fmax=HIGHEST_PITCH,
        sr=RATE,
        frame_length=1024,
        hop_length=procedure.hop,
        resolution=0.2,
    )
    pitch = torch.from_numpy(np.where(voiced, pitch, np.inf)).float()
    bins = torch.arange(procedure.n_fft // 2 + 1) * (RATE / procedure.n_fft)
    ratio = bins[:, None] / pitch  # (freq, frames)
    nearest = ratio.round()
    return torch.where((ratio - nearest).abs() <= 0.25, nearest, 0).long()


def error_by_harmonic(
    clean: Tensor,
    waveform: Tensor,
    centres: Tensor,
    numbers: Tensor,
    procedure: Corruption,
    highest: int,
) -> Tensor:
    """Energy of a waveform's error at certain coefficients, by harmonic: (highest,), from 1 on.

    Args:
        clean, waveform: (time,).
        centres: Which coefficients count, (freq, frames).
        numbers: From :func:`harmonic_numbers`.
    """
    error = procedure.stft((waveform - clean)[None])[0].abs().square()
    return torch.stack([error[centres & (numbers == each)].sum() for each in range(1, highest + 1)])


def measure(
    lab: Experiment, models: dict[str, Denoiser], clips: list[Clip], reach: int, highest: int
) -> tuple[dict[tuple[str, str], Patch], dict[str, Tensor]]:
    """Masks around coefficients of each kind, and errors by harmonic at the zeroed ones.

    Damage is zeroing and raising. Beside the networks stands "clean", what would be perfect, and in
    the errors "noisy", what they are given.

    Args:
        models: By name.
        reach: Of :func:`patch`.
        highest: Last harmonic.

    Returns:
        Patches by (name, kind), and energies (highest,) by name, summed over the clips.
    """
    procedure = Corruption()
    patches: dict[tuple[str, str], Patch] = {}
    errors: dict[str, Tensor] = {}
    for clip in clips:
        clean = lab.clean(clip)
        noisy = procedure(clean, clip_generator(clip.name, lab.seed))
        spectrum = procedure.stft(clean[None])
        positions = procedure.draw(spectrum, clip_generator(clip.name, lab.seed))
        centres = {kind: each[0] for kind, each in kinds(spectrum, positions, procedure).items()}
        numbers = harmonic_numbers(clean, procedure)
        waves = {"noisy": noisy, "clean": clean}
        waves |= {name: lab.denoised(model, noisy) for name, model in models.items()}
        spectra = {name: procedure.stft(wave[None])[0] for name, wave in waves.items()}
        for name, wave in waves.items():
            error = error_by_harmonic(clean, wave, centres["zeroed"], numbers, procedure, highest)
            errors[name] = errors.get(name, 0) + error
            for kind, where in centres.items() if name != "noisy" else ():
                one = patch(spectra["noisy"], spectra[name], where, reach)
                patches[name, kind] = patches[name, kind] + one if (name, kind) in patches else one
    return patches, errors
