"""What a notebook leaves behind: scores, measurements, clips to listen to, and its progress.

A row of results has the keys {experiment, condition, model, split, n, total, voices, metric, noisy,
noisy_ci95, denoised, ci95, cell}. `noisy` and `denoised` are means over the `n` clips, out of
`total`, that have a score; `voices` is the number of their voices. `ci95` is the 95 % interval of
`denoised`, `noisy_ci95` that of `noisy`, over voices and their clips. If no clip has a score, and
the reason is the same for all, `reason` gives it. Where a system gives no score of a clip that has
one when noisy, the mean over the others would flatter it: `denoised` and `ci95` are then None,
`noisy` is the mean over all clips that have one, as beside any other system, and `reason` says of
how many clips there is no score. Any other value is a measurement, {experiment, name, of, value,
unit, ci95, n, cell}, with `voices` where it is a mean over clips. Differences between two systems
are a separate list, see `differences.difference_row`. `cell` is the number of the notebook cell
that wrote the entry, or None outside a notebook.
"""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from denoise_lib.audio import save
from denoise_lib.data import corpora
from denoise_lib.display.player import Player, encoded
from denoise_lib.errors import UserError
from denoise_lib.files import atomic, read_json, write_json
from denoise_lib.metrics.evaluate import failed
from denoise_lib.metrics.intervals import interval
from denoise_lib.models import checkpoints
from denoise_lib.study.differences import System, difference_row
from denoise_lib.study.sentences import Sentence

CLIP_COLUMNS = (
    "experiment",
    "condition",
    "model",
    "split",
    "clip",
    "voice",
    "metric",
    "noisy",
    "denoised",
    "reason",
)
Row = dict[str, Any]


