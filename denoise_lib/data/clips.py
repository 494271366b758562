"""What a corpus is made of: clips, and a reader that gives their waveforms."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from denoise_lib.audio import to_level
from denoise_lib.errors import UserError


@dataclass(frozen=True)
class Clip:
    """One recording: its name, unique in the corpus, and its length at the corpus's rate."""

    name: str
    voice: str
    split: str
    samples: int


class Reader:
    """Reads the recordings of a corpus by the names of its clips."""

    def waveform(self, name: str) -> Tensor:
        """The recording of a clip, float32 (time,)."""
        raise NotImplementedError

    def noisy(self, name: str) -> Tensor:
        """Its noisy recording, float32 (time,)."""
        raise UserError("this corpus has no noisy recordings of its own")

    def beginning(self, name: str, samples: int | None) -> Tensor:
        """So many samples of it, or all."""
        return self.waveform(name)[:samples]

    def crop(self, name: str, start: int, samples: int) -> Tensor:
        """So many samples from ``start`` on, of the recording brought to the nominal level."""
        return to_level(self.waveform(name))[start : start + samples]
