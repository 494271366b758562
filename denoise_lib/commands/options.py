"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from denoise_lib import __version__
from denoise_lib.names import CONDITIONS

DENOISER = "name of a pretrained model, a checkpoint, or a baseline such as rnnoise"
TRAINED = ", ".join(name for name, each in CONDITIONS.items() if not each.away)
AWAY = "; ".join(name for name, each in CONDITIONS.items() if each.away)

Speech = Annotated[str, typer.Option(help="corpus: default, wide, or a folder")]
Noise = Annotated[str, typer.Option(help="noise recordings: default, wide, or a folder")]
Rate = Annotated[
    int,
    typer.Option(
        help="samples per second; others than 16000 work only with the conditions both, zero, "
        "raise and street",
        min=8000,
        max=192_000,
    ),
]
NFft = Annotated[
    int,
    typer.Option(
        help="frame of the fixed damage, samples; 0: 40 ms; the original's is 2048 at 48000 Hz",
        min=0,
    ),
]
Hop = Annotated[
    int, typer.Option(help="from frame to frame, samples; 0: 10 ms; the original's is 512", min=0)
]
Snr = Annotated[float, typer.Option(help="SNR of speech to street noise, dB")]


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"denoise {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_say_version, is_eager=True, help="print the version")
]
