"""`denoise enhance`: a recording in, a denoised one out."""

import math
from pathlib import Path
from typing import Annotated

import typer

from denoise_lib.commands.options import DENOISER
from denoise_lib.errors import UserError

WRITABLE = (".wav", ".flac")


def enhance(
    source: Annotated[Path, typer.Argument(help="noisy recording, any format")],
    target: Annotated[Path, typer.Argument(help="where to write, .wav or .flac")],
    model: Annotated[str, typer.Option(help=DENOISER)] = "speech",
    chunk: Annotated[float, typer.Option(help="seconds processed at a time")] = 10.0,
) -> None:
    """Denoise a recording: 16-bit wav or flac at 16 kHz, mono.

    Raises:
        UserError: The source cannot be read, the target's name is of another kind, or there is no
            such model.
    """
    if target.suffix.lower() not in WRITABLE:
        raise UserError(f"{target}: name the output .wav or .flac")
    if not 0 < chunk < math.inf:
        raise UserError(f"--chunk must be a number of seconds above 0, got {chunk}")
    from denoise_lib import audio
    from denoise_lib.models.checkpoints import denoiser
    from denoise_lib.models.inference import device
    from denoise_lib.models.inference import enhance as denoised

    noisy = audio.load(source)
    audio.save(target, denoised(noisy, denoiser(model), chunk_seconds=chunk, device=device()))
