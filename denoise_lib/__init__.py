"""Damage speech by a fixed procedure, undo it with networks, score and hear the result.

Names of the axes, the same in every module:

    batch    clips side by side
    time     samples of a waveform, RATE per second unless its corpus or network has a `rate`
    freq     bins of an STFT, n_fft // 2 + 1 of them
    frames   time steps of an STFT, one per hop

A waveform is float32 with full scale = 1, shaped (time,) or (batch, time).
"""

import os

import lazy_loader

# Threads that wait should sleep. By default they spin, and as soon as another program wants a core
# a training step takes ten times as long (seen: 0.2 s, then 3.5 s). Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# onnxruntime, which DNSMOS needs, otherwise keeps notes about the machine for its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

RATE = 16000  # samples per second, unless something else is said

# Loaded on first use, so that `import denoise_lib` and `denoise --help` do not wait for torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["models"],
    submod_attrs={
        "damage.corruption": ["Corruption"],
        "damage.street": ["StreetMix"],
        "metrics.wsdr": ["wsdr"],
        "models.checkpoints": ["load_pretrained"],
        "models.inference": ["enhance"],
        "models.stream": ["Stream"],
    },
)
__all__ += ["RATE"]
