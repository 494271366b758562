"""Change the code in small ways and see whether the tests notice: ``make mutants``.

mutmut makes the mutants and runs, for each, those of the fast tests below that reach the changed
function. All of them would take hours, so a seed draws some of each module. The share that was
killed and the ones that survived are written to docs/MUTANTS.md, each survivor with the reason that
tools/mutants.toml gives for it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "report" / "mutants"
REPORT = ROOT / "docs" / "MUTANTS.md"
WHY = ROOT / "tools" / "mutants.toml"
# What is mutated, and the fast tests of each: a mutant takes seconds.
MODULES = {
    "damage/corruption.py": ["tests/test_corruption.py"],
    "damage/street.py": ["tests/test_street.py"],
    "data/splits.py": [
        "tests/test_corpora.py::test_a_split_is_a_pure_function_of_the_name",
        "tests/test_corpora.py::test_splits_are_those_of_yesterday",
        "tests/test_corpora.py::test_impossible_fractions_are_refused",
        "tests/test_corpora.py::test_shares_are_those_of_sha_256",
        "tests/test_corpora.py::test_fractions_end_where_they_say",
    ],
    "metrics/wsdr.py": ["tests/test_losses.py"],
    "metrics/evaluate.py": ["tests/test_means.py"],
    "metrics/intervals.py": ["tests/test_differences.py", "tests/test_seeds.py"],
    "metrics/measures.py": ["tests/test_metrics.py"],
    "training/losses.py": ["tests/test_losses.py"],
    "training/loop.py": ["tests/test_training.py"],
    "report/provenance.py": ["tests/test_provenance.py"],
}
# Tests of these files that start processes or take long, and that the others do without.
LEFT_OUT = (
    *("processes", "several_devices", "ladder", "waits", "uniform", "allocates", "coverage"),
    *("every_recording", "of_the_original", "half_the_size", "checkpoints_rebuild", "memory"),
    *("it_learns", "damaged_file", "dnsmos"),
)
KILLED = {"killed", "timeout", "segfault", "caught by type check"}


def main() -> None:
    """Make a sample of mutants, run their tests, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--each", type=int, default=20, help="mutants of a module; 0: all")
    parser.add_argument("--children", type=int, default=2, help="tests that run at once")
    parser.add_argument(
        "--again", action="store_true", help="only what survived before, after tests were written"
    )
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(MODULES)}; all: none")
    options = parser.parse_args()
    modules = options.modules or list(MODULES)
    prepare(modules)
    os.chdir(WORK)
    earlier = _earlier()
    found = run(modules, options, earlier if options.again else {})
    kept = {**earlier, **found}
    (WORK / "found.json").write_text(json.dumps(kept, indent=1), encoding="utf-8")
    REPORT.write_text(
        report(kept, tomllib.loads(WHY.read_text(encoding="utf-8"))), encoding="utf-8"
    )
    print(f"wrote {REPORT}")


