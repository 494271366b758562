"""The mean of a network's weights before and after a training that started from them.

python tools/mean_weights.py before.safetensors after.safetensors mean.safetensors
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from denoise_lib.files import atomic


def mean_weights(before: Path, after: Path, target: Path) -> None:
    """Write the mean, with the record of the later network, which says so under "mean".

    Raises:
        SystemExit: They are not the same kind of network.
    """
    first, second = load_file(before), load_file(after)
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in second.items()}:
        raise SystemExit(f"{before} and {after} are not the same kind of network")
    mean = {
        name: ((first[name].double() + late.double()) / 2).to(late.dtype)
        if late.is_floating_point()
        else late
        for name, late in second.items()
    }
    with safe_open(after, "pt") as file:
        kept = file.metadata()
    record = json.loads(kept["denoise_lib"]) | {"mean": True}
    with atomic(target) as temporary:
        save_file(mean, temporary, {**kept, "denoise_lib": json.dumps(record)})


def main() -> None:
    """Read the three paths from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("before", "after", "target"):
        parser.add_argument(name, type=Path)
    mean_weights(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
