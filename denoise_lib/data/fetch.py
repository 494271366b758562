"""Bring the default corpora into the cache: find or download, verify, unpack, decode once.

The cache is the user's cache folder, or DENOISE_DATA, shared by all clones:

    packages/   the package files as they were downloaded
    corpora/    per corpus, and version of it, one array of samples and one index (see decoded.py)
    work/       files in the making; emptied under the lock

A package comes from the first of: packages/ (also when put there by hand), apt-get, upstream's
release archive over HTTP, Debian's archive of past packages over HTTP. With DENOISE_MIRROR set,
only from packages/ and from that address.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from denoise_lib.data import decoded, default_corpora, unpack, wide_corpora
from denoise_lib.data.default_corpora import Package
from denoise_lib.data.download import download
from denoise_lib.errors import UserError
from denoise_lib.files import locked, sha256
from denoise_lib.paths import cache_folder
from denoise_lib.progress import say

CORPORA = {
    "speech": default_corpora.SPEECH,
    "street": default_corpora.STREET,
    "read": default_corpora.READ,
    "wide_speech": wide_corpora.SPEECH,
    "wide_noise": wide_corpora.NOISE,
}


def fetch_corpus(name: str) -> Path:
    """Fetch, verify and decode a corpus, unless the cache has it; nothing is fetched twice.

    Args:
        name: One of ``CORPORA``.

    Returns:
        Path of its index in the cache.

    Raises:
        UserError: The corpus cannot be had; the message says which package and why.
    """
    cache = cache_folder()
    made_with = decoded.parameters(name, CORPORA[name])
    index = decoded.index_path(cache / "corpora", name, made_with)
    if decoded.valid(index, made_with):
        _clear_unless_used(cache)
        return index
    try:
        # Two processes neither download twice nor mix their files.
        with locked(cache / "lock", f"filling {cache}"):
            if not decoded.valid(index, made_with):  # another process may have made it meanwhile
                _make(index, name, made_with, cache)
    except OSError as error:
        raise UserError(
            f"the cache folder {cache} cannot be used ({error}); set DENOISE_DATA to another"
        ) from None
    return index


def _make(index: Path, name: str, made_with: dict, cache: Path) -> None:
    """Unpack all packages of a corpus and decode them; the lock is held."""
    work = cache / "work"
    _clear(cache)
    try:
        folders = []
        for number, package in enumerate(CORPORA[name], 1):
            say(f"{name} {number}/{len(CORPORA[name])}: {package.name} {package.version}")
            folder = work / f"{number:02}-{package.name}"
            folder.mkdir(parents=True)
            _unpacked(package, folder, cache)
            folders.append((package, folder))
        decoded.decode(index, name, folders, made_with)
        say(f"{name}: ready")  # no path: this may end in the log of a notebook, on the page
    finally:
        _clear(cache)


def _clear(cache: Path) -> None:
    """Remove what a killed process has left; the lock is held, so nobody works there."""
    shutil.rmtree(cache / "work", ignore_errors=True)


def _clear_unless_used(cache: Path) -> None:
    """The same where the lock is not held; another process that holds it is not waited for."""
    from filelock import FileLock, Timeout

    if (cache / "work").exists():
        with suppress(Timeout, OSError), FileLock(cache / "lock", timeout=0):
            _clear(cache)


def _unpacked(package: Package, folder: Path, cache: Path) -> None:
    """Unpack a package's recordings into ``folder``, from the cache or else from a source."""
    kept = cache / "packages"
    kept.mkdir(parents=True, exist_ok=True)
    for file in filter(None, (package.deb, package.archive)):
        path = kept / file
        if path.exists():
            try:
                _verified(package, path, folder)
                return
            except UserError as error:
                say(f"{error}; fetching it again")
    _obtain(package, kept, folder)