class Run:
    """Collects the results of one notebook; only examples are written before :meth:`finish`.

    Args:
        name: Of the notebook, such as "04_dcunet"; also the name of its main experiment.
        out: Folder of this run, made when missing.
        profile: Name of the profile that the notebook runs under.
    """

    def __init__(self, name: str, out: str | Path, profile: str = "quick") -> None:
        self.name, self.out, self.profile = name, Path(out), profile
        self.rows: list[Row] = []
        self.measurements: list[Row] = []
        self.differences: list[Row] = []
        self.clips: list[Row] = []
        self.precisions: set[str] = set()  # that networks were run in, beside those of trainings
        self.out.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        scores: list[dict],
        *,
        condition: str,
        model: str,
        split: str,
        experiment: str | None = None,
    ) -> list[Row]:
        """Add the scores of one model on one set of clips; one row for each metric.

        Args:
            scores: One dict per clip, {"clip", "voice", "noisy": {metric: value}, "denoised":
                {metric: value}, "reason": {metric: why a value is missing}}. A missing value is
                None: the clip then counts in `total` but not in `n`, for noisy and denoised alike,
                so that both means are over the same clips. A measure that a clip does not name was
                not taken of it: it does not count at all.
            condition: Such as "both" or "street".
            split: "test", "unseen_voice", "valid" or "train".
            experiment: Where the rows belong when one notebook holds several experiments.

        Returns:
            The new rows.

        Raises:
            ValueError: There are no scores, or one is not finite (a broken metric or model).
        """
        if not scores:
            raise ValueError(f"{self.name}: no scores for {model}, {condition}, {split}")
        key = {
            "experiment": experiment or self.name,
            "condition": condition,
            "model": model,
            "split": split,
        }
        new = []
        for metric in dict.fromkeys(metric for clip in scores for metric in clip["denoised"]):
            taken = [clip for clip in scores if metric in clip["denoised"]]
            records = [_record(clip, metric) for clip in taken]
            self.clips += [key | record for record in records]
            lost = [
                record for clip, record in zip(taken, records, strict=True) if failed(clip, metric)
            ]
            new.append({**key, **_row(metric, records, lost), "cell": _cell()})
        self.rows += new
        return new

    def measure(
        self,
        name: str,
        of: str,
        value: float | None,
        *,
        unit: str = "",
        ci95: list[float] | None = None,
        n: int = 1,
        voices: int | None = None,
        experiment: str | None = None,
    ) -> Row:
        """Add a number that is no score of noisy and denoised clips: seconds, a correlation.

        Args:
            name: What was measured.
            of: Of what.
            value: How much of the unit; None where a system gave none.
            unit: Such as "s" or "dB"; empty for a pure number.
            ci95: 95 % interval, low and high.
            n: Number of clips, seeds or places that the value is a mean over.
            voices: Number of voices of these clips, where the value is a mean over clips.
            experiment: As in :meth:`add`.

        Returns:
            The new measurement.
        """
        self.measurements.append(
            {
                "experiment": experiment or self.name,
                "name": name,
                "of": of,
                "value": value,
                "unit": unit,
                "ci95": ci95,
                "n": n,
                **({} if voices is None else {"voices": voices}),
                "cell": _cell(),
            }
        )
        return self.measurements[-1]

    def compare(
        self,
        a: System,
        b: System,
        *,
        condition: str,
        split: str = "test",
        metric: str = "wsdr",
        experiment: str | None = None,
        earlier: Iterable[Row] = (),
    ) -> Row:
        """Add how two systems differ on the same clips: mean of a minus b, interval over voices.

        Args:
            a, b: A model such as "dcunet", or (experiment, model); `b` may be "noisy".
            experiment: Where the line belongs, when one notebook holds several.
            earlier: Records of other runs to look for the systems in, from :func:`read_clips`.

        Returns:
            The new line, see :func:`denoise_lib.study.differences.difference_row`.

        Raises:
            KeyError: There are no such scores, or of several experiments.
            ValueError: The clips are not the same, or not their damage.
        """
        clips = [*self.clips, *earlier]
        row = difference_row(clips, a, b, condition=condition, split=split, metric=metric)
        self.differences.append({"experiment": experiment or self.name, **row, "cell": _cell()})
        return self.differences[-1]

    def comparable(
        self, a: System, b: System, *, condition: str, earlier: Iterable[Row] = ()
    ) -> bool:
        """Whether both systems have wSDRs of the same test clips in the same damage.

        Those of another notebook may have none: each notebook has its own parameters.
        """
        try:
            clips = [*self.clips, *earlier]
            difference_row(clips, a, b, condition=condition, split="test", metric="wsdr")
        except (KeyError, ValueError):
            return False
        return True

    def value(
        self,
        condition: str,
        model: str,
        metric: str = "wsdr",
        split: str = "test",
        experiment: str | None = None,
    ) -> Row:
        """The row of one number, for a verdict.

        Raises:
            KeyError: There is no such row, or there are several (name the experiment).
        """
        wanted = {"condition": condition, "model": model, "metric": metric, "split": split}
        if experiment:
            wanted["experiment"] = experiment
        found = [row for row in self.rows if wanted.items() <= row.items()]
        if len(found) != 1:
            raise KeyError(f"{len(found)} rows of {self.name} match {wanted}")
        return found[0]

    def example(
        self,
        key: str,
        player: Player,
        *,
        clip: str,
        condition: str,
        split: str,
        voice: str,
        publish_as: dict[str, tuple[str, str]] | None = None,
        whole: dict[str, Tensor] | None = None,
    ) -> None:
        """Keep what a player plays for the page's head, and whole clips for the repository.

        examples/<key>.json names, for each version, the sound as it is played: its key, its FLAC
        file and its spectrogram.

        Args:
            key: Name of the example; what may not stand in a file name becomes "-".
            player: What :func:`denoise_lib.display.player.compare` returned.
            publish_as: {version: (file name in audio/ without its suffix, what it is)}, for
                `make publish`.
            whole: {version: waveform (time,)}, needed for the versions that are published; they
                get the player's gain.

        Raises:
            ValueError: A version is to be published that the player does not have.
        """
        if unknown := sorted(set(publish_as or {}) - set(player.versions)):
            raise ValueError(f"{key}: to be published but not played: {', '.join(unknown)}")
        key = re.sub(r"[^\w-]+", "-", key)
        folder, entries = self.out / "examples", []
        for name, sound in player.versions.items():
            file = f"{key}-{re.sub(r'[^a-z0-9]+', '_', name.lower())}"
            for suffix, content in ((".flac", sound.flac), (".webp", sound.picture)):
                with atomic(folder / f"{file}{suffix}") as temporary:
                    temporary.write_bytes(content)
            entry = {"name": name, "key": sound.key, "sound": f"{file}.flac"}
            entry |= {"picture": f"{file}.webp", "scores": player.scores.get(name, {})}
            if name in (publish_as or {}):
                published, described = publish_as[name]
                loud = whole[name] * 10 ** (player.gain_db / 20)
                save(folder / f"{published}-whole.flac", loud, player.rate)
                entry |= {"publish_as": published, "what": described}
                entry |= {"whole": f"{published}-whole.flac"}
            entries.append(entry)
        what = {"clip": clip, "condition": condition, "split": split, "voice": voice}
        how = {"rate": player.rate, "gain_db": player.gain_db, "seconds": player.seconds}
        write_json(folder / f"{key}.json", {**what, **how, "cut": player.cut, "versions": entries})

    def sentence(
        self,
        sentence: Sentence,
        order: int,
        condition: str,
        versions: dict[str, Tensor],
        scores: dict[str, dict[str, float | None]],
        rate: int,
    ) -> None:
        """Keep the versions of a sentence for the page's listening matrix.

        sentences/<condition>-<order>.json names the sound of each version, as it is played: at the
        nominal level of speech, without a gain. Versions of another call are kept.

        Args:
            sentence: What is heard.
            order: Its place among the sentences.
            versions: {version: waveform (time,)}, "clean" and "noisy" among them.
            scores: {version: {metric: value}}.
        """
        folder, name = self.out / "sentences", f"{condition}-{order}"
        record = {**sentence._asdict(), "order": order, "condition": condition, "rate": rate}
        path = folder / f"{name}.json"
        before = read_json(path)["versions"] if path.exists() else []
        entries = {each["name"]: each for each in before}
        for version, waveform in versions.items():
            key, flac = encoded(waveform, rate)
            with atomic(folder / f"{key}.flac") as temporary:
                temporary.write_bytes(flac)
            entries[version] = {"name": version, "key": key, "scores": scores.get(version, {})}
        seconds = len(versions["clean"]) / rate
        write_json(path, {**record, "seconds": seconds, "versions": list(entries.values())})

    def progress(self, entry: dict[str, Any]) -> None:
        """Note how far a training has come, for whoever runs the notebook: a line of JSON."""
        with open(self.out / "progress.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def finish(self) -> None:
        """Write clips.csv and results.json, whose being there says that the run is complete."""
        with atomic(self.out / "clips.csv") as temporary:
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, CLIP_COLUMNS)
                writer.writeheader()
                writer.writerows(self.clips)
        write_json(
            self.out / "results.json",
            {
                "experiment": self.name,
                "profile": self.profile,
                "rows": self.rows,
                "measurements": self.measurements,
                "differences": self.differences,
                "peak_memory_mib": peak_memory(),
                "threads": torch.get_num_threads(),
                # What the numbers depend on, for the runner: this library's modules that were
                # loaded, and the shipped files that were read.
                "modules": sorted(name for name in sys.modules if _ours(name)),
                "shipped": sorted(checkpoints.read_files()),
                "corpora": corpora.opened(),
                "precisions": self._precisions(),
            },
        )

    def _precisions(self) -> list[str]:
        """What this run's networks multiplied in; "auto" differs between processors."""
        paths = [path for path in self.out.glob("*.safetensors") if ".state" not in path.suffixes]
        plans = [checkpoints.read_record(path).get("plan") or {} for path in paths]
        trained = {plan["precision"] for plan in plans if "precision" in plan}
        return sorted(trained | self.precisions)


