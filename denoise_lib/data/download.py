"""One file over HTTP, resumable."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from denoise_lib.errors import UserError
from denoise_lib.progress import bar

CHUNK = 1 << 16  # bytes per read
TIMEOUT = 30  # seconds without a byte
TRIES = 3


def download(url: str, path: Path) -> Path:
    """Download ``url`` to ``path`` and return the path.

    Bytes arrive in ``<path>.part``, which survives an interruption: the next call asks for the rest
    only. A server that cannot resume, or a part that does not fit, means a start from zero. The
    path itself appears when it is complete. What it holds is for the caller to verify.

    Raises:
        UserError: No connection, an HTTP error, or the transfer broke off several times.
    """
    part = path.with_name(path.name + ".part")
    for attempt in range(1, TRIES + 1):
        try:
            _transfer(url, part)
            return part.replace(path)
        except urllib.error.HTTPError as error:
            if error.code != 416:  # 416: the part is longer than the file, so it is another file's
                raise UserError(f"{url} answered {error.code} {error.reason}") from None
            part.unlink(missing_ok=True)
            reason = "the partial download does not fit"
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
        if attempt < TRIES:
            time.sleep(0.5 * attempt)
    raise UserError(f"{url} cannot be downloaded: {reason} (run again to go on where it stopped)")


def _transfer(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        if have and not _continues(response, have):
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with (
            open(part, "ab" if have else "wb") as file,
            bar(total, url.rsplit("/", 1)[-1], "B") as shown,
        ):
            shown.update(have)
            while chunk := response.read(CHUNK):
                file.write(chunk)
                shown.update(len(chunk))
    if total is not None and part.stat().st_size != total:
        raise OSError(f"{part.stat().st_size} of {total} bytes arrived")


def _continues(response: http.client.HTTPResponse, have: int) -> bool:
    """Whether the answer is the rest of the file from byte ``have`` on."""
    return response.status == 206 and response.headers.get("Content-Range", "").startswith(
        f"bytes {have}-"
    )
