"""Contents of files told apart by SHA-256, which is computed once for each version of a file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from denoise_lib.errors import UserError
from denoise_lib.files import read_json, sha256, write_json
from denoise_lib.paths import cache_folder

FRESH_NS = 2_000_000_000  # a file changed since may change again without its times telling


class Digests:
    """SHA-256 of the files in a folder, kept in the cache folder beside their sizes and times.

    A file is read again when its size, the time of its last change or that of its entry differs.

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).resolve()
        name = hashlib.sha256(str(self.folder).encode(errors="surrogateescape")).hexdigest()[:20]
        self.path = cache_folder() / "digests" / f"{name}.json"
        try:
            self.known = dict(read_json(self.path)) if self.path.exists() else {}
        except (UserError, OSError, TypeError, ValueError):  # damaged: made anew
            self.known = {}
        self.changed = False

    def of(self, path: Path, digest_of: Callable[[Path], str] | None = None) -> str:
        """Hex SHA-256 of the bytes of a file.

        Args:
            digest_of: Computes another digest of it.
        """
        path = Path(path).resolve()
        state = path.stat()
        mark = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        key = str(path).encode(errors="surrogateescape").hex()
        found = self.known.get(key)
        if isinstance(found, list) and len(found) == 4 and found[:3] == mark:
            return found[3]
        digest = (digest_of or sha256)(path)
        if time.time_ns() - max(mark[1:]) > FRESH_NS:
            self.known[key], self.changed = [*mark, digest], True
        return digest

    def keep(self) -> None:
        """Write what was computed into the cache; one that cannot be written only costs time."""
        if self.changed:
            try:
                write_json(self.path, self.known)
            except OSError:
                return
            self.changed = False
