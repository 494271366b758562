"""Corpora as Lhotse manifests: ``cuts.jsonl.gz``, read through the package ``lhotse``.

A clip is a cut, or where a cut holds several supervisions, each of these. Its voice is the
supervision's speaker. Where there are three voices or more, each is in one split: it is drawn by
the voice. Else it is drawn by the recording. The recordings themselves may be whatever Lhotse
reads, files, pipes or addresses; the corpus is told from another by its manifest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from denoise_lib.audio import LEVEL, resample
from denoise_lib.data.clips import Clip, Reader
from denoise_lib.data.splits import share, split_of
from denoise_lib.data.stretches import BLOCK, LONG, rms, window
from denoise_lib.errors import UserError

UNKNOWN = "unknown"  # the voice of a cut that does not say who speaks


def is_manifest(source: str | Path) -> bool:
    """Whether a source is named as a manifest is, ``.jsonl`` or ``.jsonl.gz``."""
    return str(source).endswith((".jsonl", ".jsonl.gz"))


def read(
    source: Path, rate: int, fractions: Sequence[float], min_seconds: float, by_voice: bool = True
) -> tuple[list[Clip], Reader, Counter[str]]:
    """Clips of a manifest, sorted by name, what reads them, and what was passed over.

    Args:
        by_voice: Draw the split by the voice where there are several; else by the recording.

    Raises:
        UserError: ``lhotse`` is not installed, or the file cannot be read as a manifest of cuts.
    """
    passed: Counter[str] = Counter()
    found = []
    for cut in _single(_cuts(source)):
        if cut.duration < min_seconds:
            passed[f"shorter than {min_seconds:g} s"] += 1
        elif not cut.has_recording:
            passed["without a recording"] += 1
        else:
            found.append((cut, (cut.supervisions and cut.supervisions[0].speaker) or UNKNOWN))
    voices = {voice for _, voice in found}
    dealt = split_of_voices(voices, fractions) if by_voice and len(voices) >= 3 else {}
    clips, cuts = [], {}
    for cut, voice in sorted(found, key=lambda item: item[0].id):
        split = dealt.get(voice) or split_of(_recording(cut), fractions)
        if split == "unused":
            passed["in no split"] += 1
            continue
        if cut.id in cuts:
            raise UserError(f"{source}: two cuts have the id {cut.id}; give each its own")
        cuts[cut.id] = cut
        samples = ceil(cut.num_samples * rate / cut.sampling_rate)
        clips.append(Clip(cut.id, voice, split, samples))
    return clips, _Cuts(cuts, rate), passed


def split_of_voices(voices: Iterable[str], fractions: Sequence[float]) -> dict[str, str]:
    """The split of each voice; none is left empty that is to have a share, if voices suffice."""
    ordered = sorted(voices, key=lambda voice: share(f"speaker {voice}"))
    splits = {voice: split_of(f"speaker {voice}", fractions) for voice in ordered}
    for split, wanted in zip(("test", "valid", "train"), reversed(fractions), strict=True):
        counts = Counter(splits.values())
        if wanted and not counts[split]:
            most = max(counts, key=lambda each: (counts[each], each))
            if counts[most] > 1:
                splits[next(voice for voice in reversed(ordered) if splits[voice] == most)] = split
    return splits


def _cuts(source: Path) -> Iterator[Any]:
    try:
        from lhotse import CutSet
    except ImportError:
        raise UserError(
            f"{source} is read by the package lhotse, which is not installed: "
            "pip install 'denoise_lib[lhotse]'"
        ) from None
    try:
        yield from CutSet.from_file(source)
    except FileNotFoundError:
        raise UserError(f"{source} is not there") from None
    except Exception as error:  # Lhotse raises what it meets: assertions, key and type errors
        raise UserError(f"{source} cannot be read as a manifest of cuts: {error}") from None


def _single(cuts: Iterable[Any]) -> Iterator[Any]:
    """Cuts with one supervision at most."""
    for cut in cuts:
        if len(cut.supervisions) > 1:
            yield from cut.trim_to_supervisions(keep_overlapping=False)
        else:
            yield cut


def _recording(cut: Any) -> str:
    """What a cut is cut from; of a mixed one its own name."""
    recording = getattr(cut, "recording", None)
    return recording.id if recording else cut.id


class _Cuts(Reader):
    """Reads cuts, mixed down, at the corpus's rate."""

    def __init__(self, cuts: dict[str, Any], rate: int) -> None:
        self.cuts, self.rate = cuts, rate
        self.levels: dict[str, float] = {}

    def waveform(self, name: str) -> Tensor:
        cut = self.cuts[name]
        return resample(_loaded(cut), cut.sampling_rate, self.rate)

    def beginning(self, name: str, samples: int | None) -> Tensor:
        return self.waveform(name) if samples is None else self._stretch(name, 0, samples)

    def crop(self, name: str, start: int, samples: int) -> Tensor:
        stretch, level = self._stretch(name, start, samples), self._level(name)
        return stretch * (LEVEL / level) if level > 0 else stretch

    def _stretch(self, name: str, start: int, samples: int) -> Tensor:
        cut = self.cuts[name]
        first, count, skipped = window(start, samples, cut.sampling_rate, self.rate)
        count = min(count, cut.num_samples - first)
        if count <= 0:
            return torch.zeros(0)
        part = cut.truncate(offset=first / cut.sampling_rate, duration=count / cut.sampling_rate)
        return resample(_loaded(part), cut.sampling_rate, self.rate)[skipped:][:samples]

    def _level(self, name: str) -> float:
        if name not in self.levels:
            cut, block = self.cuts[name], BLOCK * self.rate
            total = ceil(cut.num_samples * self.rate / cut.sampling_rate)
            long = cut.duration > LONG
            parts = (self._stretch(name, at, block) for at in range(0, total, block))
            self.levels[name] = rms(parts if long else [self.waveform(name)])
        return self.levels[name]


def _loaded(cut: Any) -> Tensor:
    """The sound of a cut, mixed down, float32 (time,) at its own rate.

    Raises:
        UserError: Lhotse cannot read it.
    """
    try:
        return torch.from_numpy(cut.load_audio()).float().mean(0)  # (channels, time)
    except Exception as error:  # of files, commands, the network, codecs
        raise UserError(f"the recording of {cut.id} cannot be read: {error}") from None
