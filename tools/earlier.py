"""Add to a checkpoint's record the plans of the trainings behind it.

    python tools/earlier.py repair.safetensors repair-wide.safetensors unet-varied.safetensors ...

`denoise train` keeps them by itself; this is for checkpoints made before it did. Give the
checkpoint first, then those that it came from, the latest first. A plan names what it started from
by a digest of the weights, and a checkpoint with another digest is refused. Only a network of
another size cannot be checked so: the next training started from an enlarged copy.
"""

import argparse
from pathlib import Path

import safetensors.torch

from denoise_lib.errors import UserError
from denoise_lib.models.checkpoints import load_model, plans, read_record, write_tensors
from denoise_lib.training.loop import weights_digest


def chain(paths: list[Path]) -> list[dict]:
    """Plans of trainings, the latest first, checked to follow from each other.

    Raises:
        UserError: A training did not start from the weights of the next checkpoint.
    """
    networks = [load_model(path) for path in paths]
    for path, network, later in zip(paths[1:], networks[1:], networks, strict=False):
        shapes = [{k: v.shape for k, v in each.state_dict().items()} for each in (network, later)]
        start = later.trainings[-1]["start"]
        if shapes[0] == shapes[1] and start != weights_digest(network):
            raise UserError(f"{path} holds other weights than the next training started from")
    return [plan for path in paths for plan in plans(read_record(path))]


def main() -> None:
    """Write the record anew; the weights stay as they are, bit for bit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    paths = parser.parse_args().checkpoints
    found = chain(paths)
    record = read_record(paths[0]) | {"earlier": found[1:]}
    write_tensors(paths[0], safetensors.torch.load(paths[0].read_bytes()), record)


if __name__ == "__main__":
    main()
