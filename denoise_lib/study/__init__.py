"""What the notebooks have in common: experiments, their results, and the questions asked of them.

Knows networks, never the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoise_lib.paths import run_folder

if TYPE_CHECKING:
    from denoise_lib.study.experiment import Experiment


def open(
    notebook: str,
    profile: str,
    out: str | Path = "",
    *,
    speech: str = "default",
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    **options: Any,
) -> Experiment:
    """The experiment of a notebook: its corpus, its run, and how it trains and scores.

    Args:
        notebook: Its name, such as "03_wavenet".
        profile: Name of the set of parameters.
        out: Folder of the run; report/build/<profile>/<notebook> when empty.
        speech: Corpus, see :func:`denoise_lib.data.corpora.open_speech`.
        fractions: Shares of its clips to train on, validate on and test on.
        options: Of :class:`~denoise_lib.study.experiment.Experiment`.

    Raises:
        UserError: The corpus cannot be opened.
    """
    from denoise_lib.data.corpora import open_speech
    from denoise_lib.study.experiment import Experiment
    from denoise_lib.study.run import Run

    run = Run(notebook, run_folder(notebook, profile, str(out)), profile)
    return Experiment(run, open_speech(speech, fractions=fractions), **options)
