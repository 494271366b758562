"""Networks as ONNX files, for programs without torch: waveform in, waveform out, STFT inside."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import denoise_lib
from denoise_lib.errors import UserError
from denoise_lib.files import atomic
from denoise_lib.models.base import Denoiser
from denoise_lib.models.baselines import BASELINES
from denoise_lib.models.causal import CausalNet
from denoise_lib.models.real_valued import Step, Whole

CLOSE = 1e-4  # that an exported network may differ, re full scale; speech has an RMS of 0.05


def export(model: Denoiser, path: Path, *, streaming: bool = False) -> None:
    """Write a network as an ONNX file, whole or not at all.

    The file takes ``noisy``, float32 (batch, time) of any length, and gives ``denoised`` of the
    same shape. With ``streaming`` it takes one hop of a causal network, ``noisy`` (1, hop), and a
    ``state`` (numbers,), zeros at first, and gives ``denoised`` (1, hop), which belongs to the hop
    before, and the ``state`` for the next call. In both, speech is to have an RMS of 0.05 re full
    scale at 16 kHz; rate, level, latency and what this text says stand in the file's metadata.

    Raises:
        UserError: A baseline, a network that cannot stream, or a package that is missing.
    """
    if model.name in BASELINES:
        raise UserError(f"{model.name} is no network of this library and cannot be exported")
    if streaming and not (isinstance(model, CausalNet) and model.n_fft == 2 * model.hop):
        raise UserError(
            f"a {model.name} with look-ahead cannot be exported as a stream: leave out "
            "--streaming, or export speech"
        )
    try:
        import onnxscript  # noqa: F401  torch's exporter is written with it
    except ImportError:
        raise UserError(
            "export needs the packages onnx and onnxscript: pip install 'denoise_lib[export]'"
        ) from None
    facts = {
        "rate": denoise_lib.RATE,
        "level": "speech at an RMS of 0.05 re full scale",
        "network": model.name,
        "made by": f"denoise_lib {denoise_lib.__version__}",
    }
    if streaming:
        step = Step(model).eval()
        program = _program(
            step, (torch.zeros(1, model.hop), step.start()), ["noisy", "state"], None
        )
        facts |= {
            "hop": model.hop,
            "latency": f"{model.latency} samples; the output is {model.hop} samples late, so drop "
            "the first hop, and give one hop of zeros at the end",
            "state": "zeros at first, then the state that the last call gave",
        }
    else:
        length = {1: torch.export.Dim("time", min=1), 0: torch.export.Dim("batch", min=1)}
        noisy = 0.05 * torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
        program = _program(Whole(model).eval(), (noisy,), ["noisy"], (length,))
    program.model.metadata_props.update({key: str(value) for key, value in facts.items()})
    with atomic(path) as temporary:
        program.save(temporary, external_data=False)


def _program(module: nn.Module, example: tuple, inputs: list[str], shapes: tuple | None) -> Any:
    """What torch's exporter makes of a module; it says a lot, which is kept from the terminal."""
    outputs = ["denoised", "next_state"][: len(inputs)]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            module,
            example,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
            # Its optimiser takes the 1e-8 that keeps a logarithm finite for nothing and drops it.
            optimize=False,
        )


# --- the check -------------------------------------------------------------------------------------


def difference(path: Path, model: Denoiser, noisy: Tensor, *, streaming: bool = False) -> float:
    """Largest difference between the file and the network on a waveform (time,), re full scale."""
    run = run_stream if streaming else run_whole
    with torch.inference_mode():
        return float((run(path, noisy) - model.eval()(noisy[None])[0]).abs().max())


def run_whole(path: Path, noisy: Tensor) -> Tensor:
    """What onnxruntime makes of an exported network, (time,) -> (time,)."""
    out = _session(path).run(None, {"noisy": noisy[None].numpy()})[0]
    return torch.from_numpy(out)[0]


def run_stream(path: Path, noisy: Tensor) -> Tensor:
    """The same of a streaming one, hop by hop: how a program is to call it."""
    session = _session(path)
    shapes = {each.name: each.shape for each in session.get_inputs()}
    hop, state = shapes["noisy"][1], torch.zeros(shapes["state"]).numpy()
    out = []
    padded = F.pad(noisy, (0, hop + -len(noisy) % hop))  # a hop more, for the output is one late
    for block in padded.split(hop):
        denoised, state = session.run(None, {"noisy": block[None].numpy(), "state": state})
        out.append(torch.from_numpy(denoised)[0])
    return torch.cat(out)[hop : hop + len(noisy)]


def _session(path: Path) -> Any:
    import onnxruntime  # only here: it is large

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
