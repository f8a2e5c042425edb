"""Python processes that start warm: forks of one that has imported everything already.

A training pays five CPU-seconds for its imports, its data workers three, and all tests together start some hundreds.
While a test runs, `subprocess.Popen` and what multiprocessing starts processes with are those of this module (see
conftest.py). What they start is a real process: it has its own id, session, pipes, signals and exit code, and it is a
child of the one that asked. It differs in what is over when it starts: the imports, and what libraries read from
variables at import. A test that is about these says `@pytest.mark.cold("why")`.

Each process has a starter: a child of its own that sleeps until it is asked to fork, and so never has threads.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib.util
import json
import multiprocessing.util
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

ROOT = Path(__file__).resolve().parents[1]
OrdinaryPopen = subprocess.Popen
ordinary_spawn = multiprocessing.util.spawnv_passfds
LIBRARIES = ("wavenet_pl", "lightning.pytorch", "matplotlib.pyplot", "numba", "wandb", "webdataset")
"""Ours first: what it says about itself to others holds for all that come after it."""
_THREADED = "onnxruntime"
"""Where it is installed, torchmetrics imports it, and it begins a thread; who uses it imports it in the fork."""
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl: orphans below this process become its children."""

_MOST_FDS = 32
"""How many descriptors a process can begin with."""

_starter: socket.socket | None = None
"""The line to the starter of this process."""
_folders: list[tempfile.TemporaryDirectory[str]] = []
"""Those that libraries made at import, as wandb does: each process has its own, and clears it away."""


