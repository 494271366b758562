"""A local stand-in for upstream's server: small archives in the shape of the real ones."""

import http.server
import io
import tarfile
import threading

import numpy as np

from denoise_lib.data.default_corpora import Package
from denoise_lib.data.unpack import content


class ArchiveServer(http.server.ThreadingHTTPServer):
    """Serves `files` {name: bytes} on 127.0.0.1 and writes down what it was asked for.

    Attributes:
        log: list of (name, Range header or None).
        paths: list of the paths asked for.
        breaks: number of coming answers that stop half-way, without a word.
        ranges: whether it can send the rest of a file; if not it always sends all of it.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.log, self.breaks, self.ranges = {}, [], 0, True
        self.paths = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/releases"

    def stop(self):
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, name = self.server, self.path.rsplit("/", 1)[-1]
        wanted = self.headers.get("Range")
        server.log.append((name, wanted))
        server.paths.append(self.path)
        if name not in server.files:
            return self.send_error(404)
        body, start = server.files[name], 0
        if wanted and server.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        rest = body[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *args):
        pass


def prompts(names, seed=0):
    """{relative name: bytes} of G.722 prompts of two seconds, each of its own noise."""
    random = np.random.default_rng(seed)
    return {f"{name}.g722": random.bytes(16000) for name in names}


def archive(recordings, others=("LICENSE", "CREDITS")):
    """A gzipped tar archive of {name: bytes} and some text files, as upstream releases them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in {**dict.fromkeys(others, b"text"), **recordings}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def package(language, recordings, folder):
    """The Package that describes these recordings; `folder` is an empty one to work in."""
    for name, data in recordings.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Package(
        name=f"sounds-{language}",
        version="1.0-1",
        sha256="0" * 64,
        folder="usr/share/sounds",
        suffix=".g722",
        content=content(folder, ".g722"),
        archive=f"sounds-{language}-1.0.tar.gz",
        prefix=f"{language}/",
    )
