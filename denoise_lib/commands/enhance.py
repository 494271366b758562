"""`denoise enhance`: a recording in, a denoised one out."""

from __future__ import annotations

from pathlib import Path

from denoise_lib import audio
from denoise_lib.errors import UserError
from denoise_lib.models.checkpoints import denoiser
from denoise_lib.models.inference import device, enhance

WRITABLE = (".wav", ".flac")


def enhance_file(source: Path, target: Path, model: str, chunk_seconds: float = 10.0) -> None:
    """Denoise one audio file into a 16-bit wav or flac at 16 kHz.

    Raises:
        UserError: The source cannot be read, the target's name is of another kind, or there is no
            such model.
    """
    if target.suffix.lower() not in WRITABLE:
        raise UserError(f"{target}: name the output .wav or .flac")
    if not chunk_seconds > 0:
        raise UserError(f"--chunk must be more than 0 s, got {chunk_seconds}")
    denoised = enhance(
        audio.load(source), denoiser(model), chunk_seconds=chunk_seconds, device=device()
    )
    audio.save(target, denoised)
