"""`denoise live`: microphone to loudspeaker, or pipe to pipe, block by block."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, NamedTuple

import typer

from denoise_lib.commands.options import DENOISER
from denoise_lib.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from denoise_lib.models.stream import Stream

BLOCK = 256  # samples that are read at a time: the causal network's hop, 16 ms
LONGEST_WAIT = 0.25  # s that a microphone's sound may wait
# Samples without a header: bytes of one, and of a full scale that is an integer.
RAW = {"u8": (1, "PCM_U8"), "s16": (2, "PCM_16"), "s24": (3, "PCM_24"), "s32": (4, "PCM_32")}
RAW |= {"f32": (4, "FLOAT"), "f64": (8, "DOUBLE")}
ENDLESS = 0xFFFFFFFF  # the length in a wav header that is written before the end is known


def live(
    source: Annotated[
        str, typer.Argument(help="microphone, by name or number; - is standard input")
    ] = "default",
    target: Annotated[
        str, typer.Argument(help="loudspeaker, by name or number; - is standard output")
    ] = "default",
    model: Annotated[
        str, typer.Option(help=f"{DENOISER}; for a microphone a causal one")
    ] = "speech",
    level: Annotated[
        float | None,
        typer.Option(
            help="level of the speech, RMS in dB re full scale, such as -26; if left out, it is "
            "estimated from the sound so far and adapts slowly",
            max=0,
        ),
    ] = None,
    raw: Annotated[
        str,
        typer.Option(
            help=f"samples on standard input if they come without a wav header: {', '.join(RAW)}"
        ),
    ] = "s16",
    rate: Annotated[
        int | None,
        typer.Option(
            help="samples per second of raw samples, of the microphone and of the loudspeaker; "
            "16000 if left out",
            min=1,
        ),
    ] = None,
    channels: Annotated[
        int, typer.Option(help="channels of raw samples; each is denoised on its own", min=1)
    ] = 1,
) -> None:
    """Denoise in real time: from microphone to loudspeaker, or from pipe to pipe.

    `denoise live` takes the default microphone and loudspeaker and needs the package sounddevice
    (pip install 'denoise_lib[live]'). `denoise live - -` reads standard input and writes the same
    kind to standard output: a wav of any rate and channels, with integers or floats, or raw samples
    that --raw, --rate and --channels describe:

    ffmpeg -i film.mp4 -f wav - | denoise live - - > clean.wav

    arecord -t raw -f S16_LE -r 48000 -c 2 | denoise live - - --rate 48000 --channels 2 >
    clean.raw

    The default network has an algorithmic latency of 32 ms at 16 kHz; at other rates resampling
    adds to it. The latency is printed at the start. With --level, a pipe gives exactly
    what `denoise enhance` gives for a recording whose speech has that level.

    Raises:
        UserError: There is no such model or sound device, the model's latency is too long for a
            microphone, or standard input holds something else.
    """
    if raw not in RAW:
        raise UserError(f"--raw {raw}: use {', '.join(RAW)}")
    if (source == "-") != (target == "-"):
        raise UserError("a pipe goes to a pipe: give both as -, or neither")
    from denoise_lib import RATE
    from denoise_lib.models.checkpoints import denoiser
    from denoise_lib.models.stream import Stream
    from denoise_lib.progress import say

    network = denoiser(model)

    def stream(rate: int) -> Stream:
        return Stream(network, level=None if level is None else 10 ** (level / 20), rate=rate)

    def say_latency(first: Stream, rate: int) -> None:
        say(f"{model}: algorithmic latency {1000 * first.latency / rate:.0f} ms")

    if source == "-":
        kind = Kind(rate or RATE, channels, RAW[raw][1])
        pipe(sys.stdin.buffer, sys.stdout.buffer, stream, kind, say_latency)
        return
    first, rate = stream(rate or RATE), rate or RATE
    say_latency(first, rate)
    if first.latency > LONGEST_WAIT * rate:
        raise UserError(
            f"{model} looks ahead and answers after {first.latency / rate:.1f} s, too late for a "
            "microphone: use speech or rnnoise"
        )
    _devices(source, target, first, rate)


class Kind(NamedTuple):
    """Samples in a pipe: their rate in Hz, channels, and format as soundfile calls it."""

    rate: int
    channels: int
    subtype: str

    @property
    def size(self) -> int:
        """Bytes of a sample of all channels."""
        return self.channels * next(size for size, name in RAW.values() if name == self.subtype)


def pipe(
    source: BinaryIO,
    target: BinaryIO,
    stream: Callable[[int], Stream],
    raw: Kind,
    opened: Callable[[Stream, int], None] = lambda stream, rate: None,
) -> None:
    """Denoise a wav or raw samples from one pipe into another.

    Args:
        source: Where to read; a wav keeps its kind and channels, each of which has its own stream.
        target: Where to write, flushed block by block.
        stream: Makes a stream of a rate.
        raw: Kind of the samples where there is no wav header.
        opened: Called with the first stream and the rate, once they are known.

    Raises:
        UserError: A wav that is none, or of compressed samples.
    """
    import numpy as np

    kind, left = raw, None
    try:
        if source.peek(4)[:4] == b"RIFF":
            kind, left = _wav(source)
            target.write(_wav_header(kind))
        streams = [stream(kind.rate) for _ in range(kind.channels)]
        opened(streams[0], kind.rate)
        block = max(1, BLOCK * kind.rate // 16000) * kind.size
        while data := source.read(block if left is None else min(block, left)):
            left = None if left is None else left - len(data)
            samples = to_float(data[: len(data) // kind.size * kind.size], kind)
            out = [each.process(samples[:, c].copy()) for c, each in enumerate(streams)]
            target.write(from_float(np.stack(out, 1), kind))
            target.flush()
        target.write(from_float(np.stack([_flushed(each) for each in streams], 1), kind))
        target.flush()
    except BrokenPipeError:  # whoever listens has heard enough
        sys.stderr.close()  # Python would say so once more at its end


def _flushed(stream: Stream) -> np.ndarray:
    import numpy as np

    return np.asarray(stream.flush())


def _wav(source: BinaryIO) -> tuple[Kind, int | None]:
    """Kind of the samples behind a wav's header, which is read; bytes of them, None: not told."""
    from denoise_lib.recordings.pieces import UNKNOWN, wav_format

    head, form = source.read(12), None
    while head[8:12] == b"WAVE" and len(chunk := source.read(8)) == 8:
        name, length = struct.unpack("<4sI", chunk)
        if name == b"data":
            if not form or form[2] not in {subtype for _, subtype in RAW.values()}:
                raise UserError(
                    "standard input is a wav of compressed samples; give plain ones, for example "
                    "with ffmpeg -f wav -c:a pcm_s16le -"
                )
            kind = Kind(form[0], form[1], form[2])
            return kind, length if 0 < length < UNKNOWN or not source.peek(1) else None
        content = source.read(length + length % 2)
        form = wav_format(content, "<") if name == b"fmt " else form
    raise UserError("standard input begins like a wav and is no readable one")