def read_clips(folder: Path) -> list[Row]:
    """Records of single clips of a finished run, as in ``Run.clips``; a missing score is None.

    Raises:
        UserError: The folder holds no finished run.
    """
    path = Path(folder) / "clips.csv"
    if not path.exists():
        raise UserError(f"{path} does not exist: run that notebook first")
    with open(path, newline="", encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    for record in records:
        for side in ("noisy", "denoised"):
            record[side] = float(record[side]) if record[side] else None
    return records


def peak_memory() -> int:
    """Largest resident memory so far, MiB (0 where the system cannot tell).

    That of this process; on Linux with those of the processes that it has started and that still
    run, such as those that score clips. Theirs may have been at another time: it is an upper bound.
    """
    # Linux, where the other figure counts the memory of the process that started this one, too.
    with suppress(OSError, IndexError):
        own = _peak_kib("self")
        return round((own + sum(_peak_of_child(pid) for pid in _children())) / 2**10)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))  # bytes on macOS, else KiB


def _peak_kib(pid: str) -> int:
    """Largest resident memory of a process, KiB; OSError or IndexError where nothing tells it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])


def _peak_of_child(pid: str) -> int:
    """The same of a child, which may just have ended: 0 then."""
    with suppress(OSError, IndexError):
        return _peak_kib(pid)
    return 0


def _children() -> list[str]:
    """Numbers of the processes that the threads of this one have started and that still run."""
    found = []
    for thread in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # the thread has just ended
            found += thread.read_text().split()
    return found


def _cell() -> int | None:
    """The number that Jupyter gives to the cell that is being executed."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    # Not its execution_count, which newer versions raise before the cell and older ones after it.
    return len(shell.user_ns["In"]) - 1 if shell else None


