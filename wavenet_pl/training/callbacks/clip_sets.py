"""Sets of clips on disk: a folder for each step at which some were made."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from wavenet_pl.audio.pictures import save_spectrograms
from wavenet_pl.audio.wav import to_int16

_NAME = re.compile(r"step-([0-9]{9,})")


@dataclass(frozen=True)
class ClipRow:
    """One clip and the facts about it."""

    number: int
    kind: str
    audio: npt.NDArray[np.float32]
    caption: str
    facts: dict[str, Any]

    @property
    def file(self) -> str:
        """Name of the WAV file."""
        return f"{self.number:02d}-{self.kind}.wav"


def set_folder(folder: Path, step: int) -> Path:
    """Where the clips of a step lie, once they are all there."""
    return folder / f"step-{step:09d}"


def steps_of_sets(folder: Path) -> list[int]:
    """The steps of which a folder has a set, in order; whatever else lies there is none."""
    names = (path.parent.name for path in folder.glob("step-*/clips.jsonl"))
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def write_clips(folder: Path, step: int, rows: list[ClipRow], sample_rate: int) -> Path:
    """Write one set to ``folder/step-000001000``, which appears when whole.

    Raises:
        OSError, soundfile.SoundFileError: it cannot be written; nothing of it is left behind.
    """
    target = set_folder(folder, step)
    beside = folder / f".{target.name}.tmp"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        for row in rows:
            soundfile.write(beside / row.file, to_int16(row.audio), sample_rate, subtype="PCM_16")
        with open(beside / "clips.jsonl", "w", encoding="utf-8") as file:
            for row in rows:
                line = {"file": row.file, "caption": row.caption, **row.facts}
                file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        for number in sorted({row.number for row in rows}):
            own = [row for row in rows if row.number == number]
            panels = [(row.kind, row.audio) for row in own]
            title = f"step {step:,} · {own[0].facts['prompt']}"
            save_spectrograms(beside / f"{number:02d}.png", panels, sample_rate, title)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)  # where it could not be whole
    return target


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """What `write_clips` wrote of each clip of a set."""
    with open(folder / "clips.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
