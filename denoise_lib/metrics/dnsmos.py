"""DNSMOS P.835: listeners' ratings predicted by a network, without a clean reference."""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from denoise_lib import RATE

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions

SECONDS = 9.01  # that the network looks at
WINDOW = round(SECONDS * RATE)
# Raw output -> OVRL on the scale of the listening tests, highest power first; as in speechmos.
OVRL = (-0.06766283, 1.11546468, 0.04602535)


def dnsmos(waveform: Tensor) -> float:
    """Overall quality (OVRL) that DNSMOS P.835 predicts; about 1 (bad) to 5, higher is better.

    The level is judged as it is, clipped to [-1, 1]. A clip shorter than 9.01 s is doubled until it
    is longer, and the predictions for windows that begin a second apart are averaged. The value is
    that of the package speechmos, of which only the network is used: its own function takes every
    core for each clip, which one process per core makes slow, and computes three further scores.

    Shape:
        (time,) at 16 kHz.

    Returns:
        NaN for a waveform that is not finite.

    Raises:
        ValueError: Not one waveform, or an empty one.

    References:
        Reddy, Gopal, Cutler, "DNSMOS P.835: A Non-Intrusive Perceptual Objective Speech Quality
        Metric to Evaluate Noise Suppressors", ICASSP 2022. Network: package speechmos, MIT.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise ValueError(f"dnsmos: one waveform is needed, (time,), got {tuple(waveform.shape)}")
    if not waveform.isfinite().all():
        return math.nan
    samples = waveform.detach().cpu().numpy().astype(np.float32).clip(-1, 1)
    while len(samples) < WINDOW:
        samples = np.append(samples, samples)
    raw = [
        _network().run(None, {"input_1": samples[None, start : start + WINDOW]}, _releasing())[0]
        for start in _starts(len(samples))
    ]
    overall = np.concatenate(raw)[:, 2]  # (windows, [speech, background, overall])
    return float(np.polyval(OVRL, overall).mean())


def _starts(samples: int) -> list[int]:
    """First samples of the windows that speechmos takes, (samples >= WINDOW).

    That is not every second: the last window is left out, and so are those for which its ends,
    computed in seconds, round to one sample too few (at 7 to 23 s). Published scores are made so.
    """
    seconds = range(max(1, samples // RATE - 9))
    return [s * RATE for s in seconds if int((s + SECONDS) * RATE) - s * RATE == WINDOW]


@cache
def _releasing() -> RunOptions:
    """Give back the memory of each run, 180 MB, which every process that scores would keep."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


@cache
def _network() -> InferenceSession:
    import onnxruntime  # only here: it is large, and only this measure needs it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # clips go side by side
    network = files("speechmos") / "dnsmos_models" / "sig_bak_ovr.onnx"
    return onnxruntime.InferenceSession(
        network.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
