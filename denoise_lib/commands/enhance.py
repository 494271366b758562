"""`denoise enhance`: recordings in, denoised ones out."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoise_lib.commands.options import DENOISER, Version
from denoise_lib.errors import UserError
from denoise_lib.progress import bar, say

if TYPE_CHECKING:
    import numpy as np

    from denoise_lib.models.base import Denoiser
    from denoise_lib.models.whole_band import Treatment
    from denoise_lib.recordings.places import Job
    from denoise_lib.recordings.read import Survey
    from denoise_lib.recordings.write import Writer


def enhance(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT OUTPUT",
            help="a recording or film, and the file to write; or, with --out, any number of "
            "recordings and folders; - is standard input or standard output",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="folder for the results of several recordings or of folders, whose sub-folders "
            "are kept; results that are there already are skipped",
        ),
    ] = None,
    model: Annotated[str, typer.Option(help=DENOISER)] = "speech",
    strength: Annotated[
        float,
        typer.Option(
            help="how much of the noise is taken off: 0 nothing, 1 all that the network finds"
        ),
    ] = 1.0,
    attenuation_limit: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            help="turn noise down by at most so many dB, such as 12, or 6 where music is to stay; "
            "no limit if left out",
        ),
    ] = None,
    cut: Annotated[
        bool,
        typer.Option(
            "--cut",
            help="cut off all sound that the network does not hear, above 8 kHz for most; "
            "without it, that sound is kept and turned down as much as the sound below",
        ),
    ] = False,
    mono: Annotated[
        bool, typer.Option("--mono", help="mix all channels into one; default: keep all")
    ] = False,
    track: Annotated[
        int | None,
        typer.Option(
            help="audio track of a video file, counted from 1; if left out, its default track"
        ),
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="file format, sample format or both, such as flac, 24 or 'wav float'; samples are "
            "16, 24, 32 (bits), float or double; if left out, OUTPUT's suffix and the input's "
            "samples",
        ),
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="replace output files that are there already")
    ] = False,
    jobs: Annotated[
        int, typer.Option(help="how many recordings are denoised at the same time", min=1)
    ] = 1,
    device: Annotated[
        str,
        typer.Option(
            help="where the network runs: auto (a GPU if there is one), cpu, cuda, cuda:1 or mps"
        ),
    ] = "auto",
    threads: Annotated[
        int,
        typer.Option(help="threads for each recording; 0: all cores, divided among --jobs", min=0),
    ] = 0,
    chunk: Annotated[
        float,
        typer.Option(help="seconds of sound in memory at a time; results hardly depend on it"),
    ] = 10.0,
    version: Version = False,
) -> None:
    """Remove noise from recordings.

    denoise enhance noisy.wav clean.wav

    denoise enhance film.mp4 better.mp4

    denoise enhance talks more.wav --out quiet

    cat noisy.flac | denoise enhance - - > clean.wav

    Any audio or video file can be read. The result is as long as the recording and has its sample
    rate, its channels, its sample format and its title; of a video file, the video stream is copied
    unchanged and only the sound is replaced. The suffix of OUTPUT decides the file format: .wav,
    .flac, .mp3, .ogg, .opus, .m4a, .mp4, .mkv and others; a pipe gets a wav. Missing or damaged
    parts of a recording are reported in one line. An input file is never overwritten. Nothing is
    sent anywhere.

    `speech` and `rnnoise` treat everything but speech as noise, including music and applause. The
    gain of `speech` on music fluctuates by 20 dB and more. To keep music, use --attenuation-limit
    6, which limits the fluctuation to 6 dB.

    With --out or a folder, what is done already is skipped, and what fails is listed at the end and
    makes the exit status 1. `denoise models` lists the networks for --model.

    Raises:
        UserError: A recording cannot be read or written, an option makes no sense, or there is no
            such model.
    """
    if not 0 < chunk < math.inf:
        raise UserError(f"--chunk must be a number of seconds above 0, got {chunk}")
    if not 0 <= strength <= 1:
        raise UserError(f"--strength must be between 0 and 1, got {strength}")
    if attenuation_limit is not None and not attenuation_limit >= 0:
        raise UserError(
            f"--attenuation-limit must be a number of dB from 0 on, got {attenuation_limit}"
        )
    from denoise_lib.files import remove_left_over
    from denoise_lib.recordings import places as where
    from denoise_lib.recordings.write import asked

    container, samples = asked(format_)
    planned, passed_over = where.jobs(places, out, container)
    if passed_over:
        say(f"{passed_over} files are passed over: by their names, they are no recordings")
    many = out is not None or Path(places[0]).is_dir()
    inputs = {where.identity(job.source) for job in planned} - {None}
    skipped = {job for job in planned if many and not force and where.done(job, inputs)}
    waiting = [job for job in planned if job not in skipped]
    if skipped:
        count = f"{len(skipped)} of {len(planned)}"
        say(f"{count} results are there already, --force makes them again")
        remove_left_over(Path(job.target).resolve() for job in skipped)
    for job in waiting[: not many]:
        where.refuse_to_lose(job, inputs, force)
    if not waiting:
        return
    from denoise_lib.models.whole_band import Treatment

    work = Work(
        _loaded(model, device, threads, jobs),
        _device(device),
        Treatment(
            strength,
            math.inf if attenuation_limit is None else attenuation_limit,
            cut,
            min(chunk, 600.0),
        ),
        mono,
        track,
        container,
        samples,
    )
    if not many:
        work.do(waiting[0])
        return
    failed = _all(work, waiting, inputs, force, jobs)
    for source, reason in failed:
        say(f"not done: {source}: {reason}")
    if failed:
        raise UserError(f"{len(failed)} of {len(waiting)} recordings are not done, see above")


def _all(
    work: Work, waiting: list[Job], inputs: set[tuple[int, int]], force: bool, at_once: int
) -> list[tuple[str, str]]:
    """Do all jobs; those that failed, each with its reason."""
    from denoise_lib.recordings.places import refuse_to_lose

    def attempt(job: Job) -> tuple[str, str] | None:
        try:
            refuse_to_lose(job, inputs, force)
            work.do(job, bars=at_once == 1)
        except UserError as error:
            return job.source, str(error)
        return None

    with bar(len(waiting), "recordings", " recordings") as shown:
        with ThreadPoolExecutor(at_once) as pool:
            failed = []
            try:
                for result in pool.map(attempt, waiting):
                    failed += [result] if result else []
                    shown.update()
            except BaseException:
                work.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return failed


def _device(name: str) -> str:
    """The device of that name.

    Raises:
        UserError: There is none.
    """
    import torch

    from denoise_lib.models.inference import device

    if name == "auto":
        return device()
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise UserError(f"--device {name}: {told}; use auto, cpu or cuda") from None
    return name


def _loaded(model: str, device: str, threads: int, jobs: int) -> Denoiser:
    """The network, on its device; processor threads are shared out among the jobs."""
    import torch

    from denoise_lib.models.checkpoints import denoiser

    network = denoiser(model).eval().to(_device(device))
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if threads or jobs > 1:
        torch.set_num_threads(threads or max(1, (usable or 1) // jobs))
    return network


@dataclass(frozen=True)
class Work:
    """How each recording is denoised.

    Args:
        model: The network, in evaluation mode on its device.
        device: That device.
        treatment: How much is done.
        mono: Whether channels are mixed down.
        track: Which track of sound, from 1; the default one when None.
        container: Suffix of ``--format``, if there is one.
        samples: Sample format of ``--format``, if there is one.
        stopped: Set when recordings that are being done are to be given up.
    """

    model: Denoiser
    device: str
    treatment: Treatment
    mono: bool
    track: int | None
    container: str | None
    samples: str | None
    stopped: threading.Event = field(default_factory=threading.Event)

    def do(self, job: Job, bars: bool = True) -> None:
        """Denoise a recording.

        Raises:
            UserError: It cannot be read, or its target cannot be written.
        """
        from denoise_lib.recordings.places import PIPE, destination
        from denoise_lib.recordings.read import failures, survey
        from denoise_lib.recordings.slices import opened

        name = "the standard input" if job.source == PIPE else job.source
        self._refuse_suffix(job.target)
        with opened(job.source) as file, destination(job.target) as out:
            with _seconds(None, f"{Path(name).name}: level", bars) as shown:
                found = survey(file, name, self.track, shown.update)
            notes = [*found.notes]
            offset, level, channels = found.offset, found.level, found.channels
            if any(offset):
                notes.append(f"a constant offset of {max(offset, key=abs):.3g} is taken off")
            weights = None
            if self.mono and channels > 1:
                notes.append(f"{channels} channels mixed down to one")
                weights, channels = found.meter.weights(), 1
                offset, level = _mixed(found, weights)
            if notes:
                say(f"{name}: {'; '.join(notes)}")
            writer = None
            try:
                writer = self._writer(job, found, channels, out)
                self._pass(found, writer, weights, level, offset, bars)
                writer.close()
            except UserError as error:
                raise UserError(f"{job.target}: {error}") from None
            except OSError:
                raise
            except failures() as error:
                raise UserError(f"{job.target} cannot be written: {error}") from None
            self._say_about(job.target, found, writer, channels)

    def _refuse_suffix(self, target: str) -> None:
        """Raise where nothing is known to write such a file with."""
        from denoise_lib.files import is_device
        from denoise_lib.recordings.places import PIPE
        from denoise_lib.recordings.write import writable

        if target == PIPE or is_device(Path(target)):
            if target == PIPE and sys.stdout.isatty():
                raise UserError(
                    "- writes sound to the standard output, which is a terminal: name a file"
                )
            return
        suffix = Path(target).suffix[1:].lower()
        if not writable(suffix):
            raise UserError(f"{target}: name the output .wav, .flac, .mp3, .ogg, .opus or .m4a")
        if self.container and suffix != self.container:
            raise UserError(
                f"{target} does not end in .{self.container}: leave --format out, or use that "
                "suffix"
            )

    def _writer(self, job: Job, found: Survey, channels: int, out: object) -> Writer:
        """What writes the result."""
        from denoise_lib.recordings.film import FilmWriter
        from denoise_lib.recordings.write import (
            FILMS,
            FLAC_IN_OGG,
            SOUNDFILE,
            SoundFileWriter,
            writable,
        )

        suffix = self.container or Path(job.target).suffix[1:].lower()
        suffix = suffix if writable(suffix) else "wav"  # of a pipe or a device
        flac_in_ogg = suffix in FLAC_IN_OGG and found.codec == "flac"
        if suffix in SOUNDFILE and not flac_in_ogg:
            own = (found.subtype, self.samples)
            about = (found.rate, channels, found.frames, found.tags)
            return SoundFileWriter(out, suffix, *own, *about)
        film = found.file if found.film and suffix in FILMS else None
        own = found.codec if Path(found.name).suffix[1:].lower() == suffix else ""
        about = (found.rate, channels, film, found.track, own, found.tags)
        return FilmWriter(out, suffix, *about, found.subtype, self.samples)

    def _pass(
        self,
        found: Survey,
        writer: Writer,
        weights: np.ndarray | None,
        level: np.ndarray,
        offset: np.ndarray,
        bars: bool,
    ) -> None:
        """Read, denoise and write a recording, block by block."""
        from denoise_lib.models.whole_band import WholeBand

        whole = WholeBand(self.model, found.rate, level, offset, self.treatment, self.device)
        with _seconds(found.seconds, Path(found.name).name, bars) as shown:
            for block in whole.blocks(_read(found, weights)):
                if self.stopped.is_set():
                    raise UserError("interrupted")
                writer.write(block)
                shown.update(round(len(block) / found.rate, 3))

    def _say_about(self, target: str, found: Survey, writer: Writer, channels: int) -> None:
        """What the user should know of the result."""
        if writer.rate != found.rate:
            say(f"{target}: written at {writer.rate} Hz, its format does not have {found.rate} Hz")
        if writer.clipped:
            of = found.frames * channels
            say(f"{target}: {writer.clipped} of {of} samples clipped to full scale")


def _seconds(total: float | None, what: str, shown: bool) -> object:
    """A bar over seconds of sound, with the time that is left; on a terminal only."""
    return bar(total and round(total, 1), what, " s") if shown else bar(0, what, " s", hidden=True)


def _read(found: Survey, weights: np.ndarray | None) -> Iterator[np.ndarray]:
    """Blocks of a recording, mixed down where there are weights."""
    from denoise_lib.recordings.read import blocks

    for block in blocks(found):
        yield block if weights is None else (block @ weights)[:, None]


def _mixed(found: Survey, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offset and level of a mix, found in a pass of its own."""
    from denoise_lib.recordings.level import Meter

    meter = Meter(found.rate, 1)
    for block in _read(found, weights):
        meter.add(block)
    return meter.offset, meter.level
