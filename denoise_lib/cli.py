"""The command `denoise`: one thin command per way in, each with its body in a module of its own."""

import functools
import sys
from typing import Annotated

import typer

from .errors import UserError

app = typer.Typer(
    help="Damage speech, undo it with networks, hear the result.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Profile = Annotated[str, typer.Option(help="smoke, quick or full: a file in notebooks/profiles")]


def command(body):
    """Register a function as a command of its own name, with errors as one line instead of a traceback.

    Imports that take seconds belong inside the function, so that `denoise --help` does not wait.
    """

    @functools.wraps(body)
    def run(*args, **kwargs):
        try:
            return body(*args, **kwargs)
        except UserError as error:
            print(f"denoise: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("denoise: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None

    return app.command()(run)


@command
def fetch():
    """Fetch the default corpora into the cache.

    They are downloaded, verified and decoded; a second time nothing is left to do.
    """
    from . import corpora
    from .fetch import cache_folder

    for name, open_corpus in (("speech", corpora.open_speech), ("street", corpora.open_noise)):
        clips = open_corpus().clips
        minutes = sum(clip.samples for clip in clips) / corpora.RATE / 60
        print(f"{name}: {len(clips)} clips, {minutes:.1f} minutes, in {cache_folder()}")


@command
def report(profile: Profile = "quick"):
    """Run notebooks where needed, build the page.

    The page is report/index.html, every number in it is in report/results.json.
    """
    from . import runner

    print(runner.report(profile))


@command
def notebook(
    name: Annotated[str, typer.Argument(help="such as 03_wavenet")],
    parameters: Annotated[
        list[str] | None,
        typer.Option("-p", metavar="NAME VALUE", help="set a parameter of the notebook; may be repeated"),
    ] = None,
    profile: Profile = "quick",
):
    """Run one notebook again, rebuild the page.

    Other notebooks are not run, unless this one needs a result that is not there yet.
    """
    from . import runner

    print(runner.notebook(name, _split_pairs(parameters or []), profile))


@command
def page(profile: Profile = "quick"):
    """Build the page from finished runs."""
    from . import page as page_module

    print(page_module.build(profile))


@command
def publish():
    """Copy the page and its numbers to docs/."""
    from . import publish as publish_module

    publish_module.publish()


def main(arguments=None):
    """Entry point of `denoise`."""
    app(args=_join_pairs(sys.argv[1:] if arguments is None else arguments))


def _join_pairs(arguments):
    """`-p NAME VALUE`, papermill's way, as `-p NAME=VALUE`: typer repeats options of one value only."""
    arguments, joined = list(arguments), []
    while arguments:
        joined.append(arguments.pop(0))
        if joined[-1] == "-p" and len(arguments) >= 2:
            joined.append(f"{arguments.pop(0)}={arguments.pop(0)}")
    return joined


def _split_pairs(pairs):
    """{name: value} of the joined pairs."""
    for pair in pairs:
        if "=" not in pair:
            raise UserError(f"-p takes a name and a value, got only {pair!r}; for example: -p steps 50")
    return dict(pair.split("=", 1) for pair in pairs)


if __name__ == "__main__":
    main()