def _earlier() -> dict[str, Any]:
    """What earlier calls found of other modules."""
    path = WORK / "found.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def prepare(modules: Iterable[str]) -> None:
    """Copy what the tests need, and tell mutmut what to mutate and which tests to run."""
    WORK.mkdir(parents=True, exist_ok=True)
    for name in ("mutants", "denoise_lib", "tests", "notebooks", "docs", "audio"):
        shutil.rmtree(WORK / name, ignore_errors=True)
        if name != "mutants":
            hide = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(ROOT / name, WORK / name, ignore=hide)
    shutil.copy(ROOT / "requirements.lock", WORK)
    tests = list(dict.fromkeys(test for module in modules for test in MODULES[module]))
    settings = {
        "source_paths": ["denoise_lib"],
        "only_mutate": [f"denoise_lib/{module}" for module in modules],
        "also_copy": ["notebooks", "docs", "audio", "requirements.lock"],
        "pytest_add_cli_args": [
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-k",
            f"not ({' or '.join(LEFT_OUT)})",
        ],
        "pytest_add_cli_args_test_selection": tests,
        "timeout_constant": 20.0,
        "use_git_change_detection": False,
        "track_dependencies": False,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (WORK / "pyproject.toml").write_text(
        text + "\n[tool.mutmut]\n" + "\n".join(lines) + "\n", encoding="utf-8"
    )


def run(modules: list[str], options: argparse.Namespace, before: dict[str, Any]) -> dict[str, Any]:
    """Run mutmut on a sample.

    Args:
        before: Results of which only the survivors are tried again; all is drawn anew if empty.

    Returns:
        By module: how many mutants there are, which were tried, and the difference that each
        survivor makes.
    """
    import mutmut.__main__ as mutmut
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code

    everything, chosen = mutmut.collect_source_file_mutation_data, []
    counts: dict[str, int] = {}

    def sampled(*, mutant_names: Any) -> tuple[list, dict]:
        """The sample in place of all mutants."""
        mutants, data = everything(mutant_names=mutant_names)
        for module in modules:
            of_module = [each for each in mutants if str(each[0].path) == f"denoise_lib/{module}"]
            counts[module] = len(of_module)
            of_module.sort(key=lambda each: each[1])
            if before:
                of_module = [each for each in of_module if each[1] in before[module]["survivors"]]
            elif options.each and len(of_module) > options.each:
                of_module = random.Random(f"{options.seed} {module}").sample(
                    of_module, options.each
                )
            chosen.extend((module, *each) for each in of_module)
        return [each[1:] for each in chosen], data

    mutmut.collect_source_file_mutation_data = sampled
    mutmut._run((), options.children)
    found: dict[str, Any] = {}
    for module in modules:
        tried = [(data, name) for of, data, name, _ in chosen if of == module]
        survivors = {
            name: changed_lines(get_diff_for_mutant(name, path=data.path))
            for data, name in tried
            if status_by_exit_code[data.exit_code_by_key[name]] not in KILLED
        }
        drawn = {"mutants": counts[module], "tried": len(tried), "seed": options.seed}
        found[module] = before.get(module, drawn) | {"survivors": survivors}
    return found


def changed_lines(difference: str) -> list[str]:
    """The lines that a unified difference takes away and adds, without its head."""
    lines = difference.splitlines()
    return [each for each in lines if each[:1] in "+-" and each[:3] not in ("+++", "---") and each]


def report(found: dict[str, Any], why: dict[str, str]) -> str:
    """docs/MUTANTS.md.

    Args:
        found: What :func:`run` returned.
        why: Reasons by the name of a survivor.
    """
    tried = sum(each["tried"] for each in found.values())
    killed = tried - sum(len(each["survivors"]) for each in found.values())
    lines = [
        "# Mutants",
        "",
        "Written by `make mutants` (tools/mutants.py): mutmut changes the code in small ways, and "
        "the fast tests of the changed module must notice. Not all mutants are tried, since that "
        "takes hours: a seed draws some of each module. `--again` tries the survivors again. "
        "Where one is marked as tested since, a test was written for it, and the table does not "
        "count it yet.",
        "",
        "| module | mutants | tried | killed | share |",
        "|---|--:|--:|--:|--:|",
    ]
    for module in (each for each in MODULES if each in found):
        each = found[module]
        kills = each["tried"] - len(each["survivors"])
        share = f"{kills / each['tried']:.0%}" if each["tried"] else "–"
        lines.append(f"| {module} | {each['mutants']} | {each['tried']} | {kills} | {share} |")
    lines.append(f"| all | | {tried} | {killed} | {killed / max(1, tried):.0%} |")
    lines += ["", "## Survivors", ""]
    for module in (each for each in MODULES if each in found):
        for name, changes in found[module]["survivors"].items():
            reason = why.get(name, "not explained yet")
            lines += [f"**{name}**: {reason}", "", "```diff", *changes, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
