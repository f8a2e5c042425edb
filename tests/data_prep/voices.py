"""Recorded voices for the tests of adaptation's audio."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from data_prep.choice import Choice, choose
from data_prep.corpora import DEMO
from data_prep.hearing import Heard, examine

RATE = 16_000
GAP = 0.1
"""Seconds, of one receptive field."""


def copy_voice(folder: Path, voice: str = "allison_en", count: int = 29) -> Path:
    """Some recordings of a voice that comes with the project, in a folder of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((DEMO / voice).glob("*.flac"))[:count]:
        shutil.copy(path, folder)
    return folder


def speech(seconds: float, voice: str = "allison_en") -> npt.NDArray[np.float32]:
    """(samples,) of a voice, one recording after the other, and from the first again."""
    audio = np.concatenate(
        [soundfile.read(path, dtype="float32")[0] for path in sorted((DEMO / voice).glob("*.flac"))]
    )
    return np.resize(audio, round(seconds * RATE))


def used_of(choice: Choice, what: Sequence[str] = ("train", "held_out")) -> dict[str, list[tuple[int, int]]]:
    """Recording -> the stretches of it that are used."""
    found: dict[str, list[tuple[int, int]]] = {}
    for part in what:
        for piece in getattr(choice, part):
            found.setdefault(piece.heard.source.name, []).append((piece.start, piece.stop))
    return found


def hear(folder: Path) -> dict[str, Heard]:
    """What `examine` finds, by name."""
    return {heard.source.name: heard for heard in examine(folder, RATE)}


def chosen(folder: Path, minutes: float | None = None, gap: float = GAP) -> Choice:
    """`choose` from all that lies in a folder."""
    return choose(examine(folder, RATE), minutes, gap, RATE)
