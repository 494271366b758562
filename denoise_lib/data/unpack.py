"""Take recordings out of Debian packages and tar archives, and digest them."""

from __future__ import annotations

import errno
import hashlib
import io
import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from denoise_lib.data.default_corpora import Package
from denoise_lib.errors import UserError

# What reading a damaged archive raises, encrypted and unknown kinds of zip archives (RuntimeError)
# among it.
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    IndexError,
    RuntimeError,
    TypeError,  # of tarfile, where the header of gzip ends early
)


def recordings(package: Package, archive: Path, folder: Path) -> None:
    """Unpack the recordings of a package file into a folder, under their names inside the package.

    Works without dpkg, so that a package put in place by hand is of use on any system. Only plain
    files with the package's suffix are written, wherever the archive says they belong: nothing
    lands outside ``folder``.

    Args:
        package: What the file should hold.
        archive: Path of its .deb, or of upstream's tar archive.
        folder: An existing empty folder.

    Raises:
        UserError: The file is no such archive, or holds other recordings than expected.
    """
    with _damage_told(f"{archive} cannot be unpacked"):
        most = most_bytes(archive)
        with archive.open("rb") as file:
            root = PurePosixPath(".")
            if archive.suffix == ".deb":
                root = PurePosixPath(package.folder)
                _seek_data(file)
            _extract(file, root, package.suffix, folder, most)
    found = content(folder, package.suffix)
    if found != package.content:
        raise UserError(
            f"{archive} holds other recordings than expected: "
            f"digest {found[:16]}..., expected {package.content[:16]}..."
        )
    if package.inside:
        for path in sorted(folder.rglob(f"*{package.suffix}")):
            expand(path, package.inside)


@contextmanager
def _damage_told(what: str) -> Iterator[None]:
    """Turn what reading a damaged archive raises into a UserError that begins with ``what``.

    Of what the system raises, that is a place before the file's beginning, and what bzip2 and gzip
    raise without a number. A full disk is not the archive's fault.
    """
    try:
        yield
    except _DAMAGED as error:
        raise UserError(f"{what}: {error}") from None
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        raise UserError(f"{what}: {error}") from None


def most_bytes(archive: Path) -> int:
    """Bytes that an archive may unpack to: recordings hardly get smaller by being packed."""
    return (64 << 20) + 30 * archive.stat().st_size


def _check_size(left: int) -> None:
    if left < 0:
        raise ValueError("it unpacks to far more than recordings of its size would")


def content(folder: Path, suffix: str) -> str:
    """Hex SHA-256 over the sorted relative names and the contents of the files with ``suffix``."""
    digest = hashlib.sha256()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob(f"*{suffix}"))
    for name in names:
        digest.update(f"{name}\0{(folder / name).stat().st_size}\0".encode())
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def expand(path: Path, suffix: str) -> None:
    """Put the recordings of an archive into a folder beside it, and remove the archive."""
    with _damage_told(f"{path.name}, an archive in a package, cannot be unpacked"):
        for member, data in _members(path, suffix):
            name = PurePosixPath(member)
            if ".." in name.parts or name.is_absolute():
                raise ValueError(f"unsafe name {member!r}")
            target = path.with_suffix("") / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        path.unlink()


def _members(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the recordings in an archive."""
    if zipfile.is_zipfile(path):
        return _zipped(path, suffix)
    with path.open("rb") as file:
        return _bundled(path) if file.read(8) == b"GVariant" else _catalogued(path)


def _zipped(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as file:
        most = most_bytes(path)
        for member in file.infolist():
            if PurePosixPath(member.filename).suffix.lower() == suffix:
                most -= member.file_size
                _check_size(most)
                yield member.filename, file.read(member)


def _bundled(path: Path) -> Iterator[tuple[str, bytes]]:
    """(number as "07.ogg", file) of each Ogg stream in a bundle of GNOME's resources.

    A stream is a run of pages, of which the flags of the first have bit 1 set and those of the last
    bit 2 (RFC 3533, section 6). The bundle's own table of names is not read.
    """
    data = path.read_bytes()
    number, start = 0, -1
    at = data.find(b"OggS\0")
    while at >= 0:
        flags, count = data[at + 5], data[at + 26]
        end = at + 27 + count + sum(data[at + 27 : at + 27 + count])
        if flags & 2:
            start = at
        if flags & 4 and start >= 0:
            yield f"{number:02}.ogg", data[start:end]
            number, start = number + 1, -1
        at = data.find(b"OggS\0", end)


def _catalogued(path: Path) -> Iterator[tuple[str, bytes]]:
    """(number as "07.wav", file) of each sound in an OpenTTD catalogue.

    It begins with offset and length of each entry, 32 bits each, little endian, the highest bit of
    the first a flag; at each offset stands a name with its length before it, then a RIFF file.
    """
    data = path.read_bytes()
    count = (struct.unpack_from("<I", data)[0] & 0x7FFFFFFF) // 8
    for number in range(count):
        offset = struct.unpack_from("<I", data, 8 * number)[0] & 0x7FFFFFFF
        start = offset + 1 + data[offset]
        length = struct.unpack_from("<4xI", data, start)[0] + 8
        if data[start : start + 4] != b"RIFF":
            raise ValueError(f"no sound at the place of entry {number}")
        yield f"{number:02}.wav", data[start : start + length]


def _seek_data(file: BinaryIO) -> None:
    """Go to the data archive of a Debian package, the last member of an ``ar`` file of three."""
    if file.read(8) != b"!<arch>\n":
        raise ValueError("not a Debian package")
    while header := file.read(60):
        name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
        if name.startswith("data.tar"):
            return
        file.seek(size + size % 2, io.SEEK_CUR)
    raise ValueError("no data in this Debian package")


def _extract(file: BinaryIO, root: PurePosixPath, suffix: str, folder: Path, most: int) -> None:
    """Write the plain files below ``root`` with ``suffix`` in a tar archive into ``folder``.

    Args:
        most: Bytes that they may have in all.
    """
    with tarfile.open(fileobj=file, mode="r|*") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            if not member.isfile() or name.suffix != suffix or not name.is_relative_to(root):
                continue
            name = name.relative_to(root)
            if ".." in name.parts or name.is_absolute():
                raise ValueError(f"unsafe name {member.name!r}")
            most -= member.size
            _check_size(most)
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                shutil.copyfileobj(tar.extractfile(member), out, 1 << 20)
