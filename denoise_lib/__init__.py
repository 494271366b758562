"""Damage speech by a fixed procedure, undo it with networks, score and hear the result.

Names of the axes, the same in every module:

    batch    clips side by side
    time     samples of a waveform, RATE per second
    freq     bins of an STFT, n_fft // 2 + 1 of them
    frames   time steps of an STFT, one per hop

A waveform is float32 with full scale = 1, shaped (time,) or (batch, time).
"""

import os
from importlib import import_module

# Threads that wait should sleep. By default they spin, and as soon as another program wants a core a
# training step takes ten times as long (seen: 0.2 s, then 3.5 s). Read when torch is first loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

RATE = 16000  # samples per second of every waveform inside the library

# Public name -> module that holds it. Resolved on first use, so that `import denoise_lib` and
# `denoise --help` do not wait for torch.
_HOME = {
    "Corruption": "damage.corruption",
    "StreetMix": "damage.street",
    "wsdr": "metrics.wsdr",
    "load_pretrained": "models.checkpoints",
    "enhance": "models.inference",
}

__all__ = ["RATE", "models", *_HOME]


def __getattr__(name):
    if name == "models":
        return import_module("denoise_lib.models")
    if name in _HOME:
        value = getattr(import_module(f"denoise_lib.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'denoise_lib' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
