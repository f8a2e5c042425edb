"""WaveNet on PyTorch Lightning: train a model, load it, generate, evaluate. Importing this is free."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Before webdataset is imported anywhere: without it a `.pyd` member or a `pipe:` URL runs code.
os.environ["WDS_SECURE"] = "1"
# Before torch is: its threads spin 30 times as long while they wait for each other, and beside other processes take the
# very time in which the one that they wait for could run.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if TYPE_CHECKING:
    from wavenet_pl.evaluation.evaluation import evaluate
    from wavenet_pl.generation.requests import ClipRequest
    from wavenet_pl.model import Model
    from wavenet_pl.network import WaveNet
    from wavenet_pl.runs.loading import load
    from wavenet_pl.training.train import train

    __version__: str

__all__ = ["ClipRequest", "Model", "WaveNet", "__version__", "evaluate", "load", "train"]
_HOMES = {
    "ClipRequest": "generation.requests",
    "Model": "model",
    "WaveNet": "network",
    "evaluate": "evaluation.evaluation",
    "load": "runs.loading",
    "train": "training.train",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the command line answers a typing mistake before torch could be imported."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("wavenet-pl")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+source"
