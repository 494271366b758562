"""Undoing the fixed damage exactly where its positions are known: a linear inverse problem.

With M the coefficients that were kept and c the value written into the raised ones, the damage is
``y = iSTFT(M STFT(x)) + iSTFT(c)``, affine in x. Frames overlap, so every sample contributes to
several frames, and the other frames often retain what one frame has lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision

from denoise_lib.damage.corruption import Corruption, Positions
from denoise_lib.data.crops import clip_generator
from denoise_lib.models.base import Denoiser
from denoise_lib.study.experiment import Experiment
from denoise_lib.study.run import Row


def invert(
    damaged: Tensor, positions: Positions, procedure: Corruption, iterations: int = 60
) -> Tensor:
    """The waveform that the procedure would turn into ``damaged``, given what it touched.

    Conjugate gradients on ``S* M S x = D (y - iSTFT(c))``, where S is the STFT, S* its adjoint and
    D = S* S, a diagonal of window sums; D preconditions, so that with M = 1 one step is enough.

    Args:
        damaged: Waveforms, (batch, time).
        positions: Touched coefficients, as :meth:`Corruption.draw` gave them.
        procedure: The damage they belong to.
        iterations: Steps of conjugate gradients.

    Shape:
        (batch, time) -> (batch, time), in the precision of ``damaged``.

    Raises:
        ValueError: The positions are not those of waveforms of this length.

    References:
        Hestenes and Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems", 1952.
        Griffin and Lim, 1984, for iSTFT as the least-squares inverse ``D^-1 S*``.
    """
    y = damaged.double()
    length = y.shape[-1]
    shape = procedure.stft(y[:1]).shape[1:]
    if positions.raised.shape[1:] != shape:
        raise ValueError(
            f"invert: a waveform of {length} samples has {tuple(shape)} coefficients, "
            f"positions have {tuple(positions.raised.shape[1:])}"
        )
    kept = ~(positions.zeroed | positions.raised)
    written = positions.raised.to(torch.complex128) * procedure.value
    weights = _window_sums(procedure, length)

    def keep(x: Tensor) -> Tensor:
        """D^-1 S* M S x, which is symmetric in the inner product that D weights."""
        return procedure.istft(procedure.stft(x) * kept, length)

    def inner(one: Tensor, other: Tensor) -> Tensor:
        return (weights * one * other).sum(-1, keepdim=True)

    target = y - procedure.istft(written, length)
    x = _conjugate_gradients(keep, inner, target, target - keep(target), iterations)
    return x.to(damaged)


class Found(NamedTuple):
    """What :func:`find` says about a damaged clip.

    Args:
        evidence: About 1 for touched coefficients and 0 for others, (batch, freq, frames).
        candidates: Where that is evidence of zeroing, and where of raising.
        waveform: The estimate, as far as the procedure explains the noisy clip, (batch, time).
    """

    evidence: Tensor
    candidates: Positions
    waveform: Tensor


def find(
    noisy: Tensor,
    estimate: Tensor,
    procedure: Corruption,
    ridge: float = 0.03,
    iterations: int = 40,
) -> Found:
    """Find what was touched from what a network takes away, by least squares.

    With t = 1 for touched coefficients, else 0, and c what is written into them, the damage is
    ``y = x + iSTFT(t (c - STFT(x)))``. The estimate stands for x; then least squares give t, drawn
    towards the procedure's shares by ``ridge``, by conjugate gradients. The estimate's largest
    coefficients can only have been zeroed, the others only raised; that the procedure may raise
    some of those that it zeroed is neglected. What the t so found writes is taken from the noisy
    clip again: that is the estimate, as far as the procedure can explain it.

    Args:
        noisy, estimate: (batch, time).
        procedure: The damage that was made.
        ridge: Weight of the shares against the waveform; more of it for a worse estimate.
        iterations: Steps of conjugate gradients.
    """
    length = noisy.shape[-1]
    spectrum = procedure.stft(estimate)
    magnitude = spectrum.abs()
    count = round((1 - procedure.quantile) * magnitude[0].numel())
    large = magnitude >= magnitude.flatten(1).topk(count).values[:, -1, None, None]
    candidates = Positions(large & (procedure.zero > 0), ~large & (procedure.raised > 0))
    change = torch.where(large, 0, procedure.value) - spectrum
    change = change * (candidates.zeroed | candidates.raised)
    size = change.abs().clamp_min(1e-9)  # the unknown is t times this: what is small weighs little
    direction = change / size

    sides = torch.full((spectrum.shape[1], 1), 2.0).to(magnitude)  # bins that have a mirror image
    sides[0] = 1
    if procedure.n_fft % 2 == 0:
        sides[-1] = 1
    scale = procedure.n_fft / procedure.hop / _window_sums(procedure, length).to(noisy) / 2

    def written(amount: Tensor) -> Tensor:
        return procedure.istft(amount * direction, length)

    def adjoint(waveform: Tensor) -> Tensor:
        """Of ``written``, times a constant that makes ``ridge`` a number near 1."""
        return sides * (direction.conj() * procedure.stft(waveform * scale)).real

    def inner(one: Tensor, other: Tensor) -> Tensor:
        return (one * other).sum((1, 2), keepdim=True)

    amount = torch.where(large, procedure.zero, procedure.raised) * size
    amount = _conjugate_gradients(
        lambda way: adjoint(written(way)) + ridge * way,
        inner,
        amount,
        adjoint(noisy - estimate - written(amount)),
        iterations,
    )
    return Found(amount / size, candidates, noisy - written(amount))


def misjudged(positions: Positions, share: float, generator: torch.Generator) -> Positions:
    """Positions of which some are wrong: a share is missed, as many others are taken for touched.

    Args:
        positions: The true ones, (batch, freq, frames) each.
        share: Of the zeroed and of the raised coefficients each that is mistaken, in [0, 1].
        generator: Chooses them.
    """
    touched = positions.zeroed | positions.raised
    zeroed = _exchange(positions.zeroed, ~touched, share, generator)
    return Positions(zeroed, _exchange(positions.raised, ~touched & ~zeroed, share, generator))


def _exchange(mask: Tensor, others: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """``mask`` with a share of its entries moved to places among ``others``."""
    count = torch.round(share * mask.flatten(1).sum(1, keepdim=True))
    keys = torch.rand(mask.shape, generator=generator, dtype=torch.float64).flatten(1)

    def first(candidates: Tensor) -> Tensor:
        rank = keys.masked_fill(~candidates.flatten(1), torch.inf).argsort(1).argsort(1)
        return (rank < count).view_as(mask) & candidates

    return (mask & ~first(mask)) | first(others)


def _conjugate_gradients(
    operator: Callable[[Tensor], Tensor],
    inner: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    residual: Tensor,
    iterations: int,
) -> Tensor:
    """Solve ``operator(x) = b`` from a start x, whose residual ``b - operator(x)`` is given.

    Args:
        operator: Linear, symmetric and positive in the inner product.
        inner: Inner product of two tensors like x for each of the batch, shaped to multiply x.
    """
    tiny = torch.finfo(x.dtype).tiny
    direction, size = residual.clone(), inner(residual, residual)
    for _ in range(iterations):
        turned = operator(direction)
        step = size / inner(direction, turned).clamp_min(tiny)
        x = x + step * direction
        residual = residual - step * turned
        previous, size = size, inner(residual, residual)
        direction = residual + size / previous.clamp_min(tiny) * direction
    return x


def _window_sums(procedure: Corruption, length: int) -> Tensor:
    """Diagonal of S* S up to a factor: squared windows added up over the frames, (time,)."""
    window = procedure.window_like(torch.zeros((), dtype=torch.float64)).square()
    frames = 1 + length // procedure.hop
    sums = torch.nn.functional.fold(
        window[None, :, None].expand(1, -1, frames).contiguous(),
        (1, procedure.n_fft + (frames - 1) * procedure.hop),
        (1, procedure.n_fft),
        stride=(1, procedure.hop),
    )[0, 0, 0]
    return sums[procedure.n_fft // 2 :][:length]


def score_inverted(
    lab: Experiment,
    condition: str,
    wrong: float = 0.0,
    experiment: str | None = None,
    **parameters: Any,
) -> Row:
    """Score exact inversion from the positions, a share of them wrong; test clips alone.

    Args:
        condition: "zero", "raise" or "both".
        wrong: Share of the positions that is misjudged, in [0, 1].
        parameters: Of the damage, where they are not the fixed one's, such as ``hop``.

    Returns:
        The row of wSDR, of the model "inversion".
    """
    procedure, records = Corruption.for_condition(condition, **parameters), []
    for clip in lab.clips("test"):
        clean, noisy, positions = lab.damaged(clip, procedure)
        known = misjudged(positions, wrong, clip_generator(f"wrong/{clip.name}", lab.seed))
        records.append(lab.record(clip, invert(noisy, known, procedure), clean, noisy))
    rows = lab.run.add(
        records, condition=condition, model="inversion", split="test", experiment=experiment
    )
    return next(row for row in rows if row["metric"] == "wsdr")


def score_found(
    lab: Experiment, model: Denoiser | None, condition: str, experiment: str, name: str
) -> dict[str, dict[str, float]]:
    """Find the positions from what a model takes away, see :func:`find`; test clips alone.

    Without a model the clean clip stands for its output. Rows of the model "<name>" are its own
    scores, of "<name>, explained" those of what the positions so found explain. Measurements of
    each kind of position are average precision, precision and recall (evidence of 0.5 and more
    counts as found), and the share of touched ones among the candidates, which is the average
    precision of a guess; the clips' candidates are pooled.

    Returns:
        By kind, "zeroed" and "raised", the share and the three measures; without those kinds that
        the condition does not have.
    """
    procedure = Corruption.for_condition(condition)
    plain, explained, kinds = [], [], {"zeroed": [], "raised": []}
    for clip in lab.clips("test"):
        clean, noisy, positions = lab.damaged(clip, procedure)
        estimate = clean
        if model:
            estimate = lab.denoised(model, noisy[0])[None]
        found = find(noisy, estimate, procedure)
        plain.append(lab.record(clip, estimate, clean, noisy))
        explained.append(lab.record(clip, found.waveform, clean, noisy))
        for kind, seen in kinds.items():
            where = getattr(found.candidates, kind)
            seen.append((found.evidence[where], getattr(positions, kind)[where]))
    for system, records in ((name, plain), (f"{name}, explained", explained)):
        lab.run.add(records, condition=condition, model=system, split="test", experiment=experiment)
    measured = {}
    for kind, seen in kinds.items():
        evidence, truth = map(torch.cat, zip(*seen, strict=True))
        if not len(truth):
            continue
        measured[kind] = _detection(evidence, truth)
        for what, value in measured[kind].items():
            lab.run.measure(
                f"{what}, {kind} positions",
                f"{name}, {condition}",
                value,
                n=len(plain),
                experiment=experiment,
            )
    return measured


def _detection(evidence: Tensor, truth: Tensor) -> dict[str, float]:
    """How well evidence, found from 0.5 on, tells what is true; both (n,)."""
    said = evidence >= 0.5
    hits = float((truth & said).sum())
    return {
        "share": float(truth.float().mean()),
        "average precision": float(binary_average_precision(evidence, truth.int())),
        "precision": hits / max(1, int(said.sum())),
        "recall": hits / max(1, int(truth.sum())),
    }
