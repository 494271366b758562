"""What the numbers run on, and what an installation needs before its first use.

``python -m denoise_lib.environment`` makes torchaudio importable there. Its wheels are built for
CUDA, and importing it loads its compiled extension, which fails where torch brings no CUDA
libraries. Without these files torchaudio treats itself as "no extension" and its Python part
(resampling, MFCC, datasets, add_noise) works.

It also has librosa compile what it compiles on first use and keeps for later. Two processes that
do so at once may leave files of both, which do not fit together: every later call then crashes.

``make`` runs this once on the .venv it has just made; conda and pip users run it once after
installing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from denoise_lib.errors import UserError

PRECISIONS = ("32-true", "bf16-mixed")  # in Lightning Fabric's words


def remove_cuda_extension(torchaudio: Path, cuda: str | None) -> list[Path]:
    """Delete the compiled extension of the torchaudio in this folder if torch has no CUDA.

    Args:
        torchaudio: The package's folder.
        cuda: ``torch.version.cuda``, None for a CPU build.

    Returns:
        The paths that were removed.
    """
    removed = []
    if cuda is None:
        for path in sorted((torchaudio / "lib").glob("*.so")):
            path.unlink()
            removed.append(path)
    return removed


def compile_librosa() -> None:
    """Call the functions of librosa that this library and noisereduce use."""
    import librosa
    import numpy as np

    sound = np.random.default_rng(0).standard_normal(64000).astype(np.float32)
    librosa.pyin(sound[:16000], fmin=80, fmax=400, sr=16000)
    librosa.icqt(librosa.cqt(sound, sr=16000, n_bins=24), sr=16000)


def fastest_precision() -> str:
    """Say "bf16-mixed" where GPU or processor multiplies in bfloat16 by itself, else "32-true".

    It takes a U-Net's step from 0.32 to 0.19 s on two cores that can, and what it makes of a
    recording a third of the time; on others, which would imitate it, both would take longer than
    without. Scores are taken in 32 bits either way.
    """
    import torch

    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = getattr(torch.cpu, "get_capabilities", dict)()
        native = has.get("avx512_bf16") or has.get("amx_bf16")
        # Torch may have been told to use less than the processor has (ATEN_CPU_CAPABILITY).
        native = native and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return "bf16-mixed" if native else "32-true"


def chosen_precision(wanted: str) -> str:
    """One of ``PRECISIONS``: the wanted one, or for "auto" the fastest.

    Raises:
        UserError: It is none of these.
    """
    if wanted not in (*PRECISIONS, "auto"):
        raise UserError(
            f"precision {wanted!r} cannot be used: choose {', '.join(PRECISIONS)} or auto"
        )
    return fastest_precision() if wanted == "auto" else wanted


def main() -> None:
    """Do both for what is installed."""
    import torch

    spec = importlib.util.find_spec("torchaudio")  # found without importing it, which would fail
    if spec is None:
        raise SystemExit(
            "denoise_lib.environment: torchaudio is not installed; install requirements.lock first"
        )
    removed = remove_cuda_extension(Path(spec.origin).parent, torch.version.cuda)
    if removed:
        files = f"torchaudio/lib/*.so ({len(removed)} files)"
        print(f"torch {torch.__version__} has no CUDA: removed {files}")
    compile_librosa()


if __name__ == "__main__":
    main()