def _wav_header(kind: Kind) -> bytes:
    """Of a wav whose length is not known."""
    code = 3 if kind.subtype in ("FLOAT", "DOUBLE") else 1
    bits = 8 * kind.size // kind.channels
    told = (code, kind.channels, kind.rate, kind.rate * kind.size, kind.size, bits)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, *told)
    return (
        b"RIFF" + struct.pack("<I", ENDLESS) + b"WAVE" + form + b"data" + struct.pack("<I", ENDLESS)
    )


def to_float(data: bytes, kind: Kind) -> np.ndarray:
    """Bytes of samples as float32 re full scale, (time, channels)."""
    import numpy as np

    if kind.subtype == "PCM_24":  # the upper three bytes of four
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = wide.view("<i4")[:, 0] / 2**31
    elif kind.subtype == "PCM_U8":
        samples = np.frombuffer(data, np.uint8) / 128 - 1
    elif kind.subtype in ("PCM_16", "PCM_32"):
        bits = 16 if kind.subtype == "PCM_16" else 32
        samples = np.frombuffer(data, f"<i{bits // 8}") / 2 ** (bits - 1)
    else:
        samples = np.frombuffer(data, "<f4" if kind.subtype == "FLOAT" else "<f8")
    return samples.astype(np.float32).reshape(-1, kind.channels)


def from_float(samples: np.ndarray, kind: Kind) -> bytes:
    """Samples (time, channels) re full scale as bytes; integers are clipped."""
    import numpy as np

    from denoise_lib.recordings.write import as_integers

    if kind.subtype in ("FLOAT", "DOUBLE"):
        return samples.astype("<f4" if kind.subtype == "FLOAT" else "<f8").tobytes()
    if kind.subtype == "PCM_U8":
        return (np.clip(np.round(samples * 128), -128, 127) + 128).astype(np.uint8).tobytes()
    if kind.subtype == "PCM_16":
        return as_integers(samples, 16).astype("<i2").tobytes()
    if kind.subtype == "PCM_32":
        return as_integers(samples, 32).astype("<i4").tobytes()
    wide = as_integers(samples, 24).astype("<i4").reshape(-1, 1).view(np.uint8)
    return wide[:, 1:].tobytes()


def _devices(source: str, target: str, stream: Stream, rate: int) -> None:
    """From a microphone to a loudspeaker until it is interrupted.

    Raises:
        UserError: sounddevice or PortAudio is missing, or there is no such device.
    """
    from denoise_lib.progress import say

    block = max(1, BLOCK * rate // 16000)
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio, which it calls, is not there
        raise UserError(
            f"a microphone needs sounddevice and PortAudio ({error}): "
            "pip install 'denoise_lib[live]'; on Debian also apt install libportaudio2"
        ) from None
    try:
        with sounddevice.Stream(
            samplerate=rate,
            blocksize=block,
            device=(_device(source), _device(target)),
            channels=1,
            dtype="float32",
            latency="low",
        ) as sound:
            say(f"and {1000 * sum(sound.latency):.0f} ms of the sound devices; Ctrl-C ends")
            while True:
                heard, _ = sound.read(block)
                sound.write(stream.process(heard[:, 0])[:, None])
    except (sounddevice.PortAudioError, ValueError) as error:
        raise UserError(
            f"no sound from {source} to {target}: {error}; "
            "`python -m sounddevice` lists the devices"
        ) from None
    except KeyboardInterrupt:
        return


def _device(name: str) -> Any:
    """As sounddevice takes it: None is the default one."""
    return None if name == "default" else int(name) if name.isdigit() else name
