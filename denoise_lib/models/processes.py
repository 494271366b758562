"""Several processes at one work: what belongs to which, and batch norms over the rows of all.

``torchrun`` starts them, on one host or on several.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from typing import Any

import torch
from torch import Tensor, distributed, nn

from denoise_lib.errors import UserError
from denoise_lib.models.complex_layers import ComplexBatchNorm2d

BatchNorm = nn.modules.batchnorm._BatchNorm
NORMS = (BatchNorm, ComplexBatchNorm2d)
GET_ADDRESS = 0x8915  # SIOCGIFADDR of Linux: the address of an interface, by its name


def launched() -> bool:
    """Whether ``torchrun`` has started this process."""
    return distributed.is_torchelastic_launched()


def choose_interface() -> None:
    """Let gloo listen on the interface that leads to the first process, unless one is named.

    That is the loopback where all processes are on this host. By itself gloo takes the address of
    the host's name, which many systems resolve to the loopback, where no other host can reach it.
    The store through which processes find each other is ``torchrun``'s own, and listens on all
    interfaces.
    """
    if name := _interface_to(os.environ.get("MASTER_ADDR", "")):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def _interface_to(address: str) -> str | None:
    """Name of the interface over which an address is reached; None where that is not known."""
    if _is_loopback(address):
        return "lo0" if os.uname().sysname == "Darwin" else "lo"
    with suppress(ImportError, OSError), socket.socket(type=socket.SOCK_DGRAM) as probe:
        import fcntl  # not on Windows

        probe.connect((address, 9))  # sends nothing: the system only chooses the way
        own = socket.inet_aton(probe.getsockname()[0])
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # it has no address
                asked = struct.pack("40s", name.encode())
                if fcntl.ioctl(probe, GET_ADDRESS, asked)[20:24] == own:
                    return name
    return None


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


@contextmanager
def group() -> Iterator[tuple[int, int]]:
    """Number of this process and how many there are, able to talk to each other: (0, 1) for one."""
    if not launched() or int(os.environ["WORLD_SIZE"]) == 1:
        yield 0, 1
        return
    choose_interface()
    with joining():
        distributed.init_process_group("gloo")
    try:
        with ends_with_the_others("this work"):
            yield distributed.get_rank(), distributed.get_world_size()
    finally:
        distributed.destroy_process_group()


@contextmanager
def joining() -> Iterator[None]:
    """One line in place of what torch says where processes do not reach each other.

    Raises:
        UserError: They do not.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error).lower():
            raise
        raise UserError(
            "the processes do not reach each other: check MASTER_ADDR, and name the network "
            "interface between the hosts in GLOO_SOCKET_IFNAME (and NCCL_SOCKET_IFNAME)"
        ) from None


@contextmanager
def ends_with_the_others(work: str) -> Iterator[None]:
    """One line in place of what torch says where another of several processes has ended.

    The connection to it breaks, or ``torchrun`` has noticed first and ends this one.
    """
    line = f"another process of {work} has ended, so this one ends, too"

    def ended(*_: Any) -> None:
        raise UserError(line)

    watched = launched() and threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, ended) if watched else None
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise UserError(line) from None
        raise
    finally:
        if watched:
            signal.signal(signal.SIGTERM, before)


def gathered(dealt: list[Any], rank: int, processes: int) -> list[Any] | None:
    """Items that were dealt to the processes in turn, in their order; None but in the first."""
    if processes == 1:
        return dealt
    hands = [None] * processes if rank == 0 else None
    distributed.gather_object(dealt, hands)
    if hands is None:
        return None
    total = sum(map(len, hands))
    return [hands[at % processes][at // processes] for at in range(total)]


class _MeanOfAll(torch.autograd.Function):
    """The mean over processes of equally shaped tensors; its gradient is the mean of theirs."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total / distributed.get_world_size()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _MeanOfAll.forward(None, gradient.contiguous())


@contextmanager
def synchronised(network: nn.Module) -> Iterator[None]:
    """Batch norms of a network in training take their statistics over the rows of all processes.

    torch's own SyncBatchNorm works on GPUs alone. Every process must have as many rows.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        yield
        return
    norms = [module for module in network.modules() if isinstance(module, NORMS)]
    for norm in norms:
        if isinstance(norm, ComplexBatchNorm2d):
            norm.mean_of_all = _MeanOfAll.apply
        else:
            norm.forward = partial(_batch_norm, norm)
    try:
        yield
    finally:
        for norm in norms:
            del norm.__dict__["mean_of_all" if isinstance(norm, ComplexBatchNorm2d) else "forward"]


def _batch_norm(norm: BatchNorm, x: Tensor) -> Tensor:
    """What ``norm.forward`` does, over the rows of all processes in training."""
    if not norm.training:
        return type(norm).forward(norm, x)
    dims, view = [0, *range(2, x.ndim)], (slice(None), *(None,) * (x.ndim - 2))
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    mean = _MeanOfAll.apply(exact.mean(dims))
    centred = exact - mean[view]
    variance = _MeanOfAll.apply(centred.square().mean(dims))
    count = x.numel() / x.shape[1] * distributed.get_world_size()
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1), norm.momentum)
    out = centred * (variance + norm.eps).rsqrt()[view]
    if norm.affine:
        out = out * norm.weight[view] + norm.bias[view]
    return out.to(x.dtype)
