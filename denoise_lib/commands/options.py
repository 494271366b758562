"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from denoise_lib.names import CONDITIONS

DENOISER = "name of a pretrained model, a checkpoint, or a baseline such as rnnoise"
TRAINED = ", ".join(name for name, each in CONDITIONS.items() if not each.away)
AWAY = "; ".join(name for name, each in CONDITIONS.items() if each.away)

Speech = Annotated[str, typer.Option(help="corpus: default, wide, or a folder")]
Noise = Annotated[str, typer.Option(help="noise recordings: default, wide, or a folder")]
Snr = Annotated[float, typer.Option(help="speech to street noise, dB")]
