"""Inference on one core: speed, memory and look-ahead of networks beside the usual tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import torch

from denoise_lib import RATE
from denoise_lib.models.checkpoints import denoiser
from denoise_lib.models.inference import process
from denoise_lib.study.run import peak_memory
from tools.bench.timing import Row, in_turn, ratios

SYSTEMS = (
    "rnnoise",
    "speech",
    "dcunet-street",
    "unet-street",
    "repair",
    "log_mmse",
    "webrtc",
    "spectral_gating",
)
SECONDS = 10  # of the recording
WHOLE = 0.9  # share of what lies before a change that may follow it, to call a system one


def table(rounds: int) -> list[Row]:
    """One row for each system, measured in processes with one thread.

    Returns:
        {"what", "factor": seconds of computing per second of sound, "low", "high", "ratio": to
        RNNoise, "memory_mib": most memory beside Python and torch, "look_ahead_ms": sound after an
        output sample that it depends on, None where that is all of the recording}.
    """
    speeds = _alone("speeds", str(rounds))
    rows = []
    for name in SYSTEMS:
        row = {"what": name, **speeds[name], **_alone("one", name)}
        rows.append(row)
    return rows


def _alone(*arguments: str) -> Row:
    """What a fresh process with one thread prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.bench.inference", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def recording() -> torch.Tensor:
    """Noise with the pauses of speech, (time,): speed does not depend on what is said."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(SECONDS * RATE, generator=generator)
    return 0.05 * noise * (0.1 + torch.sin(torch.arange(len(noise)) * 20 / RATE).clamp_min(0))


def speeds(rounds: int) -> Row:
    """{system: factor and ratio}."""
    sound, models = recording(), {name: denoiser(name) for name in SYSTEMS}
    work = {name: lambda each=each: _timed(each, sound) for name, each in models.items()}
    times = in_turn(work, rounds)
    found = {row["what"]: row for row in ratios(times, "rnnoise")}
    return {
        name: {
            "factor": sorted(seconds)[len(seconds) // 2] / SECONDS,
            "ratio": found[name]["ratio"] if name in found else 1.0,
            "low": found[name]["low"] if name in found else 1.0,
            "high": found[name]["high"] if name in found else 1.0,
        }
        for name, seconds in times.items()
    }


def _timed(model: torch.nn.Module, sound: torch.Tensor) -> None:
    process(model, sound)


def one(name: str) -> Row:
    """Memory and look-ahead of one system, in a process of its own."""
    before = peak_memory()
    model = denoiser(name)
    process(model, recording())
    return {"memory_mib": peak_memory() - before, "look_ahead_ms": look_ahead(model)}


def look_ahead(model: torch.nn.Module, seconds: float = 4.0) -> float | None:
    """Milliseconds of sound after an output sample that it depends on, found by changing it.

    A system that works in frames looks further ahead at their beginnings: the most of several
    places is given. None where even the first samples change.
    """
    sound = recording()[: round(seconds * RATE)]
    before, most = process(model, sound), 0
    for place in range(len(sound) - RATE, len(sound) - RATE // 2, 1063):
        changed = sound.clone()
        changed[place:] += 0.05 * torch.cos(1.3 * torch.arange(len(sound) - place))
        differs = (process(model, changed) - before).abs() > 1e-6
        first = int(differs.nonzero()[0]) if differs.any() else place
        most = max(most, place - first)
        if place - first > WHOLE * place:
            return None
    return 1000 * most / RATE


if __name__ == "__main__":
    kind, argument = sys.argv[1:]
    print(json.dumps(speeds(int(argument)) if kind == "speeds" else one(argument)))
