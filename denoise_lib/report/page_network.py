"""The small network that the page itself runs: its weights as text.

The page holds the network in plain JavaScript (report/template/causal.js). In use a batch norm is a
factor and an offset for each channel, so here they are folded into the convolutions before.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoise_lib.errors import UserError
from denoise_lib.paths import PRETRAINED

NETWORK = PRETRAINED / "speech.safetensors"
NORM_EPS = 1e-5  # of torch's batch norm
Array = NDArray[np.float32]


def page_network(path: Path = NETWORK) -> dict[str, Any]:
    """A causal network for the page.

    Returns:
        {"config": its constructor arguments, "weights": 16-bit floats, little-endian, as base64}.
        For each convolution, in the order of use, stand its weights, (frames, taps, inputs,
        outputs), and its offsets, (outputs,).

    Raises:
        UserError: Widths that the page's loops, which go in steps of four channels, cannot run.
    """
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        record = json.loads(file.metadata()["denoise_lib"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = record["config"]
    if odd := [width for width in config["widths"] if width % 4]:
        raise UserError(f"{path}: the page runs widths that are multiples of 4, not {odd[0]}")
    parts = [each for name in _order(config) for each in _convolution(tensors, name)]
    weights = np.concatenate([each.ravel() for each in parts]).astype("<f2")
    return {"config": config, "weights": base64.b64encode(weights.tobytes()).decode()}


def _order(config: dict[str, Any]) -> list[str]:
    """The layers in the order in which a frame goes through them."""
    names = [f"encoder.{index}" for index in range(len(config["widths"]))]
    names += [f"middle.{index}" for index in range(len(config["dilations"]))]
    for index in range(len(config["widths"]) - 1):
        names += [f"up.{index}", f"decoder.{index}"]
    names += [f"fine.{index}" for index in range(len(config.get("fine", ())))]
    return [*names, "last"]


def _convolution(tensors: dict[str, Array], name: str) -> tuple[Array, Array]:
    """Weights (frames, taps, inputs, outputs) and offsets (outputs,) of a layer, norm included."""
    if f"{name}.weight" in tensors:
        weight, offset = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    else:
        mean, variance, scale, shift = (
            tensors[f"{name}.norm.{each}"]
            for each in ("running_mean", "running_var", "weight", "bias")
        )
        scale = scale / np.sqrt(variance + NORM_EPS)
        weight = tensors[f"{name}.convolution.weight"] * scale[:, None, None, None]
        offset = shift - mean * scale
    return weight.transpose(2, 3, 1, 0), offset  # from (outputs, inputs, frames, taps)
