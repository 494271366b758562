"""What is known of the files of a folder, found out once for each version of a file."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from denoise_lib.audio import told
from denoise_lib.errors import UserError
from denoise_lib.files import read_json, sha256, write_json
from denoise_lib.paths import cache_folder
from denoise_lib.progress import bar

FRESH_NS = 2_000_000_000  # a file changed since may change again without its times telling


class Index:
    """SHA-256 and length of the files in a folder, kept in the cache beside their sizes and times.

    A file is read again when its size, the time of its last change or that of its entry differs.

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).resolve()
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:20]
        self.path = cache_folder() / "index" / f"{name}.json"
        try:
            self.known = dict(read_json(self.path)) if self.path.exists() else {}
        except (UserError, OSError, TypeError, ValueError):  # damaged: made anew
            self.known = {}
        self.here: dict[str, list] = {}  # of files that are too fresh to be kept
        self.changed = False

    def digest(self, path: Path, digest_of: Callable[[Path], str] | None = None) -> str:
        """Hex SHA-256 of the bytes of a file.

        Args:
            digest_of: Computes another digest of it.
        """
        return self._entry(path, lambda: [(digest_of or sha256)(path), 0, 0])[3]

    def sounds(self, recordings: Sequence[Path], what: str) -> list[tuple[str, int, int]]:
        """Digest, samples and rate of recordings; progress is shown where there are many new ones.

        Args:
            what: What is then said to be done.

        Raises:
            UserError: One is no recording.
        """
        found = [self._known(path, sound=True)[2] for path in recordings]
        unknown = [at for at, entry in enumerate(found) if entry is None]
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        try:
            with bar(len(unknown), what, hidden=len(unknown) < 100) as shown:
                with ThreadPoolExecutor(threads) as pool:  # disk and digests wait for no other
                    learnt = pool.map(self._sound, (recordings[at] for at in unknown))
                    for at, entry in zip(unknown, learnt, strict=True):
                        found[at] = entry
                        shown.update()
        finally:
            self.keep()  # what an interruption leaves, too
        return [tuple(entry[3:]) for entry in found]

    def _sound(self, path: Path) -> list:
        return self._entry(path, lambda: [sha256(path), *told(path)], sound=True)

    def keep(self) -> None:
        """Write what was found out into the cache; what cannot be written only costs time."""
        if self.changed:
            try:
                write_json(self.path, self.known)
            except OSError:
                return
            self.changed = False

    def _entry(self, path: Path, find_out: Callable[[], list], sound: bool = False) -> list:
        """Size, times, digest, frames and rate of a file; the last two are 0 but for a sound."""
        key, mark, found = self._known(path, sound)
        if found is None:
            found = [*mark, *find_out()]
            fresh = time.time_ns() - max(mark[1:]) <= FRESH_NS
            (self.here if fresh else self.known)[key] = found
            self.changed = self.changed or not fresh
        return found

    def _known(self, path: Path, sound: bool) -> tuple[str, list[int], list | None]:
        """Its key, its size and times, and its entry where that is of this version of the file."""
        # Latin-1 gives every name back, those that are no UTF-8 too.
        key = os.fsencode(os.path.abspath(path)).decode("latin-1")  # noqa: PTH100, resolves no link
        state = os.stat(path)  # noqa: PTH116, ten thousands of times
        mark = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        found = self.here.get(key) or self.known.get(key)
        whole = isinstance(found, list) and len(found) == 6 and found[:3] == mark
        return key, mark, found if whole and (found[5] or not sound) else None
