"""The command `denoise`: fetching and the report; the other commands are in `commands`."""

from __future__ import annotations

import functools
import inspect
import math
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from denoise_lib.commands.enhance import enhance
from denoise_lib.commands.evaluate import evaluate
from denoise_lib.commands.export import export
from denoise_lib.commands.live import live
from denoise_lib.commands.models import models
from denoise_lib.commands.options import Version
from denoise_lib.commands.signals import Ended, ending, let_go
from denoise_lib.commands.train import train
from denoise_lib.errors import UserError
from denoise_lib.progress import is_first

app = typer.Typer(
    help="Damage speech, repair it with networks, and hear the result.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Profile = Annotated[str, typer.Option(help="smoke, quick or full: a file in notebooks/profiles")]


@app.callback()
def _options(version: Version = False) -> None:
    """Damage speech, repair it with networks, and hear the result."""


def command(body: Callable[..., None]) -> Callable[..., None]:
    """Register a function as a command of its own name; its errors become one line each.

    Imports that take seconds belong inside the function, so that `denoise --help` does not wait.
    """

    @functools.wraps(body)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            with ending():
                _check_numbers(kwargs)
                return body(*args, **kwargs)
        except UserError as error:
            print(f"{_who()}: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except OSError as error:
            # A full disk, a folder that cannot be written: what is written so far is whole.
            where = f"{error.filename}: " if error.filename else ""
            print(f"{_who()}: {where}{error.strerror or error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("denoise: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None
        except Ended as ended:
            with suppress(OSError):  # the terminal is gone, perhaps, with SIGHUP
                print(f"{_who()}: ended by {ended.signal}", file=sys.stderr)
            let_go(sys.stdout)
            raise typer.Exit(ended.code) from None

    return app.command(help=inspect.getdoc(body).partition("\n\nRaises:")[0])(run)


def _who() -> str:
    """Who speaks in an error: of several processes each but the first says which it is."""
    return "denoise" if is_first() else f"denoise, process {os.environ['RANK']}"


def _check_numbers(options: dict[str, Any]) -> None:
    """Refuse nan and inf, which Python takes for numbers."""
    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            option = name.replace("_", "-")
            raise UserError(f"--{option} must be a finite number, got {value}")


@command
def fetch(
    corpus: Annotated[
        str, typer.Argument(help="default, or wide: more speech and noise, 5 GB")
    ] = "default",
) -> None:
    """Fetch the default corpora, or the wide ones, into the cache.

    They are downloaded, verified and decoded; a second call finds nothing left to do.
    """
    from denoise_lib.data import corpora, wide_corpora
    from denoise_lib.paths import cache_folder

    default = {
        "speech": corpora.open_speech,
        "street": corpora.open_noise,
        "read": corpora.open_read_speech,
    }
    wide = {
        "wide speech": lambda: corpora.open_speech("wide", min_seconds=0.3),
        "wide noise": lambda: corpora.open_noise("wide"),
    }
    if corpus not in ("default", "wide"):
        raise UserError(f"no corpora {corpus!r}: use default or wide")
    for name, open_corpus in (default if corpus == "default" else wide).items():
        clips = open_corpus().clips
        minutes = sum(clip.samples for clip in clips) / corpora.RATE / 60
        print(f"{name}: {len(clips)} clips, {minutes:.1f} minutes, in {cache_folder()}")
    if corpus == "wide":
        for package in dict.fromkeys((*wide_corpora.SPEECH, *wide_corpora.NOISE)):
            print(f"{package.name} {package.version}: {package.credit}")


for body in (enhance, live, models, train, evaluate, export):
    command(body)


@command
def report(
    profile: Profile = "quick",
    jobs: Annotated[
        int, typer.Option(help="how many notebooks run at once, where they do not need each other")
    ] = 1,
) -> None:
    """Run the notebooks that need it and build the page.

    The page is report/index.html, every number in it is in report/results.json.

    With --jobs the cores are divided: with 2 jobs on 8 cores each notebook computes with 4 threads.
    OMP_NUM_THREADS, where it is set, is the number of threads of each notebook, however many run.
    The order of a sum, and with it the last bits of a number, depends on the number of threads, and
    a training amplifies such differences; with the same number of threads per notebook the numbers
    do not depend on --jobs. The page's provenance section states that number. An interrupted run
    resumes only with the same number of threads. A notebook, with the processes that score for it,
    takes 1 to 5 GiB of memory.
    """
    from denoise_lib.report import runner

    print(runner.report(profile, jobs=jobs))


@command
def notebook(
    name: Annotated[str, typer.Argument(help="such as 03_wavenet")],
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "-p", metavar="NAME VALUE", help="set a parameter of the notebook; may be repeated"
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("-f", metavar="FILE", help="YAML file of parameters; -p takes precedence"),
    ] = None,
    profile: Profile = "quick",
) -> None:
    """Run one notebook again and rebuild the page.

    Other notebooks are not run, unless this one needs a result that does not exist yet.
    """
    from denoise_lib.report import runner
    from denoise_lib.report.parameters import file_values

    given = file_values(file) if file else {}
    print(runner.notebook(name, given | _split_pairs(parameters or []), profile))


@command
def sweep(
    name: Annotated[str, typer.Argument(help="such as 04_dcunet")],
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "-p", metavar="NAME VALUE...", help="values of one parameter; may be repeated"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="runs per grid point, with consecutive seeds")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="folder; report/sweeps/PROFILE/NAME when left out")
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            help="how many run at once, 0: one for each core and 2 GiB; notebook 08 needs 5 GiB"
        ),
    ] = 0,
    scheduler: Annotated[
        str, typer.Option(help="address of a running Dask scheduler, such as tcp://10.0.0.1:8786")
    ] = "",
    slurm: Annotated[
        bool, typer.Option("--slurm", help="start the processes as jobs of SLURM")
    ] = False,
    profile: Profile = "quick",
) -> None:
    """Run one notebook over a grid of parameters and seeds, and compare.

    For example: denoise sweep 04_dcunet -p learning_rate 1e-3 2e-3 -p preset small 10 --seeds 3

    All 12 runs are made by Dask, in processes of this machine that listen on loopback alone.
    FOLDER/index.html compares the points, with intervals over seeds; FOLDER/results.json holds
    every number. Where a process dies, its run begins again; what is finished is kept, and a second
    call does the rest only. The report's own runs are not touched; those that the notebook needs
    are read from there.

    With --scheduler or --slurm the other machines must have this clone, its environment and FOLDER
    at the same paths. --slurm takes cores, memory, queue and walltime from jobqueue.slurm in
    ~/.config/dask/jobqueue.yaml, and its scheduler listens where the jobs can reach it.
    """
    from denoise_lib.sweep import sweep as module

    given = _split_grid(parameters or [])
    print(module.sweep(name, given, seeds, profile, out, jobs, scheduler, slurm))


