"""Denoising without end: block by block, as the sound comes, with a latency that is stated."""

from __future__ import annotations

from numbers import Integral
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from denoise_lib import RATE
from denoise_lib.errors import UserError
from denoise_lib.models.any_rate import AnyRate
from denoise_lib.models.base import Denoiser
from denoise_lib.models.baselines import BASELINES, RNNoise, WebRTC
from denoise_lib.models.baselines.rnnoise import RNNoiseStream
from denoise_lib.models.baselines.webrtc import WebRTCStream
from denoise_lib.models.causal import CausalNet
from denoise_lib.models.checkpoints import denoiser
from denoise_lib.models.whole_band import NEAR, NOMINAL, near_sound

LONGEST = 10 * RATE  # samples that go through a network at a time, so that memory stays flat


class Stream:
    """A denoiser for sound that has no end yet: blocks in, blocks out.

    What comes out, one block after the other, is the denoised recording. It is as long as what
    went in once :meth:`flush` has been called, and does not depend on how it was cut into blocks.

    A causal network (``speech``) keeps what it needs of the past and answers after one frame, 32
    ms; RNNoise and WebRTC's suppressor do, too. Any other network is run over a second at a time,
    with the sound on either side that its output depends on, so that it answers seconds later.

    A network wants speech at the level that it was trained at. :func:`~denoise_lib.enhance`
    measures the level over the whole recording, which a stream cannot: either ``level`` is given,
    and the stream is what a recording of that level gives, sample for sample; or the level of what
    is loud is followed slowly (:class:`RunningLevel`), and the two differ a little.

    Args:
        model: Name for :func:`~denoise_lib.load_pretrained`, a baseline's, or a network.
        level: RMS of the speech re full scale, such as 0.05 for -26 dB; None: it is followed.
        rate: Samples per second of the blocks. Another rate than 16 kHz adds the time that
            resampling takes, and what lies above 8 kHz is turned down with what lies below.

    Attributes:
        latency: Samples that go in, at most, before an input sample's output comes out.

    Raises:
        UserError: There is no such model, it is run over whole recordings and cannot stream, it
            is not for 16 kHz, or the level or the rate is not above 0.

    Example:
        >>> stream = denoise_lib.Stream("speech")
        >>> for block in blocks:
        ...     play(stream.process(block))
        >>> play(stream.flush())
    """

    def __init__(
        self, model: str | Denoiser = "speech", *, level: float | None = None, rate: int = RATE
    ) -> None:
        if not (isinstance(rate, Integral) and rate > 0):
            raise UserError(f"a rate is a whole number of Hz above 0, got {rate}")
        if level is not None and not 0 < level < float("inf"):
            raise UserError(f"a level is a number above 0, the RMS re full scale; got {level}")
        self._level = RunningLevel() if level is None else SteadyLevel(level)
        self._engine = _engine(denoiser(model) if isinstance(model, str) else model)
        self.latency = self._engine.latency
        self._around = None
        if rate != RATE:
            self._around = AnyRate(_At16(self), rate)
            self.latency = self._around.latency
        self._array = False
        self._ended = False

    def process(self, block: Tensor | NDArray) -> Tensor | NDArray:
        """The next samples in, those that are ready out.

        Args:
            block: float samples at the stream's rate, (time,), any number of them; tensor or array.

        Returns:
            float32 samples, the same kind as ``block``; how many depends on what was ready.

        Raises:
            UserError: Another shape or kind, or samples that are not finite.
            RuntimeError: The stream has been flushed.
        """
        if self._ended:
            raise RuntimeError("this stream has been flushed: make a new one")
        self._array = isinstance(block, np.ndarray)
        samples = torch.as_tensor(block)
        if samples.ndim != 1 or not samples.is_floating_point():
            raise UserError(
                f"a block holds floats in [-1, 1], shaped (time,); got "
                f"{str(samples.dtype).removeprefix('torch.')} {tuple(samples.shape)}"
            )
        samples = samples.detach().to("cpu", torch.float32)
        if not samples.isfinite().all():
            raise UserError("the block has samples that are not finite")
        if self._around:
            return self._as_given(torch.from_numpy(self._around.process(samples.numpy())))
        return self._as_given(self._denoised(samples))

    def _denoised(self, samples: Tensor) -> Tensor:
        """Samples at 16 kHz in, those that are ready out."""
        pieces = [
            self._level.undo(self._engine.push(self._level.apply(piece)))
            for piece in samples.split(LONGEST)
        ]
        return torch.cat(pieces)

    def _rest(self) -> Tensor:
        """What still waited, at 16 kHz."""
        return self._level.undo(self._engine.finish())

    def flush(self) -> Tensor | NDArray:
        """The end: what was still waiting for later samples, as if silence followed.

        Raises:
            RuntimeError: The stream has been flushed.
        """
        if self._ended:
            raise RuntimeError("this stream has been flushed: make a new one")
        self._ended = True
        if self._around:
            return self._as_given(torch.from_numpy(self._around.flush()))
        return self._as_given(self._rest())

    def _as_given(self, samples: Tensor) -> Tensor | NDArray:
        return samples.numpy() if self._array else samples


