"""Networks as ONNX files, for programs without torch: waveform in, waveform out, STFT inside."""

from __future__ import annotations

import contextlib
import io
import warnings
from importlib.util import find_spec
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
OPSET = 18  # version of ONNX's operations; onnxruntime knows it from 1.14 on


def export(model: Denoiser, path: Path, *, streaming: bool = False) -> None:
    """Write a network as an ONNX file, whole or not at all.

    The file takes ``noisy``, float32 (batch, time) of any length, and gives ``denoised`` of the
    same shape. With ``streaming`` it takes one hop of a causal network, ``noisy`` (1, hop), and a
    ``state`` (numbers,), zeros at first. It gives ``denoised`` (1, hop), which belongs to the hop
    before, and ``next_state``, the state for the next call. In both, speech is to have an RMS of
    0.05 re full scale, at the network's rate. The file's metadata say all that, and the latency.

    Raises:
        UserError: A baseline, a network that cannot stream, or a package that is missing.
    """
    if model.name in BASELINES:
        raise UserError(f"{model.name} is no network of this library and cannot be exported")
    if find_spec("onnx") is None:
        raise UserError("export needs the package onnx: pip install 'denoise_lib[export]'")
    facts = {
        "made by": f"denoise_lib {denoise_lib.__version__}",
        "network": model.name,
        "rate": model.rate,
        "level": "speech at an RMS of 0.05 re full scale",
    }
    model = model.cpu().eval()
    if not streaming:
        # Two waveforms, so that no axis of length 1 is taken for one that is always so long.
        noisy = 0.05 * torch.randn(2, 16_001, generator=torch.Generator().manual_seed(0))
        axes = {0: "batch", 1: "time"}
        names, axes = (["noisy"], ["denoised"]), {"noisy": axes, "denoised": axes}
        _write(path, Whole(model), (noisy,), names, axes, facts)
        return
    if not (isinstance(model, CausalNet) and model.n_fft == 2 * model.hop):
        raise UserError(
            "--streaming needs a causal network whose frames overlap by half, and this "
            f"{model.name} is none: leave it out, or export speech"
        )
    facts |= {
        "hop": model.hop,
        "latency": f"{model.latency} samples: each output is of the hop before, so the first one "
        "is dropped, and a hop of zeros at the end brings the last one",
        "state": "zeros at first, then next_state of the call before",
    }
    step = Step(model)
    names = ["noisy", "state"], ["denoised", "next_state"]
    _write(path, step, (torch.zeros(1, model.hop), step.start()), names, None, facts)


def _write(
    path: Path,
    module: nn.Module,
    example: tuple[Tensor, ...],
    names: tuple[list[str], list[str]],
    axes: dict[str, dict[int, str]] | None,
    facts: dict[str, Any],
) -> None:
    """Trace a module and write it, with some facts as its metadata.

    torch's older exporter is taken, on purpose: its newer one needs minutes for a network whose
    layers depend on the length, and drops the small numbers that keep logarithms finite.
    """
    import onnx

    made = io.BytesIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")  # that it is the older one, and that lengths are not known
        torch.onnx.export(
            module.eval(),
            example,
            made,
            input_names=names[0],
            output_names=names[1],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    network = onnx.load_from_string(made.getvalue())
    onnx.helper.set_model_props(network, {key: str(value) for key, value in facts.items()})
    with atomic(path) as temporary:
        temporary.write_bytes(network.SerializeToString())


# --- the check ------------------------------------------------------------------------------------


def difference(path: Path, model: Denoiser, noisy: Tensor, *, streaming: bool = False) -> float:
    """Largest difference between file and network over a waveform (time,), re full scale."""
    run = run_stream if streaming else run_whole
    with torch.inference_mode():
        return float((run(path, noisy) - model.cpu().eval()(noisy[None])[0]).abs().max())


def run_whole(path: Path, noisy: Tensor) -> Tensor:
    """What onnxruntime makes of an exported network, (time,) -> (time,)."""
    return torch.from_numpy(session(path).run(None, {"noisy": noisy[None].numpy()})[0])[0]


def run_stream(path: Path, noisy: Tensor) -> Tensor:
    """The same of a streaming one, hop by hop: how a program is to call it."""
    network = session(path)
    shapes = {each.name: each.shape for each in network.get_inputs()}
    hop, state = shapes["noisy"][1], torch.zeros(shapes["state"]).numpy()
    out = []
    padded = F.pad(noisy, (0, hop + -len(noisy) % hop))  # a hop more, for the output is one late
    for block in padded.split(hop):
        denoised, state = network.run(None, {"noisy": block[None].numpy(), "state": state})
        out.append(torch.from_numpy(denoised)[0])
    return torch.cat(out)[hop : hop + len(noisy)]


def session(path: Path) -> Any:
    """An onnxruntime session on one thread; denoise_lib has switched its telemetry off."""
    import onnxruntime  # only here: it is large

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
