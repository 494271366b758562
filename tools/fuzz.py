"""Feed damaged files to what reads files: audio, archives, checkpoints, parameters.

    make fuzz                                    # two minutes for each
    python tools/fuzz.py audio --seconds 900     # one of them, longer

Anything but a UserError (or, inside an archive, a ValueError) is a finding: the file is kept beside
its traceback in report/fuzz/. With atheris, where it is installed (`pip install atheris`; Linux and
Python 3.11 to 3.13), coverage guides the changes; without it they are drawn at random.
"""

import argparse
import contextlib
import hashlib
import io
import json
import random
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOUND = ROOT / "report" / "fuzz"
LONG = 30  # s of computing; a file that takes longer is a finding


# --- files to begin with --------------------------------------------------------------------------


def sounds() -> list[bytes]:
    """A tenth of a second in many containers and codecs."""
    import av
    import numpy as np
    import soundfile

    tone = (0.1 * np.sin(np.arange(1600) / 7)).astype(np.float32)
    found = []
    for container, subtype in (
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("WAVEX", "PCM_24"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("CAF", "PCM_16"),
        ("W64", "PCM_16"),
        ("RF64", "PCM_16"),
        ("MP3", "MPEG_LAYER_III"),
    ):
        file = io.BytesIO()
        soundfile.write(file, np.stack([tone, -tone], 1), 16000, subtype, format=container)
        found.append(file.getvalue())
    for container, codec in (("mp4", "aac"), ("matroska", "aac"), ("adts", "aac")):
        file = io.BytesIO()
        with av.open(file, "w", format=container) as out:
            stream = out.add_stream(codec, rate=16000)
            frame = av.AudioFrame.from_ndarray(tone[None, :], format="fltp", layout="mono")
            frame.sample_rate = 16000
            for packet in (*stream.encode(frame), *stream.encode(None)):
                out.mux(packet)
        found.append(file.getvalue())
    return [*found, found[0] + found[4]]  # two pieces one behind the other


def archives() -> list[bytes]:
    """A tar archive, packed in each way, a Debian package, and archives inside packages."""
    data = {"usr/share/a.wav": b"RIFF" + bytes(60), "usr/share/b.zip": bytes(9)}

    def tar(mode: str) -> bytes:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=mode) as out:
            for name, content in data.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
        return file.getvalue()

    def deb(content: bytes) -> bytes:
        parts = (("debian-binary", b"2.0\n"), ("control.tar.xz", b"xx"), ("data.tar.xz", content))
        head = "{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n"
        members = (
            head.format(name, 0, 0, 0, "100644", len(each)).encode()
            + each
            + b"\n" * (len(each) % 2)
            for name, each in parts
        )
        return b"!<arch>\n" + b"".join(members)

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("one/two.wav", b"RIFF" + bytes(60))
    sound = b"\x03abc" + b"RIFF" + (8).to_bytes(4, "little") + b"WAVEdata"
    catalogue = (8).to_bytes(4, "little") + len(sound).to_bytes(4, "little") + sound
    pages = [b"OggS\0" + bytes([flags]) + bytes(20) + b"\x01\x02ab" for flags in (2, 0, 4)]
    bundle = b"GVariant" + bytes(9) + b"".join(pages) + b"OggS"
    tars = [tar(mode) for mode in ("w:", "w:gz", "w:bz2", "w:xz")]
    return [*tars, *(deb(each) for each in tars), packed.getvalue(), catalogue, bundle]


def checkpoints() -> list[bytes]:
    """A network of a few weights, and one that a record describes wrongly."""
    import safetensors.torch
    import torch

    from denoise_lib.models import ConvAutoencoder, DCUnet
    from denoise_lib.models.checkpoints import save_model

    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        layers = [(2, (5, 3), (2, 2))]
        for network in (ConvAutoencoder(), DCUnet(layers=layers, mask="residual")):
            save_model(path, network, plan={"seed": 0})
            found.append(path.read_bytes())
    record = {"model": "autoencoder", "config": {"channels": 10**6}, "rate": 16000}
    tensors = {"weight": torch.zeros(2)}
    return [*found, safetensors.torch.save(tensors, {"denoise_lib": json.dumps(record)})]


def parameters() -> list[bytes]:
    """Files of parameters as the listening room writes them, and others."""
    texts = (
        "steps: 3\nrate: 1.0e-3\nvoice: en\nconditions: [both, zero]\nplay: true\n",
        "# remark\nsteps: .nan\n",
        "{steps: 1, rate: [1, [2]], a: &x {b: 1}, c: *x}",
        "? [a, b]\n: 2001-12-14\n",
        "a: !!binary aGVsbG8=\nb: !!python/object:os.system x\n<<: {steps: 2}\n",
        'steps = 3  # steps\nrate = 0.5\nvoice = "en"\nconditions = ["both"]\nplay = True\n',
    )
    return [text.encode() for text in texts]


# --- what reads them ------------------------------------------------------------------------------


def read_audio(path: Path) -> None:
    """As a corpus of one's own is read."""
    from denoise_lib import audio

    if audio.length(path) < 10**7:  # a header may well tell of hours
        audio.load(path, quiet=True)


def read_archive(path: Path) -> None:
    """As a package file is unpacked."""
    from denoise_lib.data import unpack
    from denoise_lib.data.default_corpora import Package

    with tempfile.TemporaryDirectory() as folder:
        deb = path.with_suffix(".deb")
        deb.write_bytes(path.read_bytes())
        for file in (path, deb):
            package = Package("x", "1", "", "usr/share", ".wav", "0", "x.tar.gz")
            with contextlib.suppress(unpack.UserError):
                unpack.recordings(package, file, Path(folder))
        inside = Path(folder) / "inside.cat"
        inside.write_bytes(path.read_bytes())
        with contextlib.suppress(unpack.UserError):
            unpack.expand(inside, ".wav")