@command
def page(profile: Profile = "quick") -> None:
    """Build the page from finished runs."""
    from denoise_lib.report import runner

    print(runner.page(profile))


@command
def verify(
    one: Annotated[Path, typer.Argument(metavar="A", help="results.json of a report")],
    other: Annotated[Path, typer.Argument(metavar="B", help="that of another")],
    tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            help="largest allowed difference: absolute for numbers up to 1, relative above; "
            "0: equal to the last bit",
        ),
    ] = 0.0,
) -> None:
    """Compare the numbers of two reports; times and paths are left out.

    Names each entry that moved by more than the tolerance, and then ends with status 1. On one
    machine two reports of one commit are equal to the last bit. Other processors and other numbers
    of threads round differently.

    Raises:
        UserError: A file is no results.json.
    """
    from denoise_lib.report.verify import compare

    compared, moved = compare(one, other, tolerance)
    for line in moved:
        print(line)
    if moved:
        print(f"{len(moved)} differ, of {compared} entries in both")
        raise typer.Exit(1)
    within = f"within {tolerance:g}" if tolerance else "to the last bit"
    print(f"{compared} of {compared} entries are equal {within}")


@command
def pdf() -> None:
    """Print the built page to report/report.pdf."""
    from denoise_lib.report import pdf as pdf_module

    pdf_module.build()


@command
def publish() -> None:
    """Publish the built report.

    Copies the page and its numbers to docs/, example clips to audio/ and the report's two DCUnets
    to denoise_lib/pretrained/; rewrites the results table of README and the model cards.
    """
    from denoise_lib.report import publish as publish_module

    publish_module.publish()
    models(cards=True)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `denoise`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    app(args=(_join_grid if arguments[:1] == ["sweep"] else _join_pairs)(arguments))


def _join_grid(arguments: list[str]) -> list[str]:
    """`-p NAME VALUE VALUE` as `-p NAME=VALUE -p NAME=VALUE`; the next option ends the values."""
    arguments, joined = list(arguments), []
    while arguments:
        joined.append(arguments.pop(0))
        if joined[-1] != "-p" or not arguments:
            continue
        name, values = arguments.pop(0), []
        while arguments and not re.match(r"-[^\d.]|--", arguments[0]):  # -5 is a value
            values.append(arguments.pop(0))
        pairs = [f"{name}={value}" for value in values] or [name]
        joined.append(pairs[0])
        joined += [each for pair in pairs[1:] for each in ("-p", pair)]
    return joined


def _split_grid(pairs: list[str]) -> dict[str, list[str]]:
    """{name: values} of the joined pairs."""
    grid: dict[str, list[str]] = {}
    for pair in pairs:
        for name, value in _split_pairs([pair]).items():
            grid.setdefault(name, []).append(value)
    return grid


def _join_pairs(arguments: list[str]) -> list[str]:
    """`-p NAME VALUE`, papermill's way, as `-p NAME=VALUE`: typer repeats single values only."""
    arguments, joined = list(arguments), []
    while arguments:
        joined.append(arguments.pop(0))
        if joined[-1] == "-p" and len(arguments) >= 2:
            joined.append(f"{arguments.pop(0)}={arguments.pop(0)}")
    return joined


def _split_pairs(pairs: list[str]) -> dict[str, str]:
    """{name: value} of the joined pairs."""
    for pair in pairs:
        if "=" not in pair:
            raise UserError(
                f"-p takes a name and a value, got only {pair!r}; for example: -p steps 50"
            )
    return dict(pair.split("=", 1) for pair in pairs)


if __name__ == "__main__":
    main()
