"""`wavenet-pl doctor`: one line for everything a run leans on, and what to do where it would not hold."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from wavenet_pl.errors import ExitCode
from wavenet_pl.runs import versions
from wavenet_pl.runs.machine import GIB, disk_room, usable_cores
from wavenet_pl.runs.versions import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `wavenet-pl doctor`."""
    parser.add_argument(
        "--folder", default=".", metavar="DIR", help="folder that runs will be written to (default: here)"
    )


def main(args: argparse.Namespace) -> int:
    """Prints the report.

    Returns:
        0, or 2 where something must be put right first.
    """
    findings = []
    for finding in examine(args.folder):
        print(finding, flush=True)
        findings.append(finding)
    failed = sum(finding.level == "fail" for finding in findings)
    warned = sum(finding.level == "warn" for finding in findings)
    print(f"{failed} to put right first, {warned} to know about, {len(findings) - failed - warned} ok")
    return ExitCode.USER if failed else ExitCode.DONE


def examine(folder: str) -> Iterator[Finding]:
    """Every finding about this machine, in order; no network is used."""
    requirements, python_range = versions.declared()
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("python", lambda: versions.python(platform.python_version(), python_range)),
        ("packages", lambda: versions.dependencies(requirements, versions.installed_version)),
        ("known bad", lambda: versions.known_bad(versions.installed_version)),
        ("torch", processors),
        ("torchaudio", torch_pair),
        ("soundfile", sound_formats),
        ("torch.compile", lambda: compiler(shutil.which)),
        ("wandb", wandb_login),
        ("slurm", lambda: slurm(shutil.which)),
        ("disk", lambda: disk(folder)),
        ("shared memory", lambda: shared_memory("/dev/shm")),
    ]
    for subject, check in checks:
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001  # one broken library must not hide the other lines
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            yield Finding("fail", subject, problem, f"install the project again: {versions.REINSTALL}")


def processors() -> Iterator[Finding]:
    """CPU cores and threads, and each CUDA device."""
    import torch

    cores = usable_cores()
    threads = torch.get_num_threads()
    crowded = threads > cores
    yield Finding(
        "warn" if crowded else "ok",
        "cpu",
        f"{cores} cores, {threads} threads for torch",
        "threads wait for each other: set train.threads" if crowded else "",
    )
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield cuda_device(torch, index)
    elif shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        build = torch.version.cuda
        state = f"a driver, but torch {torch.__version__} finds no device"
        advice = (
            f"update the driver to one for CUDA {build}, or check CUDA_VISIBLE_DEVICES"
            if build
            else "this is the CPU build of torch: install the CUDA build to use the GPU"
        )
        yield Finding("warn", "cuda", state, advice)
    else:
        yield Finding("ok", "cuda", "no device: training runs on the CPU")


def cuda_device(torch: Any, index: int) -> Finding:
    """One CUDA device: memory, bfloat16, and whether this build of torch has code for it."""
    properties = torch.cuda.get_device_properties(index)
    free, total = torch.cuda.mem_get_info(index)
    major, minor = torch.cuda.get_device_capability(index)
    bfloat16 = major >= 8
    state = (
        f"{properties.name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free, compute {major}.{minor}, "
        f"bfloat16 {'yes' if bfloat16 else 'no'}"
    )
    built_for = [int(name.split("_")[1].rstrip("af")) for name in torch.cuda.get_arch_list() if "_" in name]
    if built_for and major * 10 + minor < min(built_for):
        return Finding(
            "fail", f"cuda:{index}", state, "too old for this build of torch: use trainer.accelerator=cpu"
        )
    if not bfloat16:
        return Finding("ok", f"cuda:{index}", state, "use trainer.precision=16-mixed, not bf16-mixed")
    return Finding("ok", f"cuda:{index}", state)


def torch_pair() -> Iterator[Finding]:
    """Whether torchaudio imports beside this torch."""
    import torch

    from wavenet_pl.audio import resampling as dsp

    torchaudio = dsp.torchaudio()
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    yield Finding(
        "ok", "torchaudio", f"{torchaudio.__version__} imports beside torch {torch.__version__} ({build})"
    )


def sound_formats() -> Iterator[Finding]:
    """Formats that the sound library reads."""
    import soundfile

    missing = {"FLAC", "WAV", "OGG", "MP3"} - set(soundfile.available_formats())
    level: Literal["warn", "fail"] = "fail" if "FLAC" in missing else "warn"
    library = f"libsndfile {soundfile.__libsndfile_version__}"
    if missing:
        advice = "install the wheel of soundfile, which brings a newer libsndfile: pip install -U soundfile"
        yield Finding(level, "soundfile", f"{library} without {', '.join(sorted(missing))}", advice)
    else:
        yield Finding("ok", "soundfile", f"{library} reads FLAC, WAV, OGG and MP3")


def compiler(which: Callable[[str], str | None]) -> Iterator[Finding]:
    """What torch.compile needs: a C++ compiler and the headers of Python."""
    names = [os.environ.get("CXX") or "g++", "clang++"]
    compiler_path = next(filter(None, map(which, names)), None)
    header = Path(sysconfig.get_path("include")) / "Python.h"
    missing = [] if compiler_path else ["a C++ compiler (apt-get install g++)"]
    missing += [] if header.exists() else [f"{header} (apt-get install python3-dev)"]
    if missing:
        yield Finding(
            "warn", "torch.compile", f"missing {' and '.join(missing)}", "needed for train.compile=true only"
        )
    else:
        yield Finding("ok", "torch.compile", f"{compiler_path} and the headers of Python")


def wandb_login() -> Iterator[Finding]:
    """Whether runs can go to a W&B server."""
    if importlib.util.find_spec("wandb") is None:
        yield Finding("ok", "wandb login", f"wandb is not here: {versions.DISPENSABLE['wandb']}")
        return
    from wavenet_pl.training.wandb_session import key_is_set

    if key_is_set():
        yield Finding("ok", "wandb login", "credentials are set: runs go online")
    else:
        advice = "`wandb login` to see runs in the browser, `wandb sync` for those there are"
        yield Finding("ok", "wandb login", "no credentials: runs are kept offline", advice)


def slurm(which: Callable[[str], str | None]) -> Iterator[Finding]:
    """Whether jobs can be sent from here."""
    there = [name for name in ("sbatch", "srun", "sinfo") if which(name)]
    if len(there) == 3:
        yield Finding("ok", "slurm", f"{which('sbatch')}")
    elif there:
        yield Finding(
            "warn", "slurm", f"only {', '.join(there)} on PATH", "load the module of SLURM, or extend PATH"
        )
    else:
        yield Finding("ok", "slurm", "not here, and only needed for cluster jobs")


def disk(folder: str) -> Iterator[Finding]:
    """Room and rights where runs are written."""
    path = Path(folder).resolve()
    if not path.is_dir():
        yield Finding("fail", "disk", f"{path} is no folder", "make it, or name another with --folder")
        return
    yield disk_room(str(path), shutil.disk_usage(path).free, writable=os.access(path, os.W_OK))


def shared_memory(folder: str) -> Iterator[Finding]:
    """Room that the DataLoader's processes hand batches over in."""
    if not Path(folder).is_dir():
        yield Finding("ok", "shared memory", f"no {folder} on this system")
        return
    free = shutil.disk_usage(folder).free
    state = f"{free / GIB:.1f} GiB free at {folder}"
    if free < GIB // 4:
        advice = "start the container with --shm-size=2g, or set data.num_workers=0"
        yield Finding("warn", "shared memory", state, advice)
    else:
        yield Finding("ok", "shared memory", state)
