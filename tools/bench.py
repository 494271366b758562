"""Speed and memory of the parts that decide how long the report takes: ``make bench``.

Everything is measured in one process, in audio-seconds per second, and given relative to one STFT
and its inverse, so that tables from different machines can be compared.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

from denoise_lib import RATE
from denoise_lib.damage.corruption import Corruption
from denoise_lib.damage.outside import OutsideNoise, VariedRecording
from denoise_lib.damage.street import StreetMix
from denoise_lib.data.crops import clip_generator
from denoise_lib.metrics.measures import ALL_METRICS, score
from denoise_lib.models import CausalNet, ConvAutoencoder, DCUnet, DenoisingWaveNet, UNet
from denoise_lib.models.inference import process
from denoise_lib.training.losses import wsdr_loss

BATCH, SECONDS = 8, 1.0


def median_seconds(work: Callable[[], object]) -> float:
    """Median time of five calls, s, after one that is not counted."""
    work()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


def training_step(model: nn.Module) -> Callable[[], None]:
    """A call that makes one forward and backward pass over a batch."""
    noisy, clean = 0.05 * torch.randn(2, BATCH, round(SECONDS * RATE))

    def step() -> None:
        model.zero_grad()
        wsdr_loss(model(noisy), clean, noisy).backward()

    return step


def saved_bytes(model: nn.Module) -> int:
    """Bytes that autograd keeps for one training step of a batch."""
    kept = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        training_step(model)()
    gc.collect()
    return kept


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    waveforms = 0.05 * torch.randn(BATCH, round(SECONDS * RATE))
    one = waveforms[0]
    damage, street = Corruption(), StreetMix([torch.randn(10 * RATE)])
    outside = OutsideNoise({"recordings": list(torch.randn(4, 10 * RATE))})
    vary = VariedRecording()
    audio = BATCH * SECONDS
    models = {
        "autoencoder": ConvAutoencoder(),
        "wavenet, light": DenoisingWaveNet.from_preset("light"),
        "dcunet, small": DCUnet.from_preset("small"),
        "dcunet, 10": DCUnet.from_preset("10"),
        "unet": UNet(),
        "causal": CausalNet(),
    }
    work = {
        "STFT and inverse": (lambda: damage.istft(damage.stft(waveforms), one.numel()), audio),
        "fixed damage": (lambda: damage(waveforms), audio),
        "street mix": (lambda: street(waveforms), audio),
        "outside noise": (lambda: outside(waveforms, clip_generator("n")), audio),
        "varied recording": (lambda: vary(waveforms, clip_generator("v")), audio),
    }
    for name, model in models.items():
        work[f"{name}: training step"] = (training_step(model), audio)
        spoken = waveforms.flatten()[: 10 * RATE]
        work[f"{name}: denoise 10 s"] = (partial(process, model, spoken), min(10.0, audio))
    for metric in ALL_METRICS:
        noisy = one + 0.01 * torch.randn_like(one)
        work[f"{metric}, one clip"] = (partial(score, noisy, one, noisy, (metric,)), SECONDS)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print(f"{'':32} {'audio-s per s':>14} {'cost, STFT = 1':>15}")
    reference = None
    for name, (call, seconds) in work.items():
        cost = median_seconds(call) / seconds
        reference = reference or cost
        print(f"{name:32} {1 / cost:14,.0f} {cost / reference:15,.1f}")
    print(f"\n{'':32} {'MiB kept per audio-s of a training batch':>14}")
    for name, model in models.items():
        print(f"{name:32} {saved_bytes(model) / audio / 2**20:14,.1f}")


if __name__ == "__main__":
    main()
