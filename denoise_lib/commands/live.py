"""`denoise live`: microphone to loudspeaker, or pipe to pipe, block by block."""

from __future__ import annotations

import struct
import sys
import wave
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from denoise_lib.commands.options import DENOISER
from denoise_lib.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from denoise_lib.models.stream import Stream

BLOCK = 256  # samples that are read at a time: the causal network's hop, 16 ms
LIVE_LATENCY = 1600  # samples that a microphone's sound may wait, at most: 100 ms
RAW = {"s16": "<i2", "f32": "<f4"}
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
            "followed slowly, since the rest is not known yet",
            max=0,
        ),
    ] = None,
    raw: Annotated[
        str, typer.Option(help="samples on standard input if it is not a wav: s16 or f32, mono")
    ] = "s16",
) -> None:
    """Denoise in real time: from microphone to loudspeaker, or from pipe to pipe.

    `denoise live` takes the default microphone and loudspeaker and needs the package sounddevice
    (pip install 'denoise_lib[live]'). `denoise live - -` reads standard input, a 16-bit wav with
    any channels or raw samples, at 16 kHz, and writes the same kind to standard output:

    ffmpeg -i film.mp4 -f wav -c:a pcm_s16le -ar 16000 - | denoise live - - > clean.wav

    The default network has an algorithmic latency of 32 ms; the network's latency is printed at the
    start. A pipe gives what a file of that level gives, sample for sample, if --level is given.

    Raises:
        UserError: There is no such model or sound device, the model's latency is too long for a
            microphone, or standard input holds something else.
    """
    if raw not in RAW:
        raise UserError(f"--raw {raw}: use {' or '.join(RAW)}")
    if (source == "-") != (target == "-"):
        raise UserError("a pipe goes to a pipe: give both as -, or neither")
    from denoise_lib import RATE
    from denoise_lib.models.stream import Stream
    from denoise_lib.progress import say

    def stream() -> Stream:
        return Stream(model, level=None if level is None else 10 ** (level / 20))

    latency = stream().latency
    say(f"{model}: algorithmic latency {1000 * latency / RATE:.0f} ms")
    if source == "-":
        pipe(sys.stdin.buffer, sys.stdout.buffer, stream, raw)
    elif latency > LIVE_LATENCY:
        raise UserError(
            f"{model} looks ahead and answers after {latency / RATE:.1f} s, too late for a "
            "microphone: use speech"
        )
    else:
        _devices(source, target, stream())


def pipe(source: BinaryIO, target: BinaryIO, stream: Callable[[], Stream], raw: str) -> None:
    """Denoise a wav or raw samples from one pipe into another.

    Args:
        source: Where to read; a wav keeps its kind and channels, each of which has its own stream.
        target: Where to write, flushed block by block.
        stream: Makes a stream.
        raw: Kind of the samples where there is no wav header.

    Raises:
        UserError: A wav of another kind or rate.
    """
    import numpy as np

    kind, channels, read = np.dtype(RAW[raw]), 1, source.read
    try:
        if source.peek(4)[:4] == b"RIFF":
            kind, channels, read = _wav(source)
            target.write(_wav_header(channels))
        streams = [stream() for _ in range(channels)]
        while data := read(BLOCK * channels * kind.itemsize):
            whole = len(data) // (channels * kind.itemsize) * channels * kind.itemsize
            samples = _to_float(np.frombuffer(data[:whole], kind)).reshape(-1, channels)
            out = [each.process(samples[:, c].copy()) for c, each in enumerate(streams)]
            target.write(_from_float(np.stack(out, 1), kind))
            target.flush()
        target.write(_from_float(np.stack([_flushed(each) for each in streams], 1), kind))
        target.flush()
    except BrokenPipeError:  # whoever listens has heard enough
        sys.stderr.close()  # Python would say so once more at its end


def _flushed(stream: Stream) -> np.ndarray:
    import numpy as np

    return np.asarray(stream.flush())


def _wav(source: BinaryIO) -> tuple[np.dtype, int, Callable[[int], bytes]]:
    """Kind of the samples, channels, and how to read bytes of them."""
    import numpy as np

    from denoise_lib import RATE

    try:
        # Not closed and not asked for its end: it goes on behind us, and is no file.
        file = wave.open(source, "rb")  # noqa: SIM115
    except (wave.Error, EOFError) as error:
        raise UserError(
            f"standard input begins like a wav and is no readable one: {error}"
        ) from None
    if file.getsampwidth() != 2 or file.getframerate() != RATE:
        raise UserError(
            f"standard input is a wav of {8 * file.getsampwidth()} bits at {file.getframerate()} "
            f"Hz; give 16 bits at {RATE} Hz, for example with ffmpeg -c:a pcm_s16le -ar {RATE}"
        )
    size = 2 * file.getnchannels()
    return np.dtype("<i2"), file.getnchannels(), lambda count: file.readframes(count // size)


def _wav_header(channels: int) -> bytes:
    """Of a 16-bit wav whose length is not known."""
    from denoise_lib import RATE

    size = 2 * channels
    kind = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, RATE, RATE * size, size, 16)
    return (
        b"RIFF" + struct.pack("<I", ENDLESS) + b"WAVE" + kind + b"data" + struct.pack("<I", ENDLESS)
    )


def _to_float(samples: np.ndarray) -> np.ndarray:
    """Samples re full scale as float32."""
    scale = 32768 if samples.dtype.kind == "i" else 1
    return (samples / scale).astype("<f4")


def _from_float(samples: np.ndarray, kind: np.dtype) -> bytes:
    from denoise_lib.audio import to_int16

    return (to_int16(samples) if kind.kind == "i" else samples).astype(kind).tobytes()


def _devices(source: str, target: str, stream: Stream) -> None:
    """From a microphone to a loudspeaker until it is interrupted.

    Raises:
        UserError: sounddevice or PortAudio is missing, or there is no such device.
    """
    from denoise_lib import RATE
    from denoise_lib.progress import say

    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: PortAudio, which it calls, is not there
        raise UserError(
            f"a microphone needs sounddevice and PortAudio ({error}): "
            "pip install 'denoise_lib[live]'; on Debian also apt install libportaudio2"
        ) from None
    try:
        with sounddevice.Stream(
            samplerate=RATE,
            blocksize=BLOCK,
            device=(_device(source), _device(target)),
            channels=1,
            dtype="float32",
            latency="low",
        ) as sound:
            say(f"and {1000 * sum(sound.latency):.0f} ms of the sound devices; Ctrl-C ends")
            while True:
                block, _ = sound.read(BLOCK)
                sound.write(stream.process(block[:, 0])[:, None])
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
