"""Small file helpers: whole files or none, digests, JSON."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import IO, Any, Self

from denoise_lib.errors import UserError
from denoise_lib.paths import cache_folder


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Write a file that readers see whole or not at all.

    Yields a temporary path in the same folder, with the same suffix, and renames it to ``path``
    when the block ends. If the block raises, the temporary file goes and ``path`` is as it was. A
    killed process, or a power cut, can therefore never leave half a file under the final name. What
    a killed one leaves under the temporary name goes when the same file is written again.

    A link stays one, and what it points to is written. A pipe or a device is not replaced: what was
    written is copied into it at the end. A file that is replaced leaves its permissions.
    """
    path = Path(path)
    if is_device(path):
        with _beside(scratch_folder() / path.name) as temporary:
            yield temporary
            with open(temporary, "rb") as written, open(path, "wb") as device:
                shutil.copyfileobj(written, device, 2**20)
        return
    path = path.resolve()
    with _beside(path) as temporary:
        try:
            yield temporary
        except OSError as error:
            error.filename = error.filename or str(path)  # a full disk does not name the file
            raise
        if path.is_file():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        to_disk(temporary)
        temporary.replace(path)
        to_disk(path.parent)


class Sink:
    """A file for libraries to write to, which raises what the system refused, such as a full disk.

    libsndfile tells no reason, and of the bytes that it writes last, when it closes a file, not
    even that they are lost; NumPy tells how many bytes, but not why. Use as a context, or call
    :meth:`check` after each write.

    Args:
        file: Open for writing, with a descriptor; it can be sought in.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.refused: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write bytes; returns how many were taken: none of what comes when the file is closed."""
        taken = 0
        try:
            while taken < len(data) and not self.file.closed:
                taken += os.write(self.file.fileno(), data[taken:])
        except OSError as error:  # an exception would not get through
            self.refused = self.refused or error
        return taken

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; returns where it is."""
        return 0 if self.file.closed else os.lseek(self.file.fileno(), offset, whence)

    def tell(self) -> int:
        """Where the next byte goes."""
        return self.seek(0, os.SEEK_CUR)

    def check(self) -> None:
        """Raise what was refused so far."""
        if self.refused:
            raise self.refused from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of_no_use: object) -> None:
        self.check()


def is_device(path: Path) -> bool:
    """Whether something is there that is written to and cannot be replaced: a pipe, a device."""
    return path.exists() and not (path.is_file() or path.is_dir())


def scratch_folder() -> Path:
    """Where passing files lie: in the cache, or with the system's where it is not writable."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    return folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir())


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A new empty file in the folder of a file, gone afterwards unless it was renamed.

    Its name is short, so that it fits where the final name does, and its permissions are those of
    any new file. It is locked while it is written, which tells it from what killed writers left.
    """
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    remove_left_over([path])
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= 16 else ""
    temporary = folder / f".{_mark(path)}-{secrets.token_hex(4)}{suffix}"
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        _flock(handle)
        if not temporary.exists():  # another writer took it for left over, before it was locked
            raise FileNotFoundError(errno.ENOENT, "two write this file at once", str(path))
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def remove_left_over(paths: Iterable[Path]) -> None:
    """Remove what killed writers of these files have left beside them; the files stay."""
    marks: dict[Path, set[str]] = {}
    for path in paths:
        marks.setdefault(path.parent, set()).add(_mark(path))
    for folder, own in marks.items():
        for left in folder.glob(".????????-????????*"):
            if left.name[1:9] in own:
                _remove_unlocked(left)


def _mark(path: Path) -> str:
    """What the names of a file's temporary ones begin with, behind a dot."""
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]


def _remove_unlocked(path: Path) -> None:
    """Remove a temporary file whose writer is no more."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:  # somebody else's, or gone by now
        return
    try:
        if _flock(handle):
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _flock(handle: int) -> bool:
    """Lock an open file for as long as it is open; False where another has, or it cannot be."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk, safe from a power cut."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError:  # nor can every file system do this
        pass
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """Hold a lock file; while another process holds it, say so and wait.

    The file stays, with the number of the process that held it last: to remove it would let two
    processes hold locks of the same name.

    Args:
        path: The lock file; its folder is made where it is missing.
        doing: What the other process is then said to do, such as "training net.safetensors".
    """
    from filelock import FileLock, Timeout

    from denoise_lib.progress import say

    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = f"process {holder}" if holder.isdigit() else "another process"
        say(f"waiting for {who}, which is {doing}")
        lock.acquire()
    try:
        path.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        lock.release()


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all.

    Raises:
        ValueError: It holds NaN or infinity, which are not JSON.
        TypeError: It holds something else that is not JSON.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: The file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from None


def resource(package: str, name: str) -> str:
    """Text of a file that lies in a package of this library, such as player.js."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