def _verified(package: Package, path: Path, folder: Path) -> None:
    """Unpack a package file if it is what it should be; otherwise set it aside as *.bad."""
    try:
        if path.name == package.deb and (found := sha256(path)) != package.sha256:
            raise UserError(
                f"wrong checksum: SHA-256 {found[:16]}..., expected {package.sha256[:16]}..."
            )
        unpack.recordings(package, path, folder)
    except UserError as error:
        bad = path.with_name(path.name + ".bad")
        path.replace(bad)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        raise UserError(f"{path.name} is not the expected file ({error}); kept as {bad}") from None


def _obtain(package: Package, kept: Path, folder: Path) -> None:
    """Download a package file into ``kept`` and unpack it, from the first source that has it."""
    reasons = []
    for source in _sources(package, kept):
        try:
            return _verified(package, source(), folder)
        except UserError as error:
            reasons.append(str(error))
    raise UserError(
        f"{package.name} cannot be fetched: {', and '.join(reasons)}; put {package.deb} "
        f"(a Debian package) into {kept} by hand, or set DENOISE_MIRROR"
    )


def _sources(package: Package, kept: Path) -> list[Callable[[], Path]]:
    """Where a package file may come from, best first; each returns its path in ``kept``."""

    def over_http(url: str, file: str) -> Callable[[], Path]:
        return lambda: download(url, kept / file)

    if mirror := os.environ.get("DENOISE_MIRROR"):
        file = package.archive or package.deb
        return [over_http(f"{mirror.rstrip('/')}/{file}", file)]
    sources = [lambda: _apt(package, kept), lambda: _mirror(package, kept)]
    if package.archive:
        upstream = f"{default_corpora.UPSTREAM}/{package.archive}"
        sources.append(over_http(upstream, package.archive))
    past = f"{default_corpora.PAST_PACKAGES}/{package.pool}"
    return [*sources, over_http(past, package.deb)]


def _apt(package: Package, kept: Path) -> Path:
    """Download a Debian package with apt-get, as any user: lists and caches are our own."""
    if not shutil.which("apt-get"):
        raise UserError("there is no apt-get here")
    own = kept.parent / "work" / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "new"):
        (own / folder).mkdir(parents=True, exist_ok=True)
    # The sandbox user cannot write to our folders; naming root keeps apt from warning about it.
    settings = (
        f"Dir::State::lists={own}/lists",
        f"Dir::Cache={own}/cache",
        "Debug::NoLocking=1",
        "APT::Sandbox::User=root",
        "Acquire::Retries=2",
    )
    command = ["apt-get", "-qq", *(word for each in settings for word in ("-o", each))]
    if not (own / "updated").exists():
        say("reading the package lists")
        _run([*command, "update"], own)
        (own / "updated").touch()
    _run([*command, "download", f"{package.name}={package.version}"], own / "new")
    files = list((own / "new").glob(f"{package.name}_*.deb"))
    if len(files) != 1:
        raise UserError(f"apt-get downloaded nothing for {package.name}")
    # apt writes the ~ or : of a version in its own way.
    return files[0].replace(kept / package.deb)


def _mirror(package: Package, kept: Path) -> Path:
    """Download a package of another release of Debian from the archive that apt uses here."""
    if not shutil.which("apt-get"):
        raise UserError("no archive of Debian is known here")
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    known = sorted(set(_run(command, kept.parent).split()), key=len)
    reasons = []
    for archive in known:
        try:
            return download(f"{archive.rstrip('/')}/{package.pool}", kept / package.deb)
        except UserError as error:
            reasons.append(str(error))
    raise UserError(" and ".join(reasons) or "apt knows no archive")


def _run(command: list[str], folder: Path) -> str:
    """Run apt-get in a folder and return its output; a failure is one line."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=900,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"apt-get failed: {error}") from None
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.startswith("E:")]
        raise UserError(f"apt-get {command[-1]} failed: {lines[0] if lines else 'no reason given'}")
    return result.stdout
