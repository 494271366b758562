"""WebRTC's noise suppressor, what browsers and telephony programs run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from denoise_lib import RATE
from denoise_lib.errors import UserError
from denoise_lib.models.base import Denoiser

FRAME = 160  # samples, 10 ms
DELAY = 94  # samples: 96 of the overlap of its frames, less what its high-pass leads; by SI-SDR
HIGH = 3  # of 0 to 4; what browsers ask for
LEVELS = range(1, 5)


class WebRTC(Denoiser):
    """WebRTC's suppressor and the high-pass before it, the delay taken off.

    It is adaptive and looks at no later frame; a chunk of a long recording is run in on
    ``context``, so it differs slightly from one pass. It works on 16-bit integers: samples are
    rounded, and those outside [-1, 1] are clipped. The high-pass turns the phase of low
    frequencies, which costs SI-SDR and wSDR and is not heard; PESQ and STOI do not mind.

    Args:
        level: 1 to 4; how much it takes away at most, from 6 to 21 dB.

    Shape:
        (batch, time) -> (batch, time), time >= 1, at 16 kHz; computed on the CPU, without gradient.

    Raises:
        ValueError: Another level.
        UserError: `webrtc-noise-gain` is not installed.

    References:
        The suppressor and its levels: modules/audio_processing/ns of WebRTC's source; built as the
        package webrtc-noise-gain.
    """

    name = "webrtc"
    stride = FRAME
    context = 3 * RATE  # for its estimate of the noise

    def __init__(self, level: int = HIGH) -> None:
        super().__init__()
        if level not in LEVELS:
            raise ValueError(f"WebRTC: level must be from 1 to 4, got {level}")
        try:
            from webrtc_noise_gain import AudioProcessor
        except ImportError:
            raise UserError(
                "the baseline webrtc needs the package webrtc-noise-gain: "
                "pip install webrtc-noise-gain"
            ) from None
        self.level, self._processor = level, AudioProcessor

    @torch.no_grad()
    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        return torch.stack([self._one(clip) for clip in noisy.float().cpu()]).to(noisy)

    def _one(self, clip: Tensor) -> Tensor:
        """One clip through a processor of its own, (time,) -> (time,)."""
        time = len(clip)
        padded = F.pad(clip, (0, DELAY + -(time + DELAY) % FRAME))
        return _frames(self.processor(), padded)[DELAY : DELAY + time]

    def processor(self) -> Any:
        """A new processor, which knows nothing of the noise yet."""
        return self._processor(0, self.level)


class WebRTCStream:
    """WebRTC's suppressor block by block: what one pass over all blocks gives.

    Attributes:
        latency: Samples that go in, at most, before one's output comes out.
    """

    latency = FRAME + DELAY

    def __init__(self, model: WebRTC) -> None:
        self.processor = model.processor()
        self.heard = torch.zeros(0)  # less than a frame
        self.skip = DELAY  # samples that come before the beginning
        self.taken = self.given = 0

    def push(self, samples: Tensor) -> Tensor:
        """(time,) -> (samples that are ready,)."""
        self.taken += len(samples)
        self.heard = torch.cat([self.heard, samples])
        whole = len(self.heard) // FRAME * FRAME
        clean, self.heard = _frames(self.processor, self.heard[:whole]), self.heard[whole:]
        first, self.skip = min(self.skip, whole), max(0, self.skip - whole)
        self.given += whole - first
        return clean[first:]

    def finish(self) -> Tensor:
        """What still waited, as if silence followed."""
        left = self.taken - self.given
        return self.push(torch.zeros(self.latency))[:left]


def _frames(processor: Any, waveform: Tensor) -> Tensor:
    """Whole frames through a processor, (time,) -> (time,), with its delay."""
    samples = (waveform * 32768).round().clamp(-32768, 32767).to(torch.int16).numpy()
    frames = [
        processor.Process10ms(samples[start : start + FRAME].tobytes()).audio
        for start in range(0, len(samples), FRAME)
    ]
    if not frames:
        return waveform
    return torch.frombuffer(bytearray(b"".join(frames)), dtype=torch.int16).float() / 32768