def _ours(module: str) -> bool:
    return module.partition(".")[0] == "denoise_lib"


def _record(clip: dict, metric: str) -> Row:
    """One clip's line of clips.csv in one metric."""
    sides = {
        side: _finite(clip[side].get(metric), clip["clip"], metric)
        for side in ("noisy", "denoised")
    }
    who = {"clip": clip["clip"], "voice": clip["voice"], "metric": metric}
    return {**who, **sides, "reason": clip.get("reason", {}).get(metric, "")}


def _finite(value: float | None, clip: str, metric: str) -> float | None:
    if value is None:
        return None
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{metric} of {clip} is {value}; a missing score is None with a reason")
    return value


def _row(metric: str, records: list[Row], lost: list[Row]) -> Row:
    """Counts, means and interval of one measure, over records of clips.

    Args:
        lost: Those of which the system gave no score.
    """
    scored = [each for each in records if None not in (each["noisy"], each["denoised"])]
    row = {"n": len(scored), "total": len(records), "voices": len({e["voice"] for e in scored})}
    row |= {"metric": metric, **_summary(scored)}
    reasons = {record["reason"] for record in records}
    if not scored and len(reasons) == 1 and any(reasons):
        row["reason"] = reasons.pop()
    elif lost:
        why = sorted({each["reason"] for each in lost} - {""})
        row["reason"] = f"no score of {len(lost)} clips" + f": {'; '.join(why)}" * bool(why)
    if lost:
        noisy = [each for each in records if each["noisy"] is not None]
        row |= {**_mean(noisy, "noisy"), "denoised": None, "ci95": None}
    return row


def _summary(scored: list[Row]) -> Row:
    """Means of both sides and their intervals, over records of clips."""
    if not scored:
        return {"noisy": None, "noisy_ci95": None, "denoised": None, "ci95": None}
    return _mean(scored, "noisy") | _mean(scored, "denoised")


def _mean(scored: list[Row], side: str) -> Row:
    """Mean and interval of one side, under the keys of a row of results."""
    values = [each[side] for each in scored]
    mean, low, high = interval(values, [each["voice"] for each in scored])
    key = "ci95" if side == "denoised" else "noisy_ci95"
    return {side: mean, key: None if math.isnan(low) else [low, high]}
