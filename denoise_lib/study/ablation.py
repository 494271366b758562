"""What moves wSDR: U-Nets that differ in one thing, and other networks, trained alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from denoise_lib.display.mean import Mean
from denoise_lib.models import DCUnet, DilatedContextNet, UNet
from denoise_lib.models.base import find
from denoise_lib.study.experiment import Experiment
from denoise_lib.study.verdicts import with_interval
from denoise_lib.training.loop import Loss, Schedule
from denoise_lib.training.losses import (
    absolute_and_wsdr_loss,
    energy_conserving_loss,
    si_sdr_loss,
    touched_loss,
    wsdr_loss,
)


@dataclass(frozen=True)
class Variant:
    """One line of the ablation.

    Args:
        make: Makes the untrained network.
        loss: What it is trained with.
        longer: How many times as long the crops are; there are as many times fewer in a batch,
            but at least one.
    """

    make: Callable[[], nn.Module] = UNet
    loss: Loss = wsdr_loss
    longer: int = 1


def _small(**changes: Any) -> Callable[[], DCUnet]:
    return lambda: DCUnet.from_preset("small", **changes)


VARIANTS = {
    "unet": Variant(),
    # What it reads.
    "unet, neighbours as they are": Variant(lambda: UNet(own_phase=False)),
    "unet, frames of 32 ms": Variant(lambda: UNet(n_fft=512, hop=128, fine_bins=64)),
    "unet, frames half a hop off": Variant(lambda: UNet(offset=80)),
    # What it writes.
    "unet, factor alone": Variant(lambda: UNet(writes=["factor"])),
    "unet, term alone": Variant(lambda: UNet(writes=["term"])),
    # Where, how wide and how deep it is fine.
    "unet, fine below 50 Hz alone": Variant(lambda: UNet(fine_bins=2)),
    "unet, fine below 3.2 kHz": Variant(lambda: UNet(fine_bins=128)),
    "unet, half as wide": Variant(lambda: UNet(fine_channels=24)),
    "unet, a third as deep": Variant(lambda: UNet(fine_blocks=2)),
    # What it is trained with.
    "unet, SI-SDR loss": Variant(loss=si_sdr_loss),
    "unet, absolute error": Variant(loss=energy_conserving_loss),
    "unet, absolute error and wSDR": Variant(loss=absolute_and_wsdr_loss),
    "unet, error of what was touched": Variant(loss=touched_loss),
    "unet, crops twice as long": Variant(longer=2),
    # Complex convolutions or real ones, and the form of the mask.
    "dcunet": Variant(_small()),
    "dcunet, real convolutions": Variant(_small(tied=False)),
    "dcunet, bounded mask": Variant(_small(mask="polar")),
    "dcunet, no compression": Variant(_small(compression=1.0)),
    # No spectrogram at all.
    "germain": Variant(DilatedContextNet),
}


def named(names: list[str]) -> dict[str, Variant]:
    """Lines of the ablation by their names, all of ``VARIANTS`` when there are none.

    A name that is no line is a network's, with its default arguments.

    Raises:
        UserError: There is no such network.
    """
    return {
        name: VARIANTS[name] if name in VARIANTS else Variant(find(name))
        for name in names or VARIANTS
    }


def ablation(
    lab: Experiment, schedule: Schedule, variants: dict[str, Variant] = VARIANTS
) -> list[list]:
    """Train each variant on both changes and score it on validation clips.

    Test clips have no part in it, since it is by this table that a network is chosen. Rows go to
    "<notebook>:ablation", and so does how far each variant is from the first, clip by clip.

    Returns:
        Lines of a table: name, parameters, seconds of training, the means of the experiment's
        measures, and the difference from the first in wSDR; the noisy clips come first.
    """
    damage, lines, first = lab.damage("both"), [], next(iter(variants))
    experiment = f"{lab.run.name}:ablation"
    for name, variant in variants.items():
        learner = replace(
            lab, crop=lab.crop * variant.longer, batch=max(1, lab.batch // variant.longer)
        )
        key = "ablation_" + "_".join(name.replace(",", "").split())
        model = learner.train(
            learner.seeded(variant.make), damage, schedule, key, loss=variant.loss
        )
        lab.score(model, "both", damage, experiment, name=name, splits=("valid",))
        rows = [
            lab.run.value("both", name, metric, split="valid", experiment=experiment)
            for metric in lab.metrics
        ]
        if not lines:
            lines.append(["noisy", None, None, *(Mean(row, "noisy") for row in rows), None])
        seconds = lab.histories[key][-1]["seconds"]
        lab.run.measure("training time", name, seconds, unit="s", experiment=experiment)
        count = sum(each.numel() for each in model.parameters())
        far = None
        if name != first:
            pair = ((experiment, name), (experiment, first))
            row = lab.run.compare(*pair, condition="both", split="valid", experiment=experiment)
            far = with_interval(row, 4)
        lines.append([name, count, f"{seconds:.0f}", *map(Mean, rows), far])
    return lines
