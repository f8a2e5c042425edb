"""The optional judges, where they are installed, and speech that people said."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile

DEMO = Path(__file__).resolve().parents[2] / "data_prep/demo"


def needs(*packages: str) -> pytest.MarkDecorator:
    """A mark for tests of what only extras install: `evaluate` and `pesq`."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(
        bool(missing),
        reason=f"{', '.join(missing)} not installed (docs/evaluate.md): this judge was NOT tested",
    )


def speech(speaker: str, count: int, seconds: float = 2.0) -> list[tuple[np.ndarray, int]]:
    """The beginnings of a speaker's first demo recordings, and their sample rates."""
    found = []
    for path in sorted((DEMO / speaker).glob("*.flac"))[:count]:
        audio, rate = soundfile.read(path, dtype="float32")
        found.append((audio[: round(seconds * rate)], rate))
    assert len(found) == count
    return found
