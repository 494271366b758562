"""The command `denoise`: fetching and the report; the other commands are in `commands`."""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from denoise_lib import __version__
from denoise_lib.commands.enhance import enhance
from denoise_lib.commands.evaluate import evaluate
from denoise_lib.commands.export import export
from denoise_lib.commands.live import live
from denoise_lib.commands.models import models
from denoise_lib.commands.train import train
from denoise_lib.errors import UserError

app = typer.Typer(
    help="Damage speech, undo it with networks, hear the result.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Profile = Annotated[str, typer.Option(help="smoke, quick or full: a file in notebooks/profiles")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"denoise {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Damage speech, undo it with networks, hear the result."""


def command(body: Callable[..., None]) -> Callable[..., None]:
    """Register a function as a command of its own name; its errors become one line each.

    Imports that take seconds belong inside the function, so that `denoise --help` does not wait.
    """

    @functools.wraps(body)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            _check_numbers(kwargs)
            return body(*args, **kwargs)
        except UserError as error:
            print(f"denoise: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except OSError as error:
            # A full disk, a folder that cannot be written: what is written so far is whole.
            where = f"{error.filename}: " if error.filename else ""
            print(f"denoise: {where}{error.strerror or error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("denoise: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None

    return app.command(help=inspect.getdoc(body).partition("\n\nRaises:")[0])(run)


def _check_numbers(options: dict[str, Any]) -> None:
    """Refuse nan and inf, which Python takes for numbers."""
    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            option = name.replace("_", "-")
            raise UserError(f"--{option} must be a finite number, got {value}")


@command
def fetch(
    corpus: Annotated[
        str, typer.Argument(help="default, or wide: volunteers' speech and others' noise, 1.2 GB")
    ] = "default",
) -> None:
    """Fetch the default corpora, or the wide ones, into the cache.

    They are downloaded, verified and decoded; a second time nothing is left to do.
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
def report(profile: Profile = "quick") -> None:
    """Run notebooks where needed, build the page.

    The page is report/index.html, every number in it is in report/results.json.
    """
    from denoise_lib.report import runner

    print(runner.report(profile))


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
        typer.Option("-f", metavar="FILE", help="YAML file of parameters; -p goes before it"),
    ] = None,
    profile: Profile = "quick",
) -> None:
    """Run one notebook again, rebuild the page.

    Other notebooks are not run, unless this one needs a result that is not there yet.
    """
    from denoise_lib.report import runner
    from denoise_lib.report.parameters import file_values

    given = file_values(file) if file else {}
    print(runner.notebook(name, given | _split_pairs(parameters or []), profile))


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
            min=0, help="by how much a number may differ; above 1 in proportion; 0: not by a bit"
        ),
    ] = 0.0,
) -> None:
    """Compare the numbers of two reports; times and paths are left out.

    Names each entry that moved by more than the tolerance, and then ends with status 1. On one
    machine two reports of one commit are equal to the last bit. Other processors and other numbers
    of threads round otherwise.

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
    """Copy the page and its numbers to docs/, and write the model cards anew."""
    from denoise_lib.report import publish as publish_module

    publish_module.publish()
    models(cards=True)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `denoise`."""
    app(args=_join_pairs(sys.argv[1:] if arguments is None else arguments))


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
