"""Training on a GPU: sound per second in fp32, TF32 and bf16, with and without torch.compile."""

from __future__ import annotations

import time
from contextlib import nullcontext
from statistics import median

import torch

from denoise_lib import RATE
from denoise_lib.damage.corruption import Corruption
from denoise_lib.models import DCUnet, UNet
from denoise_lib.training.losses import wsdr_loss
from tools.bench.timing import Row

BATCH, STEPS = 16, 20  # crops of 2 s in a batch; steps that are timed together


def table(rounds: int) -> list[Row]:
    """Audio-seconds that a training step takes in per second, damage included; [] without a GPU.

    In the loop nothing waits for the GPU: it is waited for once, after ``STEPS`` steps.
    """
    if not torch.cuda.is_available():
        return []
    rows = []
    for name, make in {
        "DCUnet, small": lambda: DCUnet.from_preset("small"),
        "DCUnet 10": lambda: DCUnet.from_preset("10"),
        "DCUnet 20": lambda: DCUnet.from_preset("20"),
        "U-Net": UNet,
    }.items():
        for precision in ("fp32", "TF32", "bf16"):
            for compiled in (False, True):
                model = make().cuda()
                model = torch.compile(model) if compiled else model
                speed = _speed(model, precision, rounds)
                how = f"{precision}, compiled" if compiled else precision
                rows.append({"what": name, "how": how, "audio_seconds_per_second": speed})
                print(f"  {name}, {how}: {speed:,.0f} s of sound per second", flush=True)
    return rows


def _speed(model: torch.nn.Module, precision: str, rounds: int) -> float:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "TF32"
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    damage, clean = Corruption(), 0.05 * torch.randn(BATCH, 2 * RATE, device="cuda")
    lower = torch.autocast("cuda", torch.bfloat16) if precision == "bf16" else nullcontext()

    def steps(count: int) -> float:
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(count):
            noisy = damage(clean)
            optimiser.zero_grad()
            with lower:
                estimate = model(noisy)
            wsdr_loss(estimate.float(), clean, noisy).backward()
            optimiser.step()
        torch.cuda.synchronize()
        return time.perf_counter() - began

    steps(3)
    return STEPS * BATCH * 2 / median(steps(STEPS) for _ in range(rounds))
