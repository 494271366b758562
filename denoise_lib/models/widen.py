"""Enlarge a trained network, for further training."""

from __future__ import annotations

import torch
from torch import Tensor

from denoise_lib.models.causal import CausalNet
from denoise_lib.models.unet import LAYERS, UNet


def widened(model: UNet, wider: UNet) -> UNet:
    """Give a wider U-Net the weights of a trained one, so that both compute the same.

    Each new channel is a copy of an old one. What reads an old channel reads it and its copies
    with shares of the old weight that add up to one. The shares are drawn anew for each weight:
    equal ones would leave copies copies for ever, since they would get the same gradients.

    Args:
        model: The trained network.
        wider: Of the same shape but for widths (``layers``, ``fine_channels``); overwritten.

    Returns:
        ``wider``.

    Raises:
        ValueError: ``wider`` differs in more than widths, or is narrower somewhere.

    References:
        Chen, Goodfellow, Shlens, "Net2Net", ICLR 2016 (arXiv 1511.05641), section 2.2, there with
        equal shares and noise.
    """
    _check(model, wider)
    old, new = model.state_dict(), wider.state_dict()
    copies = _copies(model, wider)
    for name, tensor in old.items():
        rows, columns = _channels(name, copies)
        if tensor.ndim and rows is not None:
            tensor = tensor[_rows(name, rows, len(tensor))]
        if tensor.ndim > 1 and columns is not None:
            tensor = _shared(tensor[:, columns], columns)
        new[name].copy_(tensor)
    wider.load_state_dict(new)
    wider.trainings = model.trainings
    return wider.train(model.training)


def grown(model: UNet, larger: UNet) -> UNet:
    """Give a larger U-Net the weights of a trained one: wider, or fine further up, or both.

    Where only widths differ, both compute the same (:func:`widened`). A fine branch that reaches
    further up applies there what it has learned below, for training to adapt.

    Args:
        model: The trained network.
        larger: Of the same shape but for widths and ``fine_bins``; overwritten.

    Returns:
        ``larger``.

    Raises:
        ValueError: ``larger`` differs in more, or is smaller somewhere.
    """
    bins, reached = (each.config["fine_bins"] for each in (model, larger))
    if reached < bins:
        raise ValueError(f"at least {bins} fine_bins are needed, got {reached}")
    if reached == bins:
        return widened(model, larger)
    wider = widened(model, UNet(**larger.config | {"fine_bins": bins}))
    larger.load_state_dict(wider.state_dict())
    larger.trainings = model.trainings
    return larger.train(model.training)


def deepened(model: CausalNet, deeper: CausalNet) -> CausalNet:
    """Give a deeper causal network the weights of a trained one, so that both compute the same.

    A new residual layer adds nothing at first, since the scale of its norm is zero.

    Args:
        model: The trained network.
        deeper: The same network with further residual layers (``dilations``, ``fine``), behind
            those that both have; overwritten.

    Returns:
        ``deeper``.

    Raises:
        ValueError: ``deeper`` differs in more, or lacks layers.

    References:
        Goyal et al., "Accurate, Large Minibatch SGD", 2017 (arXiv 1706.02677), section 5.1: the
        last norm of a residual block starts at zero.
    """
    configs = [dict(each.config) for each in (model, deeper)]
    for name in ("dilations", "fine"):
        old, new = (tuple(config.pop(name)) for config in configs)
        if new[: len(old)] != old:
            raise ValueError(f"{name} must begin with {old}, got {new}")
    if configs[0] != configs[1]:
        raise ValueError("the networks must differ in residual layers alone (dilations, fine)")
    weights = model.state_dict()
    for name, tensor in deeper.state_dict().items():
        if name not in weights and name.endswith("norm.weight"):
            tensor.zero_()
    deeper.load_state_dict(weights, strict=False)
    deeper.trainings = model.trainings
    return deeper.train(model.training)


def _layers(model: UNet) -> list[tuple]:
    layers = model.config["layers"]
    return [tuple(layer) for layer in (LAYERS[layers] if isinstance(layers, str) else layers)]


def _check(model: UNet, wider: UNet) -> None:
    size = {"layers", "fine_channels"}
    fixed = [{k: v for k, v in each.config.items() if k not in size} for each in (model, wider)]
    tables = [_layers(each) for each in (model, wider)]
    shapes = [[layer[1:] for layer in table] for table in tables]
    if fixed[0] != fixed[1] or shapes[0] != shapes[1]:
        raise ValueError(
            "the networks must differ in widths alone (layers' channels, fine_channels)"
        )
    before, after = (
        [each.config["fine_channels"], *(layer[0] for layer in table)]
        for each, table in zip((model, wider), tables, strict=True)
    )
    if any(new < old for old, new in zip(before, after, strict=True)):
        raise ValueError(f"widths of at least {before} are needed, got {after}")


def _copies(model: UNet, wider: UNet) -> dict:
    """Which old channel each new one copies: for each level of the U-Net, and the fine branch."""
    levels = [
        _drawn(old[0], new[0]) for old, new in zip(_layers(model), _layers(wider), strict=True)
    ]
    halves = [each.config["fine_channels"] // 2 for each in (model, wider)]
    half = _drawn(*halves)
    # Real and imaginary part of a complex channel are copied together.
    return {"levels": levels, "fine": torch.cat([half, halves[0] + half])}


def _drawn(old: int, new: int) -> Tensor:
    """Every old channel once, then copies of some: first all others in any order, then again."""
    more = [torch.randperm(old) for _ in range(-(-(new - old) // old))]
    return torch.cat([torch.arange(old), *more])[:new]


def _channels(name: str, copies: dict) -> tuple[Tensor | None, Tensor | None]:
    """Old channels that a tensor's new rows and columns copy; None where nothing changes."""
    levels, fine = copies["levels"], copies["fine"]
    part, *rest = name.split(".")
    if part == "encoder":
        level = int(rest[0])
        return levels[level], levels[level - 1] if level else None
    if part in ("up", "decoder"):  # counted from the coarsest level on
        inner, outer = levels[-1 - int(rest[0])], levels[-2 - int(rest[0])]
        # A decoder's block reads what comes up and, behind it, what the encoder left there.
        return outer, inner if part == "up" else _blocks(outer, 2)
    return {
        "out": (None, levels[0]),
        "fine_up": (fine, levels[0]),
        "neighbours": (fine, None),
        "fine_norm": (fine, None),
        "fine": (fine, fine),
        "fine_out": (None, fine),
    }[part]


def _rows(name: str, rows: Tensor, length: int) -> Tensor:
    """``rows`` for a tensor that has several rows, of ``length`` in all, to a channel."""
    each = length // len(rows.unique())
    if name == "neighbours.weight":  # all real parts, then all imaginary ones
        return _blocks(rows, each)
    # Pixel shuffle has a channel's sub-pixels side by side.
    return (rows[:, None] * each + torch.arange(each)).flatten()


def _blocks(channels: Tensor, count: int) -> Tensor:
    """The same choice of channels from each of several stacks of them."""
    return torch.cat([channels + i * len(channels.unique()) for i in range(count)])


def _shared(weight: Tensor, columns: Tensor) -> Tensor:
    """Divide each weight among the copies of its column, (rows, columns, ...)."""
    shares = 0.2 + torch.rand_like(weight)
    total = torch.zeros_like(weight[:, : columns.max() + 1]).index_add_(1, columns, shares)
    return weight * shares / total[:, columns]
