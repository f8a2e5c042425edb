"""A slow server of a shard set in a process of its own, which says when it is asked what it has sent.

python -m benchmarks.data_server FOLDER LATENCY BANDWIDTH

Each line on its input is answered with the bytes and the requests so far.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.shards.http_server import serving

ROOT = Path(__file__).resolve().parents[1]


class SlowServer:
    """One that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._line()

    def counts(self) -> tuple[int, int]:
        """Bytes sent, and requests."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        sent, asked = map(int, self._line().split())
        return sent, asked

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def slow_server(folder: Path, latency: float, bandwidth: float) -> Iterator[SlowServer]:
    """A server of a folder, for as long as the block runs."""
    command = [sys.executable, "-m", "benchmarks.data_server", str(folder), str(latency), str(bandwidth)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield SlowServer(process)
        finally:
            process.terminate()


if __name__ == "__main__":
    with serving(Path(sys.argv[1])) as server:
        server.latency, server.bandwidth = float(sys.argv[2]), float(sys.argv[3])
        print(server.url, flush=True)
        for _ in sys.stdin:
            print(server.sent, len(server.asked), flush=True)
