"""What a notebook leaves behind: summary rows, per-clip scores, clips to listen to.

A row of results.json is {experiment, condition, model, split, n, total, metric, noisy, denoised,
ci95}: `noisy` and `denoised` are means over the `n` scored clips out of `total`, `ci95` is the 95 %
interval of `denoised`. Where no clip has a score, `reason` says why if it is the same for all.
Differences between two systems are a list of their own, see `comparison.difference_row`.
"""

import csv
import math
import re
import sys
from pathlib import Path

import numpy as np

from denoise_lib import RATE
from denoise_lib.errors import UserError
from denoise_lib.files import atomic, write_json
from denoise_lib.metrics.intervals import interval
from denoise_lib.progress import COMPLETE
from denoise_lib.study.differences import difference_row

CLIP_COLUMNS = [
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
]


class Run:
    """Collects the results of one notebook; nothing but examples is written before `finish()`.

    Args:
        name: notebook name, such as "04_dcunet"; also the default experiment name.
        out: folder of this run, made when missing.
        profile: name of the profile the notebook runs under.
        parameters: what the notebook was given, by name; kept beside the rows.
    """

    def __init__(self, name, out, profile="quick", parameters=None):
        self.name, self.out, self.profile = name, Path(out), profile
        self.parameters = dict(parameters or {})
        self.rows, self.clips, self.differences = [], [], []
        self.out.mkdir(parents=True, exist_ok=True)

    def add(self, scores, *, condition, model, split, experiment=None):
        """Add the scores of one model on one set of clips; one summary row per metric.

        Args:
            scores: one dict per clip, {"clip", "voice", "noisy": {metric: value}, "denoised":
                {metric: value}, "reason": {metric: why a value is missing}}. A missing value is
                None: the clip then counts in `total` but not in `n`, for noisy and denoised alike,
                so that both means are over the same clips.
            condition: "zero", "raise", "both" or "street".
            split: "test" or "unseen_voice".
            experiment: as in DESIGN's results.json, when one notebook holds several.

        Returns:
            The new summary rows.

        Raises:
            ValueError: no scores, or a score that is not finite (a broken metric or model).
        """
        if not scores:
            raise ValueError(f"{self.name}: no scores for {model}, {condition}, {split}")
        key = dict(
            experiment=experiment or self.name, condition=condition, model=model, split=split
        )
        new = []
        for metric in dict.fromkeys(metric for clip in scores for metric in clip["denoised"]):
            pairs = []
            for clip in scores:
                pair = [
                    _finite(clip[side].get(metric), clip["clip"], metric)
                    for side in ("noisy", "denoised")
                ]
                self.clips.append(
                    {
                        **key,
                        "clip": clip["clip"],
                        "voice": clip["voice"],
                        "metric": metric,
                        "noisy": pair[0],
                        "denoised": pair[1],
                        "reason": clip.get("reason", {}).get(metric, ""),
                    }
                )
                if None not in pair:
                    pairs.append(pair)
            new.append(
                {**key, "n": len(pairs), "total": len(scores), "metric": metric, **_summary(pairs)}
            )
            reasons = {clip.get("reason", {}).get(metric) for clip in scores}
            if not pairs and len(reasons) == 1 and any(reasons):
                new[-1]["reason"] = reasons.pop()
        self.rows += new
        return new

    def row(
        self,
        *,
        condition,
        model,
        split,
        metric,
        denoised,
        noisy=None,
        ci95=None,
        n=1,
        experiment=None,
    ):
        """Add one row as it is, for a number that has no clips behind it."""
        self.rows.append(
            {
                "experiment": experiment or self.name,
                "condition": condition,
                "model": model,
                "split": split,
                "n": n,
                "total": n,
                "metric": metric,
                "noisy": noisy,
                "denoised": denoised,
                "ci95": ci95,
            }
        )
        return self.rows[-1]

    def compare(
        self, a, b, *, condition, split="test", metric="wsdr", experiment=None, earlier=()
    ):
        """Add how two systems differ on the same clips: mean of a minus b, interval over voices.

        Args:
            a, b: a model such as "dcunet", or (experiment, model); `b` may be "noisy".
            experiment: where the line belongs, when one notebook holds several.
            earlier: records of other runs to look for the systems in, from `read_clips()`.

        Returns:
            The new line, see `comparison.difference_row`.

        Raises:
            KeyError: no such scores, or of several experiments.
            ValueError: not the same clips, or not the same damage.
        """
        row = difference_row(
            [*self.clips, *earlier], a, b, condition=condition, split=split, metric=metric
        )
        self.differences.append({"experiment": experiment or self.name, **row})
        return self.differences[-1]

    def value(self, condition, model, metric="wsdr", split="test", experiment=None):
        """The summary row of one number, for a verdict sentence.

        Raises:
            KeyError: there is no such row, or there are several (name the experiment).
        """
        wanted = {"condition": condition, "model": model, "metric": metric, "split": split}
        if experiment:
            wanted["experiment"] = experiment
        found = [row for row in self.rows if wanted.items() <= row.items()]
        if len(found) != 1:
            raise KeyError(f"{len(found)} rows of {self.name} match {wanted}")
        return found[0]

    def example(
        self, key, *, clip, condition, split, voice, versions, scores=None, rate=RATE, gain_db=None
    ):
        """Keep one clip for the page: a FLAC per version and examples/<key>.json naming them.

        Args:
            key: name of the example; what may not stand in a file name becomes "-".
            versions: {version: waveform (time,)} in the order to show: clean, noisy, dcunet.
            scores: {version: {metric: value}}.
            gain_db: gain in dB, applied to every version alike: levels within a clip stay
                comparable, and the page can say what was done. None: as in a player, 0 dB or what
                keeps the loudest version from clipping.
        """
        from denoise_lib.audio import save  # only here: numbers need neither audio nor players
        from denoise_lib.display.player import common_gain_db

        key = re.sub(r"[^\w-]+", "-", key)
        folder = self.out / "examples"
        if gain_db is None:
            gain_db = common_gain_db(versions.values())
        gain = 10 ** (gain_db / 20)
        entries = []
        for name, waveform in versions.items():
            file = f"{key}-{re.sub(r'[^a-z0-9]+', '_', name.lower())}.flac"
            save(folder / file, waveform * gain, rate)
            entries.append({"name": name, "file": file, "scores": (scores or {}).get(name, {})})
        write_json(
            folder / f"{key}.json",
            {
                "clip": clip,
                "condition": condition,
                "split": split,
                "voice": voice,
                "rate": rate,
                "gain_db": gain_db,
                "versions": entries,
            },
        )

    def finish(self):
        """Write results.json and clips.csv, print peak memory and the mark of a complete run."""
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
                "parameters": self.parameters,
                "rows": self.rows,
                "differences": self.differences,
            },
        )
        print(f"peak memory: {peak_memory()} MiB")
        print(COMPLETE.format(name=self.name))


def read_clips(folder):
    """Records of single clips of a finished run, as in `Run.clips`; a missing score is None.

    Raises:
        UserError: the folder holds no finished run.
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


def _finite(value, clip, metric):
    if value is None:
        return None
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{metric} of {clip} is {value}; a missing score is None with a reason")
    return value


def _summary(pairs):
    if not pairs:
        return {"noisy": None, "denoised": None, "ci95": None}
    noisy, denoised = zip(*pairs, strict=True)
    mean, low, high = interval(denoised)
    return {
        "noisy": float(np.mean(noisy)),
        "denoised": mean,
        "ci95": None if math.isnan(low) else [low, high],
    }


def peak_memory():
    """Largest resident memory of this process so far, in MiB (0 where the system cannot tell)."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))  # bytes on macOS, else KiB
