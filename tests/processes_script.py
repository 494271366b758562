"""Trains two small networks; started by tests, alone or under torchrun.

Args: folder of the checkpoints, networks with commas, parts of a batch, step at which the second
process dies (0: at none).
"""

import os
import sys
from pathlib import Path

import torch
from small_corpus import small_corpus

from denoise_lib import Corruption
from denoise_lib.data.crops import CleanCrops, fixed_batch
from denoise_lib.errors import UserError
from denoise_lib.models import DCUnet, UNet
from denoise_lib.training import loop

LAYERS = [(4, (5, 3), (2, 2)), (6, (5, 3), (2, 1))]
MADE = {
    "dcunet": lambda: DCUnet(layers=LAYERS, mask="residual", compression=0.5),
    "unet": lambda: UNet.from_preset("tiny"),
}


class Dying(Corruption):
    """A damage that ends the second process at its last call, without a word."""

    calls = 0

    def __call__(self, waveform, generator=None):
        Dying.calls -= 1
        if not Dying.calls and os.environ.get("RANK") == "1":
            os._exit(3)
        return super().__call__(waveform, generator)


Dying.__name__ = "Corruption"  # the plan names the damage by its type


def main(folder, networks, accumulate, death):
    corpus = small_corpus(per_split=5)
    for name in networks.split(","):
        torch.manual_seed(0)
        crops = CleanCrops(corpus, corpus.split("train"), batch=4, seconds=0.3, seed=0, steps=6)
        valid = fixed_batch(corpus, corpus.split("valid"), Corruption(), seed=0, seconds=1.0)
        Dying.calls = int(death)
        damage = Dying() if int(death) else Corruption()
        schedule = loop.Schedule(6, 5e-3, warmup=1, validate_every=2)
        path = Path(folder) / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        try:
            for _ in range(2):  # the second time it is read back
                network = MADE[name]()
                options = {"label": name, "accumulate": int(accumulate)}
                loop.train(network, crops, damage, valid, schedule, path, **options)
                torch.manual_seed(0)
        except UserError as error:
            print(f"ended: {error}", flush=True)
            sys.exit(1)


main(*sys.argv[1:])
