"""Speed, side by side: ``make bench``.

Everything is a ratio within one run, taken in turn, with one thread and by the processor's time of
this process, since seconds depend on the machine and on what else it does. report/bench.json holds
the numbers, and the next page that is built shows them.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any

import torch

from denoise_lib.files import read_json, write_json
from denoise_lib.paths import ROOT, runs_folder
from denoise_lib.report import provenance
from tools.bench import gpu, inference, steps
from tools.bench.timing import Row

ROUNDS = 7


def main(rounds: int = ROUNDS, profile: str = "quick") -> None:
    """Measure, print, write report/bench.json."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    commit, dirty = provenance.commit(ROOT)
    found: dict[str, Any] = {
        "machine": provenance.machine(),
        "versions": provenance.versions(),
        "commit": commit,
        "dirty": dirty,
        "finished": datetime.datetime.now().astimezone().isoformat("T", "seconds"),
    }
    plain, found["left_out"] = steps.against_plain(ROOT / "report" / "build" / "asteroid", rounds)
    found["plain"] = _shown("Training step, complex networks", plain)
    found["networks"] = _shown("Training step, networks of the report", steps.networks(rounds))
    found["tried"] = _shown("Training step, what was tried", steps.tried(rounds, threads))
    found["damage"] = _shown("The damage", steps.damage(rounds))
    found["inference"] = inference.table(rounds)
    print("\nInference on one core: real-time factor, to RNNoise, MiB, look-ahead in ms")
    for row in found["inference"]:
        ahead = "all" if row["look_ahead_ms"] is None else f"{row['look_ahead_ms']:.0f}"
        numbers = f"{row['factor']:8.4f} {row['ratio']:8.2f} {row['memory_mib']:6d} {ahead:>6}"
        print(f"  {row['what']:40} {numbers}")
    found["stages"] = stages(runs_folder(profile))
    found["gpu"] = gpu.table(rounds)
    print("\n".join(found["left_out"]))
    write_json(ROOT / "report" / "bench.json", found)
    print("report/bench.json holds these numbers; `denoise page` shows them on the page")


def _shown(title: str, rows: list[Row]) -> list[Row]:
    print(f"\n{title}: times as long, median and middle half of {rows[0]['rounds']} rounds")
    for row in rows:
        span = f"{row['ratio']:8.3f}  [{row['low']:.3f}, {row['high']:.3f}]"
        print(f"  {row['what']:40} {span}  of {row['to']}", flush=True)
    return rows


def stages(build: Path) -> list[Row]:
    """What each notebook of a finished report took of it: {"what", "share", "threads", MiB}."""
    runs = [read_json(path) for path in sorted(build.glob("*/run.json"))]
    total = sum(run["seconds"] for run in runs)
    return [
        {
            "what": run["notebook"],
            "share": run["seconds"] / total,
            "threads": run.get("threads"),
            "memory_mib": run["peak_memory_mib"],
        }
        for run in runs
    ]


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:2]))
