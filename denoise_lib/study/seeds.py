"""The same experiment from several seeds: is a difference larger than what chance makes?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from denoise_lib.metrics.intervals import over_seeds
from denoise_lib.names import METRICS, heading
from denoise_lib.study.experiment import Experiment
from denoise_lib.study.run import Run
from denoise_lib.training.loop import Loss, Schedule

Variants = dict[str, tuple[Callable[[], nn.Module], Loss]]  # name -> network, loss


def train_seeds(
    lab: Experiment, variants: Variants, condition: str, schedule: Schedule, seeds: list[int]
) -> None:
    """Train every variant from every seed and score it on the test clips.

    A seed fixes initial weights, crops and training damage, the same for all variants; the test
    clips' damage is that of the experiment's own seed. Rows go to "<notebook>:seed <seed>".

    Args:
        variants: What to train, by the name in results.
        condition: "zero", "raise" or "both".
    """
    damage = lab.damage(condition)
    for seed in seeds:
        learner = replace(lab, seed=seed)
        for name, (network, loss) in variants.items():
            words = "_".join(name.replace(",", "").split())
            model = learner.train(
                learner.seeded(network), damage, schedule, f"{condition}_{words}_{seed}", loss=loss
            )
            where = f"{lab.run.name}:seed {seed}"
            lab.score(model, condition, damage, where, name=name, splits=("test",))


def compare_seeds(
    run: Run, a: str, b: str, condition: str, seeds: list[int], metric: str = "wsdr"
) -> dict:
    """Add how two variants of :func:`train_seeds` differ: each seed on its own, then over seeds.

    Returns:
        The measurement over seeds.
    """
    means = [
        run.compare(
            (f"{run.name}:seed {seed}", a),
            (f"{run.name}:seed {seed}", b),
            condition=condition,
            metric=metric,
            experiment=f"{run.name}:seed {seed}",
        )["mean"]
        for seed in seeds
    ]
    # Over the seeds that worked, the mean would flatter a variant that at times does not.
    mean, ci95 = (None, None) if None in means else over_seeds(means)
    return run.measure(
        f"difference of {heading(metric)} over seeds, {condition}",
        f"{a} minus {b}",
        mean,
        unit=METRICS[metric].unit,
        ci95=ci95,
        n=len(seeds),
        experiment=f"{run.name}:seeds",
    )
