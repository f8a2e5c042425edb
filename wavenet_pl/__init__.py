"""WaveNet on PyTorch Lightning. `wavenet_pl.load(run)` gives a trained model; importing this is free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavenet_pl.generation.requests import ClipRequest
    from wavenet_pl.runs.loading import load

    __version__: str

__all__ = ["ClipRequest", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import on first use: the command line answers a typing mistake before torch could be imported."""
    if name == "load":
        from wavenet_pl.runs.loading import load

        return load
    if name == "ClipRequest":
        from wavenet_pl.generation.requests import ClipRequest

        return ClipRequest
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("wavenet-pl")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+source"