def read_checkpoint(path: Path) -> None:
    """As `--model FILE` is read."""
    from denoise_lib.models.checkpoints import load_model

    load_model(path)


def read_parameters(path: Path) -> None:
    """As `-f FILE`, a notebook's cell of parameters and `-p NAME VALUE` are read."""
    import nbformat

    from denoise_lib.errors import UserError
    from denoise_lib.report.parameters import Parameter, cell_parameters, file_values, given_values

    defaults = {"steps": 3, "rate": 0.5, "voice": "en", "play": True, "conditions": ["both"]}
    known = {name: Parameter(name, value, "") for name, value in defaults.items()}
    with contextlib.suppress(UserError):
        given_values(file_values(path), known, "01_a")
    text = path.read_bytes().decode(errors="replace")
    for name in known:
        with contextlib.suppress(UserError):
            given_values({name: text}, known, "01_a")
    cell = nbformat.v4.new_code_cell(text, metadata={"tags": ["parameters"]})
    with contextlib.suppress(UserError):
        cell_parameters(nbformat.v4.new_notebook(cells=[cell]), "01_a")


TARGETS: dict[str, tuple[Callable[[], list[bytes]], Callable[[Path], None], str]] = {
    "audio": (sounds, read_audio, ".wav"),
    "archive": (archives, read_archive, ".tar.gz"),
    "checkpoint": (checkpoints, read_checkpoint, ".safetensors"),
    "parameters": (parameters, read_parameters, ".yaml"),
}


# --- drawing --------------------------------------------------------------------------------------


def attempt(name: str, data: bytes, folder: Path) -> None:
    """Read one file; a finding is written down, once for each place in the code."""
    from denoise_lib.errors import UserError

    _, read, suffix = TARGETS[name]
    path = folder / f"file{suffix}"
    path.write_bytes(data)
    start = time.process_time()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            read(path)
    except UserError as error:
        assert "\n" not in str(error)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        found(name, f"{type(error).__name__} {place.name}", data, traceback.format_exc())
    seconds = time.process_time() - start
    if seconds > LONG:
        found(name, "slow", data, f"{seconds:.0f} s")


def found(name: str, what: str, data: bytes, told: str) -> None:
    """Keep a finding, unless the same was found before."""
    path = FOUND / f"{name}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"
    if not path.with_suffix(".txt").exists():
        FOUND.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".bin").write_bytes(data)
        path.with_suffix(".txt").write_text(f"{what}\n\n{told}")
        print(f"{name}: {what}: see {path.relative_to(ROOT)}.txt", flush=True)


def changed(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """A file with a few of its bytes changed, cut off, repeated or another's."""
    file = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        at = draw.randrange(len(file) + 1)
        size = draw.choice((1, 1, 2, 4, 8, 64))
        match draw.randrange(6):
            case 0:
                file[at : at + size] = draw.randbytes(size)
            case 1:
                file[at : at + size] = draw.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * size
            case 2:
                del file[at : at + size]
            case 3:
                file[at:at] = file[at : at + size]
            case 4:
                file[at:] = other[draw.randrange(len(other) + 1) :]
            case 5 if file:
                file[min(at, len(file) - 1)] ^= 1 << draw.randrange(8)
    return bytes(file)


def at_random(name: str, seconds: float, seed: int) -> int:
    """Files drawn at random for so long; how many."""
    starts, draw, count = TARGETS[name][0](), random.Random(seed), 0
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        for data in starts:
            attempt(name, data, Path(folder))
        while time.monotonic() < end:
            attempt(name, changed(draw.choice(starts), draw.choice(starts), draw), Path(folder))
            count += 1
    return count


def guided(name: str, seconds: float, seed: int) -> None:
    """Files chosen by what they reach in the code; does not return."""
    import atheris

    with atheris.instrument_imports(include=["denoise_lib", "tarfile", "zipfile", "yaml"]):
        import denoise_lib.audio
        import denoise_lib.data.unpack
        import denoise_lib.models.checkpoints
        import denoise_lib.recordings.read
        import denoise_lib.report.parameters  # noqa: F401
    corpus = Path(tempfile.mkdtemp())
    for number, data in enumerate(TARGETS[name][0]()):
        (corpus / f"{number}").write_bytes(data)
    folder = Path(tempfile.mkdtemp())
    limits = [f"-max_total_time={seconds:.0f}", f"-seed={seed + 1}", "-max_len=20000"]
    limits += ["-rss_limit_mb=6000", f"-artifact_prefix={FOUND}/"]
    FOUND.mkdir(parents=True, exist_ok=True)
    words = [sys.argv[0], *limits, "-print_final_stats=1", str(corpus)]
    atheris.Setup(words, lambda data: attempt(name, data, folder))
    atheris.Fuzz()


def main() -> None:
    """Fuzz one target here, or all of them in processes of their own; status 1 with findings."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("target", nargs="?", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.target is None:
        for name in TARGETS:
            own = [name, "--seconds", str(options.seconds), "--seed", str(options.seed)]
            subprocess.run([sys.executable, __file__, *own], check=False)
        sys.exit(bool(list(FOUND.glob("*"))))
    try:
        import atheris  # noqa: F401
    except ImportError:
        count = at_random(options.target, options.seconds, options.seed)
        print(f"{options.target}: {count} files drawn at random (atheris is not installed)")
    else:
        guided(options.target, options.seconds, options.seed)


if __name__ == "__main__":
    main()
