"""Lines of the tables that notebooks show, from the rows of a run."""

from __future__ import annotations

from denoise_lib.names import label


def by_measure(run, models, condition, metrics, *, experiment, split="test"):
    """Lines of a table: a system each, then its mean in every measure.

    Args:
        run: :class:`denoise_lib.study.run.Run` that holds the rows.
        models: Names of the systems, in the order of the lines.
    """
    return [
        [label(model)]
        + [run.value(condition, model, each, split, experiment)["denoised"] for each in metrics]
        for model in models
    ]


def by_condition(run, models, conditions, metric="wsdr", *, experiment, split="test"):
    """Lines of a table: a condition each, then the noisy mean and that of every system.

    Args:
        run: :class:`denoise_lib.study.run.Run` that holds the rows.
        models: Names of the systems, in the order of the columns.
    """
    lines = []
    for condition in conditions:
        rows = [run.value(condition, model, metric, split, experiment) for model in models]
        lines.append([condition, rows[0]["noisy"], *(row["denoised"] for row in rows)])
    return lines
