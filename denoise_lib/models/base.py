"""The base class of all networks and baselines, with the attributes that other modules use."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from denoise_lib import RATE
from denoise_lib.damage.corruption import FRAME, HOP
from denoise_lib.errors import UserError

ROOMS = ("denoise_lib.models", "denoise_lib.models.baselines")


class Denoiser(nn.Module):
    """Waveform (batch, time) in, waveform of the same shape out, for any length.

    A subclass lies in a module of this room or of ``baselines`` that is called like its ``name``,
    by which :func:`find` finds it. Its constructor's arguments are kept in ``config`` by
    themselves, as plain values that a checkpoint can hold.

    Attributes:
        name: In results, checkpoints and on the command line.
        PRESETS: Constructor arguments of named sizes.
        config: The arguments that this one was made with, defaults included.
        rate: Samples per second of its waveforms, kept in checkpoints; None where any will do.
        trainings: Plans of the trainings that made its weights, the latest first, from its
            checkpoint; of a fresh network none.
        stride: A shift of the input by that many samples shifts the output alike.
        context: Samples on either side that an output sample can depend on, or an upper bound.
        loss: What it is trained with, a name of ``training.losses.LOSSES``.
        margin: Samples at either end of a training crop that only serve as context.
        bfloat16: Whether it may be run in bfloat16: what it writes is then the same within -55 dB.
            Of networks that write a factor of the spectrum it is; one that writes the waveform
            itself rounds that (the WaveNet: -34 dB).
    """

    name: ClassVar[str]
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}
    config: dict[str, Any] = {}
    rate: int | None = RATE
    trainings: list[dict] = []
    stride: int = 1
    context: int = 0
    loss: str = "wsdr"
    margin: int = 0
    bfloat16: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Let the constructor keep its arguments."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _keeping_arguments(cls, cls.__init__)

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> Self:
        """Build one of ``PRESETS``, with some arguments changed.

        Raises:
            UserError: There is no such preset.
        """
        if name not in cls.PRESETS:
            known = ", ".join(cls.PRESETS) or "none"
            raise UserError(f"{cls.name} has no preset {name!r}: use one of {known}")
        return cls(**{**cls.PRESETS[name], **changes})

    def at(self, rate: int, n_fft: int, hop: int) -> Self:
        """This network, untrained, for another sample rate; itself where nothing changes.

        Frames like those of the fixed damage follow the damage; other frames last as long as
        before. What counts samples without frames, such as a kernel, stays as it is.

        Args:
            rate: Samples per second.
            n_fft, hop: Frame and hop of the damage, in samples.
        """
        own = {key: self.config[key] for key in ("n_fft", "hop", "offset") if key in self.config}
        frame = {key: value * rate // (self.rate or rate) for key, value in own.items()}
        if (own.get("n_fft"), own.get("hop")) == (FRAME, HOP):
            frame |= {"n_fft": n_fft, "hop": hop}
            frame |= {"offset": own["offset"] * hop // HOP} if "offset" in own else {}
        network = self if frame == own else type(self)(**self.config | frame)
        network.rate = rate
        return network

    def forward(self, noisy: Tensor) -> Tensor:
        """(batch, time) -> (batch, time), time >= 1."""
        raise NotImplementedError


def find(name: str) -> type[Denoiser]:
    """The class of this name.

    Raises:
        UserError: There is none.
    """
    for room in ROOMS if name.isidentifier() else ():
        if find_spec(f"{room}.{name}"):
            for kind in vars(import_module(f"{room}.{name}")).values():
                if isinstance(kind, type) and vars(kind).get("name") == name:
                    return kind
    raise UserError(
        f"there is no network or tool called {name!r}: use one that `denoise models` lists"
    )


def _keeping_arguments(kind: type[Denoiser], init: Callable[..., None]) -> Callable[..., None]:
    """A constructor that notes its arguments in ``config`` before it does its work."""

    @wraps(init)
    def constructor(self: Denoiser, *args: Any, **kwargs: Any) -> None:
        if "config" not in self.__dict__:  # else a subclass has noted its own
            self.__dict__["config"] = _arguments(kind, args, kwargs)
        init(self, *args, **kwargs)

    return constructor


def _arguments(kind: type[Denoiser], args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a constructor by name; what it hands on to its base (**) is the base's."""
    signature, config = inspect.signature(kind.__init__), {}
    try:
        given = signature.bind(None, *args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{kind.__name__}: {error}") from None
    given.apply_defaults()
    for key, value in list(given.arguments.items())[1:]:
        if signature.parameters[key].kind is inspect.Parameter.VAR_KEYWORD:
            config |= _arguments(kind.__mro__[1], (), value)
        else:
            config[key] = _plain(value)
    return config


def _plain(value: Any) -> Any:
    """Tuples as lists: as they will come back from a checkpoint's JSON."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
