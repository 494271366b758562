"""The command `denoise`: one thin command per way in, each with its body in a module of its own."""

import functools
import sys
from pathlib import Path
from typing import Annotated

import typer

from denoise_lib.errors import UserError

app = typer.Typer(
    help="Damage speech, undo it with networks, hear the result.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DENOISER = "name of a pretrained model, a checkpoint, or a baseline such as rnnoise"
Profile = Annotated[str, typer.Option(help="smoke, quick or full: a file in notebooks/profiles")]


def command(body):
    """Register a function as a command of its own name; its errors become one line each.

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
    from denoise_lib.data import corpora
    from denoise_lib.paths import cache_folder

    for name, open_corpus in (
        ("speech", corpora.open_speech),
        ("street", corpora.open_noise),
        ("read", corpora.open_read_speech),
    ):
        clips = open_corpus().clips
        minutes = sum(clip.samples for clip in clips) / corpora.RATE / 60
        print(f"{name}: {len(clips)} clips, {minutes:.1f} minutes, in {cache_folder()}")


@command
def enhance(
    source: Annotated[Path, typer.Argument(help="noisy recording, any format")],
    target: Annotated[Path, typer.Argument(help="where to write, .wav or .flac")],
    model: Annotated[str, typer.Option(help=DENOISER)] = "dcunet-stft",
    chunk: Annotated[float, typer.Option(help="seconds processed at a time")] = 10.0,
):
    """Denoise a recording."""
    from denoise_lib.commands.enhance import enhance_file

    enhance_file(source, target, model, chunk)


Condition = Annotated[
    str,
    typer.Option(help="zero, raise, both, street, varied or varied_street; several with commas"),
]
Speech = Annotated[str, typer.Option(help="corpus: default, or a folder")]
Noise = Annotated[str, typer.Option(help="street recordings: default, or a folder")]
Snr = Annotated[float, typer.Option(help="speech to street noise, dB")]


@command
def train(
    out: Annotated[Path, typer.Argument(help="checkpoint to write, .safetensors")],
    model: Annotated[
        str | None,
        typer.Option(
            help="autoencoder, wavenet, dcunet, unet, germain or informed; dcunet if nothing is said"
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="size, such as small or 20; with --start, what a unet is enlarged to: large or fine"),
    ] = None,
    condition: Condition = "both",
    speech: Speech = "default",
    noise: Noise = "default",
    snr: Snr = 0.75,
    steps: Annotated[int, typer.Option(help="optimiser steps", min=1)] = 600,
    learning_rate: Annotated[float, typer.Option(help="peak of the cosine", min=0)] = 2e-3,
    batch: Annotated[int, typer.Option(help="crops in a batch", min=1)] = 8,
    crop: Annotated[float, typer.Option(help="seconds of a crop", min=0.1)] = 1.0,
    seed: Annotated[int, typer.Option(help="of weights, crops and damage")] = 0,
    start: Annotated[str | None, typer.Option(help="checkpoint to start from")] = None,
    precision: Annotated[
        str, typer.Option(help="32-true, bf16-mixed, or auto: bf16 where that is fast")
    ] = "32-true",
    workers: Annotated[int, typer.Option(help="processes that read clips ahead", min=0)] = 0,
    vary: Annotated[bool, typer.Option(help="vary colour, room and level of the speech")] = False,
    vary_share: Annotated[
        float | None,
        typer.Option(help="share of the clips that --vary changes; 0.25 if left out", min=0, max=1),
    ] = None,
    validate: Annotated[
        str | None, typer.Option(help="condition that chooses the best weights, if another one")
    ] = None,
    fixed_norms: Annotated[
        bool, typer.Option(help="keep the batch norms' statistics of --start: for mixed conditions")
    ] = False,
):
    """Train a network; an interrupted training goes on when it is started again."""
    from denoise_lib.commands.train import Schedule, train_model

    train_model(
        out, model=model, preset=preset, condition=condition, speech=speech, noise=noise, snr_db=snr,
        schedule=Schedule(steps, learning_rate, validate_every=max(100, steps // 40)),
        batch=batch, crop=crop, seed=seed, start=start,
        precision=precision, workers=workers, vary=vary, vary_share=vary_share,
        validate=validate, fixed_norms=fixed_norms,
    )


@command
def evaluate(
    model: Annotated[str, typer.Argument(help=DENOISER)],
    condition: Annotated[
        str,
        typer.Option(
            help="as for train, or a condition of the table \"Away from home\", such as \"in a room\""
        ),
    ] = "both",
    split: Annotated[str, typer.Option(help="test, unseen_voice or valid")] = "test",
    speech: Speech = "default",
    noise: Noise = "default",
    snr: Snr = 0.75,
    seed: Annotated[int, typer.Option(help="fixes each clip's damage")] = 0,
    longest: Annotated[
        float, typer.Option(help="seconds of each clip to score; 0: all", min=0)
    ] = 10.0,
    clips: Annotated[
        int, typer.Option(help="at most this many clips, those that the report takes; 0: all", min=0)
    ] = 0,
    table: Annotated[Path | None, typer.Option(help="CSV file for the scores of each clip")] = None,
    metrics: Annotated[
        str, typer.Option(help="of wsdr, snr, si_sdr, lsd, pesq, stoi, dnsmos, with commas; or all")
    ] = "wsdr,si_sdr,pesq,stoi",
):
    """Score a network on a split, beside the noisy clips and the clean ones."""
    from denoise_lib.commands.evaluate import chosen_metrics, evaluate_model

    evaluate_model(
        model, condition=condition, split=split, speech=speech, noise=noise, snr_db=snr, seed=seed,
        longest=longest, table=table, metrics=chosen_metrics(metrics), most=clips,
    )


@command
def report(profile: Profile = "quick"):
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
):
    """Run one notebook again, rebuild the page.

    Other notebooks are not run, unless this one needs a result that is not there yet.
    """
    from denoise_lib.report import runner
    from denoise_lib.report.parameters import file_values

    given = file_values(file) if file else {}
    print(runner.notebook(name, given | _split_pairs(parameters or []), profile))


@command
def page(profile: Profile = "quick"):
    """Build the page from finished runs."""
    from denoise_lib.report import runner

    print(runner.Study(profile).build_page())


@command
def pdf():
    """Print the built page to report/report.pdf."""
    from denoise_lib.report import pdf as pdf_module

    pdf_module.build()


@command
def publish():
    """Copy the page and its numbers to docs/."""
    from denoise_lib.report import publish as publish_module

    publish_module.publish()


def main(arguments=None):
    """Entry point of `denoise`."""
    app(args=_join_pairs(sys.argv[1:] if arguments is None else arguments))


def _join_pairs(arguments):
    """`-p NAME VALUE`, papermill's way, as `-p NAME=VALUE`: typer repeats single values only."""
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
            raise UserError(
                f"-p takes a name and a value, got only {pair!r}; for example: -p steps 50"
            )
    return dict(pair.split("=", 1) for pair in pairs)


if __name__ == "__main__":
    main()
