"""A real headless Chromium, spoken to through a pipe in its own protocol: no driver has to be installed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# The browser reads from its file number 3 and writes to 4; beyond 100 nothing is overwritten on the way there.
_START = """
import os, sys
for place, number in zip((103, 104), sys.argv[1:3]):
    os.dup2(int(number), place)
os.dup2(103, 3), os.dup2(104, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One page in one process.

    Args:
        folder: the profile's; given up afterwards.
    """

    def __init__(self, folder: Path) -> None:
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            pytest.skip(
                f"no browser on this machine, looked for {', '.join(PROGRAMS)}: pages were NOT opened"
            )
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank")  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(theirs_in), str(theirs_out), program, *options],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb")
        self._rest, self._number, self._session = b"", 0, ""
        self.complaints: list[str] = []
        """What the console says: errors and warnings of the page."""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **params: Any) -> dict[str, Any]:
        """One call of the protocol, and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, page: Path) -> None:
        """Go to a file, and wait until it is loaded."""
        self("Page.navigate", url=page.as_uri())
        self.run("new Promise(done => { const look = () => location.protocol == 'file:' && "
                 "document.readyState == 'complete' ? done(true) : setTimeout(look, 50); look(); })")  # fmt: skip

    def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        for _ in range(3):  # a navigation gives the page a new context, which ends what ran in the old one
            with suppress(AssertionError):
                found = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
                assert "exceptionDetails" not in found, found
                return found["result"].get("value")
        raise AssertionError(f"the page does not answer {script}")

    def show(self, scheme: str, width: int, height: int = 900) -> None:
        """The colour scheme, light or dark, and the size of the window; a narrow one is a phone's."""
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def picture(self) -> bytes:
        """A PNG of the whole page."""
        return base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(timeout=30)
        self._in.close()
        with suppress(OSError):
            self._out.close()

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            block = os.read(self._in.fileno(), 2**20)
            assert block, "the browser ended"
            self._rest += block
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        method, params = message.get("method", ""), message.get("params", {})
        if method == "Runtime.exceptionThrown" or (
            method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning")
        ):
            self.complaints.append(json.dumps(params)[:500])
        return dict(message)