class Popen(subprocess.Popen[Any]):
    """Starts `[sys.executable, "-m" or "-c" or a file, ...]` warm, and everything else as `subprocess` does."""

    def _execute_child(
        self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell,
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, restore_signals, gid, gids, uid, umask,
        start_new_session, *rest,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        command = [] if isinstance(args, (str, bytes, os.PathLike)) else [os.fspath(word) for word in args]
        unbuffered = command[1:2] == ["-u"]
        if unbuffered:
            del command[1]
        if command[:1] != [sys.executable] or not _is_program(command[1:]) or preexec_fn or pass_fds:
            super()._execute_child(  # type: ignore[misc]
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell, p2cread,
                p2cwrite, c2pread, c2pwrite, errread, errwrite, restore_signals, gid, gids, uid, umask,
                start_new_session, *rest,
            )  # fmt: skip
            return
        fds = {own: own if fd == -1 else fd for own, fd in enumerate((p2cread, c2pwrite, errwrite))}
        self.pid = _ask(
            fds,
            command=command[1:],
            cwd=os.path.abspath(cwd or "."),
            variables={
                **(os.environ if env is None else env),
                **({"PYTHONUNBUFFERED": "1"} if unbuffered else {}),
            },
            new_session=start_new_session,
        )
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


def _is_program(arguments: list[str]) -> bool:
    """Whether Python is given a module, a program or a file, and no option that a fork would not know of."""
    return arguments[:1] in (["-m"], ["-c"]) or (arguments[:1] != [] and arguments[0].endswith(".py"))


def spawn(path: Any, arguments: list[str], passed: list[int]) -> int:
    """Starts a fork server or a worker of multiprocessing warm, and its tracker, which needs no library, as ever."""
    program = arguments.index("-c") + 1
    if "resource_tracker" in arguments[program]:
        return int(ordinary_spawn(path, arguments, passed))
    return _ask(
        {fd: fd for fd in (0, 1, 2, *passed)},
        command=["-c", *arguments[program:]],
        cwd=os.getcwd(),
        variables=dict(os.environ),
        new_session=False,
    )


def install() -> None:
    """From now on this process starts others warm."""
    subprocess.Popen = Popen  # type: ignore[misc]
    multiprocessing.util.spawnv_passfds = spawn


def _ask(fds: dict[int, int], **request: Any) -> int:
    """Has the starter fork; the new process, a child of this one, with descriptors by the numbers it has for them."""
    global _starter
    if _starter is None:
        _starter, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = f"from tests import warm; warm.main({theirs.fileno()})"
        process = OrdinaryPopen(
            [sys.executable, "-c", program], cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # or numpy has threads from the import on
        )  # fmt: skip
        theirs.close()
        atexit.register(_end, _starter, process)
    mask = [int(blocked) for blocked in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
    words = json.dumps({**request, "mask": mask, "fds": list(fds)})
    prctl = ctypes.CDLL(None).prctl
    prctl(_SUBREAPER, 1, 0, 0, 0)
    try:
        socket.send_fds(_starter, [words.encode()], list(fds.values()))
        return int(_starter.recv(100))
    finally:
        prctl(_SUBREAPER, 0, 0, 0, 0)


def _end(line: socket.socket, process: subprocess.Popen[Any]) -> None:
    line.close()
    process.wait()


def main(fd: int) -> None:
    """The starter of a process that was not started warm itself; and, later, all that is forked from it."""
    if threaded := importlib.util.find_spec(_THREADED):
        sys.modules[_THREADED] = MagicMock(__spec__=threaded)
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.modules.pop(_THREADED, None)
    for package in ("wavenet_pl", "data_prep"):
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads must not be forked"
    _folders.extend(thing for thing in gc.get_objects() if isinstance(thing, tempfile.TemporaryDirectory))
    for folder in _folders:
        folder.cleanup()
    gc.freeze()  # what is shared stays shared
    command = _wait(socket.socket(fileno=fd))
    try:
        _run(command)
        code: Any = 0
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001  # as Python does with what nobody caught
        sys.excepthook(*sys.exc_info())
        code = 1
    _end_process(code)


def _end_process(code: Any) -> None:
    """As Python ends, but that modules are not taken apart: what was imported would be copied for it."""
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # who read it may have gone
            stream.flush()
    os._exit((code or 0) & 0xFF)


def _wait(line: socket.socket) -> list[str]:
    """Forks whenever it is asked to; returns only in the new process, with what that is to run."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # those of a group are not meant for it
    while True:
        words, fds, *_ = socket.recv_fds(line, 1 << 20, _MOST_FDS)
        if not words:
            os._exit(0)  # the process whose starter this is has ended
        ready, forked = os.pipe()
        go, held = os.pipe()
        middle = os.fork()
        if middle == 0:
            if os.fork():
                os._exit(0)
            request = json.loads(words)
            if request["new_session"]:  # before its number is known: who knows it may signal its group
                os.setsid()
            os.write(forked, str(os.getpid()).encode())
            for end in (line.detach(), ready, forked, held):
                os.close(end)
            os.read(go, 1)  # until the one in the middle is gone
            os.close(go)
            return _become(request, fds)
        for end in (forked, go, *fds):
            os.close(end)
        pid = os.read(ready, 100)
        os.waitpid(middle, 0)
        os.close(ready)
        line.send(pid)
        os.close(held)


def _become(request: dict[str, Any], fds: list[int]) -> list[str]:
    """Makes a fork what was asked for, with a starter of its own."""
    global _starter
    _starter, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        _starter.close()
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        for fd in (nothing, *fds):
            os.close(fd)
        return _wait(theirs)
    theirs.close()
    _starter = socket.socket(fileno=_out_of_the_way(_starter.detach()))
    for fd, own in zip([_out_of_the_way(fd) for fd in fds], request["fds"], strict=True):
        os.dup2(fd, own)
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["variables"])
    os.chdir(request["cwd"])
    for folder in _folders:
        folder.__init__()  # type: ignore[misc]
    install()
    sys.stdout.reconfigure(line_buffering=os.isatty(1), write_through="PYTHONUNBUFFERED" in os.environ)  # type: ignore[union-attr]
    signal.pthread_sigmask(signal.SIG_SETMASK, request["mask"])
    command: list[str] = request["command"]
    return command


def _out_of_the_way(fd: int) -> int:
    """The same at a number that no process here has come to."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 500)
    os.close(fd)
    return high


def _run(command: list[str]) -> None:
    """What `python -m MODULE`, `python -c PROGRAM` and `python FILE` do, with the arguments that follow."""
    flag, *rest = command
    sys.path[0] = {"-c": "", "-m": os.getcwd()}.get(flag, str(Path(flag).resolve().parent))
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if flag == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif flag == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.modules["__main__"] = module = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), module.__dict__)
    else:
        sys.argv = command
        runpy.run_path(flag, run_name="__main__")