class _At16:
    """The part of a stream that runs at 16 kHz, in arrays."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.latency = stream, stream.latency

    def process(self, block: NDArray) -> NDArray:
        return self.stream._denoised(torch.from_numpy(block)).numpy()

    def flush(self) -> NDArray:
        return self.stream._rest().numpy()


# --- level --------------------------------------------------------------------------------------


class SteadyLevel:
    """One gain for all, from a level that is known."""

    def __init__(self, level: float) -> None:
        self.gain = NOMINAL / level

    def apply(self, samples: Tensor) -> Tensor:
        """Bring samples (time,) to the nominal level."""
        return samples * self.gain

    def undo(self, samples: Tensor) -> Tensor:
        """Take the gain off again."""
        return samples / self.gain


class RunningLevel:
    """Follows the level of what is loud, and undoes its gain on the very samples that had it.

    Every 10 ms that are not more than 16 dB softer than the level until then count, as in ITU-T
    P.56; the level is the root of the mean power over the last seconds of those. So it rises
    within a second and stays in pauses. Where nothing counts, as after a loud click, it falls by
    1 dB in five seconds. The gain moves from one 10 ms to the next along a line, and a sample's
    gain depends on what came before it alone.

    The first 10 ms have a gain of 1, for nothing is known before them.
    """

    PIECE = RATE // 100  # samples
    ACTIVE = 10**-1.6  # of the level's power
    COUNTED = 300  # pieces that the mean goes over: 3 s
    FALL = 10 ** (-0.1 / 500)  # of the power, in a piece that does not count
    GAINS = (0.05, 200.0)  # least and greatest gain, -26 and 46 dB

    def __init__(self) -> None:
        self.power = 0.0  # mean square of what counts, 0 while nothing was heard
        self.count = 0
        self.energy, self.position = 0.0, 0  # within the piece that is coming in
        self.before, self.after = 1.0, 1.0  # gain at the piece's ends
        self.gains = torch.zeros(0)  # of samples that are not out yet

    def apply(self, samples: Tensor) -> Tensor:
        """Bring samples (time,) towards the nominal level."""
        gains = []
        while len(samples) > (done := sum(map(len, gains))):
            piece = samples[done : done + self.PIECE - self.position]
            gains.append(self._gain(len(piece)))
            self.energy += float(piece.double().square().sum())
            self.position += len(piece)
            if self.position == self.PIECE:
                self._count(self.energy / self.PIECE)
                self.energy, self.position = 0.0, 0
        gain = torch.cat([samples[:0], *gains])
        self.gains = torch.cat([self.gains, gain])
        return samples * gain

    def undo(self, samples: Tensor) -> Tensor:
        """Take the gain off that these samples had."""
        gain, self.gains = self.gains[: len(samples)], self.gains[len(samples) :]
        return samples / gain

    def _gain(self, samples: int) -> Tensor:
        share = (torch.arange(samples) + self.position) / self.PIECE
        return self.before + (self.after - self.before) * share

    def _count(self, power: float) -> None:
        """A piece has ended: the level after it, and the gain that the next one moves to."""
        self.before = self.after
        if power > self.power * self.ACTIVE:
            self.count = min(self.count + 1, self.COUNTED)
            self.power += (power - self.power) / self.count
        elif power > 0:
            self.power *= self.FALL
        if self.power > 0:
            least, greatest = self.GAINS
            self.after = min(max(NOMINAL / self.power**0.5, least), greatest)


# --- networks -----------------------------------------------------------------------------------


class _Engine(Protocol):
    """Levelled samples in, denoised ones out; ``latency`` as for :class:`Stream`."""

    latency: int

    def push(self, samples: Tensor) -> Tensor: ...

    def finish(self) -> Tensor: ...


def _engine(model: Denoiser) -> _Engine:
    if model.rate not in (None, RATE):
        raise UserError(
            f"this {model.name} is for {model.rate} Hz and streams run at {RATE} Hz: use "
            "`denoise enhance`"
        )
    if isinstance(model, CausalNet):
        return _FrameByFrame(model.eval())
    if isinstance(model, RNNoise):
        return RNNoiseStream()
    if isinstance(model, WebRTC):
        return WebRTCStream(model)
    if model.name in BASELINES and model.name != "neighbourhood":
        raise UserError(
            f"{model.name} is run over whole recordings here and cannot stream: use speech or "
            "`denoise enhance`"
        )
    return _LookAhead(model.eval())


class _FrameByFrame:
    """A causal network, from frame to frame: its forward pass with the past kept."""

    def __init__(self, model: CausalNet) -> None:
        self.model, self.latency, self.past = model, model.latency, model.no_past()
        # Sound that is not yet in all its frames, after the half frame of silence before the start.
        self.heard = model.window.new_zeros(model.n_fft // 2)
        # What was written so far of the frames that overlap with the next, and its windows' sum.
        self.written = model.window.new_zeros(2, model.n_fft)
        self.skipped = model.n_fft // 2  # samples before the start, not given out
        self.taken = self.given = 0

    @torch.inference_mode()
    def push(self, samples: Tensor) -> Tensor:
        """(time,) -> (samples that no later frame will touch,)."""
        model, hop = self.model, self.model.hop
        self.taken += len(samples)
        self.heard = torch.cat([self.heard, samples.to(self.heard)])
        if len(self.heard) < model.n_fft:
            return samples[:0]
        frames = self.heard.unfold(0, model.n_fft, hop)  # (frames, n_fft)
        self.heard = self.heard[len(frames) * hop :]
        spectrum = torch.fft.rfft(frames * model.window).T[None]  # (1, freq, frames)
        estimate = model.estimate(spectrum, self.past)[0].T
        ready = [self._add(frame) for frame in torch.fft.irfft(estimate) * model.window]
        skip = min(self.skipped, len(ready) * hop)
        self.skipped -= skip
        out = torch.cat(ready)[skip:].cpu()
        self.given += len(out)
        return out

    def _add(self, frame: Tensor) -> Tensor:
        """Overlap and add; the hop of samples that is complete by this frame."""
        hop = self.model.hop
        self.written = self.written + torch.stack([frame, self.model.window.square()])
        total, windows = self.written[:, :hop]
        self.written = torch.cat([self.written[:, hop:], self.written.new_zeros(2, hop)], 1)
        return total / windows

    def finish(self) -> Tensor:
        """What is still within frames; silence follows, as in the forward pass."""
        left = self.taken - self.given
        return self.push(torch.zeros(self.model.n_fft))[:left]


class _LookAhead:
    """Any network, a stretch at a time, with the sound on either side that it depends on.

    What :func:`~denoise_lib.models.inference.process` does in a whole recording, and the silence
    that :func:`~denoise_lib.enhance` keeps around it.
    """

    def __init__(self, model: Denoiser, seconds: float = 1.0) -> None:
        grid = model.stride
        self.model = model
        self.near = round(NEAR * RATE)
        self.context = -(-max(model.context, self.near) // grid) * grid
        self.step = max(1, round(seconds * RATE) // grid) * grid
        self.latency = self.step + self.context
        self.heard, self.past = torch.zeros(0), 0  # of which so many samples have been answered

    def push(self, samples: Tensor) -> Tensor:
        """(time,) -> (samples whose context is complete,)."""
        self.heard = torch.cat([self.heard, samples])
        pieces = [samples[:0]]
        while len(self.heard) >= self.past + self.step + self.context:
            pieces.append(self._next())
        return torch.cat(pieces)

    @torch.inference_mode()
    def _next(self) -> Tensor:
        """One stretch, answered."""
        window = self.heard[: self.past + self.step + self.context]
        heard = torch.from_numpy(near_sound(window.numpy(), self.near))
        out = self.model(window[None])[0].where(heard, 0.0)
        out = out[self.past : self.past + self.step]
        past = min(self.context, self.past + len(out))
        self.heard = self.heard[self.past + len(out) - past :]
        self.past = past
        return out

    def finish(self) -> Tensor:
        """What still waited for its context."""
        pieces = [self.heard[:0]]
        while len(self.heard) > self.past:
            pieces.append(self._next())
        return torch.cat(pieces)
