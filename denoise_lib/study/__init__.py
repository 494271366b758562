"""What the notebooks have in common: experiments, their results, and the questions asked of them.

Knows networks, never the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoise_lib import RATE
from denoise_lib.errors import UserError
from denoise_lib.paths import run_folder

if TYPE_CHECKING:
    from denoise_lib.data.corpora import Corpus
    from denoise_lib.study.experiment import Experiment


def open(
    notebook: str,
    profile: str,
    out: str | Path = "",
    *,
    speech: str = "default",
    rate: int = RATE,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    **options: Any,
) -> Experiment:
    """The experiment of a notebook: its corpus, its run, and how it trains and scores.

    Args:
        notebook: Its name, such as "03_wavenet".
        profile: Name of the set of parameters.
        out: Folder of the run; report/build/<profile>/<notebook> when empty.
        speech: Corpus, see :func:`denoise_lib.data.corpora.open_speech`.
        rate: Samples per second of its clips.
        fractions: Shares of its clips to train on, validate on and test on.
        options: Of :class:`~denoise_lib.study.experiment.Experiment`.

    What this corpus does not have, and what follows from its rate, is said on the page.

    Raises:
        UserError: The corpus cannot be opened, or is too small for the fractions.
    """
    from denoise_lib.data.corpora import open_speech
    from denoise_lib.display.show import note
    from denoise_lib.metrics.measures import brought_down
    from denoise_lib.names import heading
    from denoise_lib.study.experiment import Experiment
    from denoise_lib.study.run import Run

    corpus = open_speech(speech, rate, fractions)
    _refuse_too_small(corpus, fractions)
    run = Run(notebook, run_folder(notebook, profile, str(out)), profile)
    lab = Experiment(run, corpus, **options)
    if not corpus.split("unseen_voice"):
        note("This corpus keeps no voice out of the training, so no result is of an unheard one.")
    if down := brought_down(lab.metrics, rate):
        names = " and ".join(heading(each) for each in down)
        note(f"Clips have {rate} samples per second; {names} are taken of them at {RATE}.")
    return lab


def _refuse_too_small(corpus: Corpus, fractions: Sequence[float]) -> None:
    """Raise where a split that every notebook needs is empty, or too short to validate on."""
    from denoise_lib.study.experiment import VALIDATION_SECONDS

    found = {split: corpus.split(split) for split in ("train", "valid", "test")}
    counts = ", ".join(f"{split} {len(clips)}" for split, clips in found.items())
    if not all(found.values()):
        raise UserError(
            f"{corpus.name} is too small for the fractions {list(fractions)}: {counts} clips; "
            "add recordings, or set larger fractions"
        )
    for split in ("train", "valid"):
        longest = max(clip.samples for clip in found[split]) / corpus.rate
        if longest < VALIDATION_SECONDS:
            raise UserError(
                f"{corpus.name}: {counts} clips, and none of {split} lasts "
                f"{VALIDATION_SECONDS:g} s (the longest {longest:.1f} s): add longer recordings"
            )
