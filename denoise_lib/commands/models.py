"""`denoise models`: the shipped networks and the baselines in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from denoise_lib.names import PURPOSES

if TYPE_CHECKING:
    from denoise_lib.models.base import Denoiser

SECONDS = 3.0  # of sound that the speed is measured with


def models(
    cards: Annotated[
        bool, typer.Option("--cards", help="write the model cards beside the networks instead")
    ] = False,
) -> None:
    """List the networks and baselines: purpose, weights, latency, speed, scores, licences.

    The speed is measured now, on one thread: 0.1 means that ten seconds of sound take one second.
    """
    from denoise_lib.models import cards as model_cards
    from denoise_lib.models.baselines import BASELINES
    from denoise_lib.models.checkpoints import denoiser, pretrained_names

    if cards:
        for path in model_cards.write_cards():
            print(path)
        return
    for name in (*pretrained_names(), *BASELINES):
        model = denoiser(name)
        weights = sum(each.numel() for each in model.parameters())
        print(f"{name}: {PURPOSES.get(name, 'see its card')}")
        print(
            f"    {weights / 1e6:.2f} million weights" if weights else "    no weights of ours",
            f"latency {latency(model)}",
            f"{speed(model):.2f} of real time",
            sep=", ",
        )
        print(f"    scores: {summary(name)}")
        if name in pretrained_names():
            print(f"    trained by: {'; '.join(_licences(name))}")


def latency(model: Denoiser) -> str:
    """Algorithmic latency as a stream, or why there is none."""
    from denoise_lib import RATE
    from denoise_lib.errors import UserError
    from denoise_lib.models.stream import Stream

    try:
        return f"{1000 * Stream(model).latency / RATE:.0f} ms"
    except UserError:
        return "the whole recording"


def speed(model: Denoiser) -> float:
    """Time that a model takes per time of sound, on one thread; the first, shorter run warms up."""
    import time

    import torch

    from denoise_lib import RATE
    from denoise_lib.models.inference import process

    noise = 0.05 * torch.randn(round(SECONDS * RATE), generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        process(model, noise[:RATE])
        start = time.perf_counter()
        process(model, noise)
        return (time.perf_counter() - start) / SECONDS
    finally:
        torch.set_num_threads(threads)


def summary(name: str) -> str:
    """WSDR of the published report, or the validation score of the checkpoint."""
    from denoise_lib.models.cards import results
    from denoise_lib.models.checkpoints import pretrained_names, read_record
    from denoise_lib.names import condition, score
    from denoise_lib.paths import PRETRAINED

    found = [
        f"{condition(row['condition'])} {score('wsdr', row['denoised'])}"
        for row in results(name)
        if row["metric"] == "wsdr" and row["split"] == "test"
    ]
    if found:
        return "wSDR, " + ", ".join(found)
    if name in pretrained_names():
        record = read_record(PRETRAINED / f"{name}.safetensors")
        return f"wSDR in its validation {score('wsdr', record.get('valid'))}"
    return "none published"


def _licences(name: str) -> list[str]:
    """Credits without the names of packages, each once."""
    from denoise_lib.models.cards import licences
    from denoise_lib.models.checkpoints import read_record
    from denoise_lib.paths import PRETRAINED

    found = licences(read_record(PRETRAINED / f"{name}.safetensors"))
    return list(dict.fromkeys(each.partition(": ")[2] or each for each in found))
