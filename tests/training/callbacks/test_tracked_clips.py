"""Which clips of a set go to W&B: what the model made, and recordings that the set before did not have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wandb

from wavenet_pl.training.callbacks.clip_sets import ClipRow, set_folder, write_clips
from wavenet_pl.training.callbacks.samples import _COLUMNS, _media

KINDS = ("recorded", "teacher-forced", "free-running")


def write(folder: Path, step: int, *prompts: str) -> list[str]:
    """A set; returns the kinds of it that go to W&B, which all have a clip for each prompt."""
    noise = np.random.default_rng(step).uniform(-0.1, 0.1, 400).astype(np.float32)
    rows = [
        ClipRow(number, kind, noise, f"{prompt} {kind}", dict.fromkeys(_COLUMNS) | facts)
        for number, prompt in enumerate(prompts)
        for kind in KINDS
        for facts in [{"step": step, "prompt": prompt, "kind": kind, "seconds": 0.05}]
    ]
    write_clips(folder, step, rows, 8000)
    media = _media(wandb, set_folder(folder, step))
    kinds = [key.removeprefix("val/clips/") for key in media if key.startswith("val/clips/")]
    assert all(len(media[f"val/clips/{kind}"]) == len(prompts) for kind in kinds)
    return kinds


def test_recordings_come_with_the_first_set_and_where_they_are_others(tmp_path: Path) -> None:
    made = list(KINDS[1:])
    assert write(tmp_path, 10, "a") == list(KINDS)
    assert write(tmp_path, 20, "a") == made
    assert write(tmp_path, 30, "a", "b") == list(KINDS), "as of a start that asks for more clips"
    assert write(tmp_path, 30, "a", "b") == list(KINDS), "also where a kill lost the set"
    assert write(tmp_path, 10, "a") == list(KINDS)
    (set_folder(tmp_path, 35)).mkdir()
    assert write(tmp_path, 40, "a", "b") == made, "a set that somebody emptied does not hinder"
