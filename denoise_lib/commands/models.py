"""`denoise models`: the shipped networks and the baselines in a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from denoise_lib.names import PURPOSES

if TYPE_CHECKING:
    from denoise_lib.models.base import Denoiser

SECONDS = 3.0  # of sound that the speed is measured with
LICENCE = re.compile(
    r"CC BY(?:-SA)? [\d.]+|CC0(?: [\d.]+)?|GPL-\d\+?|public domain|MIT|BSD|LGPL\S*"
)
LEGEND = """\
weights: numbers that were trained, in millions. latency: the algorithmic delay
of `denoise live`; "not live": it processes whole recordings only. speed: seconds of one
processor thread for a second of sound, measured now. scores: wSDR on the test clips of the
published report (notebook 08), or in the network's own validation ("valid"); lower is better, -1 is
perfect. licences: of the recordings that trained it; the cards in denoise_lib/pretrained name their
authors."""


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
    rows = [("name", "weights", "latency", "speed", "scores", "licences", "for what")]
    for name in (*pretrained_names(), *BASELINES):
        model = denoiser(name)
        weights = sum(each.numel() for each in model.parameters())
        rows.append(
            (
                name,
                f"{weights / 1e6:.2f} M" if weights else "-",
                latency(model),
                f"{speed(model):.3f}",
                summary(name),
                ", ".join(_licences(name)) if name in pretrained_names() else "others' work",
                PURPOSES.get(name, "see its card"),
            )
        )
    for line in in_columns(rows):
        print(line)
    print()
    print(LEGEND)


def in_columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of a table; every column but the last is as wide as its longest entry."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(each.ljust(width) for each, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def latency(model: Denoiser) -> str:
    """Algorithmic latency as a stream, where it can be one."""
    from denoise_lib import RATE
    from denoise_lib.errors import UserError
    from denoise_lib.models.stream import Stream

    try:
        return f"{1000 * Stream(model).latency / RATE:.0f} ms"
    except UserError:
        return "not live"


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
        start = time.process_time()
        process(model, noise)
        return (time.process_time() - start) / SECONDS
    finally:
        torch.set_num_threads(threads)


def summary(name: str) -> str:
    """WSDR of the published report, or the validation score of the checkpoint."""
    from denoise_lib.models.cards import results
    from denoise_lib.models.checkpoints import pretrained_names, read_record
    from denoise_lib.names import score
    from denoise_lib.paths import PRETRAINED

    found = [
        f"{row['condition']} {score('wsdr', row['denoised'])}"
        for row in results(name)
        if row["metric"] == "wsdr" and row["split"] == "test"
    ]
    if found:
        return ", ".join(found)
    if name in pretrained_names():
        record = read_record(PRETRAINED / f"{name}.safetensors")
        return f"valid {score('wsdr', record.get('valid'))}"
    return "-"


def _licences(name: str) -> list[str]:
    """Licences of the recordings that trained a network, each once."""
    from denoise_lib.models.cards import licences
    from denoise_lib.models.checkpoints import read_record
    from denoise_lib.paths import PRETRAINED

    told = "; ".join(licences(read_record(PRETRAINED / f"{name}.safetensors")))
    return sorted(set(LICENCE.findall(told))) or ["not known"]
