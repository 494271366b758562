"""`denoise export`: a network as an ONNX file, checked against torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from denoise_lib.errors import UserError
from denoise_lib.paths import ROOT


def export(
    name: Annotated[str, typer.Argument(help="name of a pretrained network, or a checkpoint")],
    out: Annotated[Path, typer.Argument(help="file to write, .onnx")],
    streaming: Annotated[
        bool,
        typer.Option(
            "--streaming",
            help="one hop at a time, with the network's state as an input and an output; "
            "for a causal network such as speech",
        ),
    ] = False,
) -> None:
    """Write a network as an ONNX file, for programs without Python or torch.

    The short-time Fourier transform is inside: waveform in, waveform out, at the network's rate, of
    any length. Speech is to have an RMS of 0.05 re full scale. The file is run with onnxruntime on
    the clips in audio/, or on noise where there are none, and compared with torch before it is
    written.

    Raises:
        UserError: There is no such network, it cannot be exported, the file's name has another
            suffix, or the file computes something else than torch.
    """
    if out.suffix != ".onnx":
        raise UserError(f"{out}: name the file .onnx")
    import torch

    from denoise_lib import audio
    from denoise_lib.files import atomic
    from denoise_lib.models import export as exporting
    from denoise_lib.models.checkpoints import denoiser

    network = denoiser(name)
    clips = [audio.load(path, quiet=True) for path in sorted((ROOT / "audio").glob("*.flac"))]
    clips = clips or [torch.randn(40_001, generator=torch.Generator().manual_seed(0))]
    with atomic(out) as temporary:
        exporting.export(network, temporary, streaming=streaming)
        largest = max(
            exporting.difference(temporary, network, audio.to_level(clip), streaming=streaming)
            for clip in clips
        )
        if not largest <= exporting.CLOSE:
            raise UserError(
                f"{out}: not written: onnxruntime's output differs from torch's by {largest:.1g}"
            )
    print(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB; onnxruntime differs from torch by "
        f"{largest:.1g} at most, over {len(clips)} clip{'s' * (len(clips) != 1)}"
    )
