"""A real HTTP server on this machine that gives ranges of files, and misbehaves as it is told."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class Server(ThreadingHTTPServer):
    """Serves one folder."""

    daemon_threads = True

    def __init__(self, folder: Path, handler: type[Handler], certificate: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), partial(handler, folder))
        self.scheme = "http" if certificate is None else "https"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.headers: list[dict[str, str]] = []
        """Of every request."""
        self.troubles: list[str] = []
        """What the next requests meet, in turn: a status, or `drop`, `short`, `hang`, `whole`; then `always`."""
        self.always = ""
        self.asked: list[str] = []
        """Method and path of every request."""
        self.latency = 0.0
        """Seconds before each answer."""
        self.bandwidth = 0.0
        """Bytes per second of all answers together; 0 for what the machine gives."""
        self.sent = 0
        """Bytes of all answers."""
        self.at_once = 0
        """The most answers that were on their way at a time."""
        self._line, self._free_at, self._under_way = threading.Lock(), 0.0, 0
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def take_time(self, size: int) -> None:
        """Wait as long as an answer of so many bytes takes on its way."""
        with self._line:
            self._under_way += 1
            self.at_once = max(self.at_once, self._under_way)
        time.sleep(self.latency)
        with self._line:
            self.sent += size
            if self.bandwidth:
                self._free_at = max(self._free_at, time.monotonic()) + size / self.bandwidth
        if self.bandwidth:
            time.sleep(max(0.0, self._free_at - time.monotonic()))
        with self._line:
            self._under_way -= 1

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    """Answers for one folder."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and content leave together, or each answer waits 40 ms for an acknowledgement
    server: Server

    def __init__(self, folder: Path, *args: object) -> None:
        self.folder = folder
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.headers.append(dict(self.headers))
        trouble = self.server.troubles.pop(0) if self.server.troubles else self.server.always
        if trouble == "hang":
            self.server.released.wait(60)
        if trouble in ("hang", "drop"):
            self.close_connection = True
            return
        if trouble.isdigit():
            return self.send_trouble(int(trouble))
        path = self.folder / urlsplit(self.path).path.strip("/")
        if path.is_dir():
            return self.send_folder(path)
        if not path.is_file():
            return self.send_trouble(404)
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if part is None or trouble == "whole":
            return self.send(200, path.read_bytes())
        first, last = map(int, part.groups())
        if first >= path.stat().st_size:
            return self.send_trouble(416)
        with open(path, "rb") as file:
            file.seek(first)
            data = file.read(last + 1 - first)
        self.send(206, data[: len(data) // 2] if trouble == "short" else data)

    def send_trouble(self, status: int) -> None:
        """An answer that is no file."""
        self.send(status, b"trouble")

    def send_folder(self, path: Path) -> None:
        """What is in a folder."""
        names = [f"{child.name}/" if child.is_dir() else child.name for child in path.iterdir()]
        page = "".join(f'<a href="{name}">{name}</a>' for name in names).encode()
        self.send(200, page, "text/html")

    def send(self, status: int, content: bytes, kind: str = "application/octet-stream") -> None:
        """An answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.server.take_time(len(content) if self.command != "HEAD" else 0)
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def serving(
    folder: Path, handler: type[Handler] = Handler, certificate: Path | None = None
) -> Iterator[Server]:
    """A server of this folder for as long as the block runs; with a certificate, and its key in the file, over TLS."""
    with Server(folder, handler, certificate) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
