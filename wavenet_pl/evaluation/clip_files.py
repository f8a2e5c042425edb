"""Clips on disk: written while they are made, then looked at, drawn, and kept with the facts about them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from wavenet_pl.audio.flac import FlacWriter
from wavenet_pl.audio.levels import Levels, join, measure
from wavenet_pl.audio.pictures import save_spectrograms
from wavenet_pl.audio.wav import WavWriter
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.screen import screen
from wavenet_pl.generation.batches import divide
from wavenet_pl.generation.destination import FACTS, PICTURE
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.engines import Engine
from wavenet_pl.generation.requests import Clip
from wavenet_pl.model import Model
from wavenet_pl.progress import Progress

Writer = WavWriter | FlacWriter
WRITERS: dict[str, type[Writer]] = {".wav": WavWriter, ".flac": FlacWriter}
"""Suffix -> what writes such files."""
_JUDGED_SECONDS = 60
"""A clip is looked at in pieces of about this length: memory does not grow with it."""
_PIECE_SECONDS = 0.02


@dataclass
class Made:
    """How much audio clips came to, and how long that took."""

    samples: list[int]
    """Of each clip, without its prompt; 0 where it was not begun."""
    seconds: float = 0.0
    """That it took."""
    first: float = 0.0
    """Seconds until there was something to hear."""
    interrupted: bool = False

    def describe(self, sample_rate: int) -> str:
        """Length and speed in words, for the terminal."""
        audio, begun = sum(self.samples) / sample_rate, sum(map(bool, self.samples))
        some = "" if begun == len(self.samples) else f"{begun:,} of {len(self.samples):,} clips, "
        return (
            f"{some}{audio:.2f} s of audio in {self.seconds:.1f} s, {audio / self.seconds:.3f} times real time, the "
            f"first after {self.first:.2f} s"
        )


def check_lengths(clips: Sequence[Clip], locations: Sequence[str], suffix: str, sample_rate: int) -> None:
    """Refuse what a file cannot hold, before it is made.

    Args:
        clips: all of them.
        locations: file and line that each was asked for in; empty for none.
        suffix: of the files.
        sample_rate: in Hz.

    Raises:
        UserError: says how much it can.
    """
    most = WRITERS[suffix.casefold()].most_samples
    for clip, location in zip(clips, locations, strict=True):
        total = len(clip.prompt) + clip.num_samples
        if total > most:
            raise UserError(
                f"{location}{': ' * bool(location)}a clip of {total / sample_rate:,.0f} s is more than a {suffix} file "
                f"can hold, which is {most / sample_rate:,.0f} s at {sample_rate:,} Hz; ask for less"
                f"{', or for --format flac' if suffix == '.wav' else ''}"
            )


def write_clips(
    model: Model, clips: Sequence[Clip], draw: Draw, engine: Engine, paths: Sequence[Path], *, replace: bool
) -> Made:
    """Writes each piece as soon as it is there; after Ctrl-C the files hold what there was.

    Args:
        model: makes them.
        clips: all of them.
        draw: with a number for each.
        engine: computes.
        paths: their files.
        replace: whether files that are there are replaced.

    Raises:
        UserError: a file is there meanwhile, or cannot be written.
    """
    made, done, rate = Made([0] * len(clips)), 0, model.sample_rate
    total = sum(clip.num_samples for clip in clips)
    files: dict[int, Writer] = {}
    began = time.monotonic()
    try:
        with Progress("generate", total / rate, unit="s of audio", decimals=2, line_seconds=1) as progress:
            for row, audio_N in _parts(model, clips, draw, engine):
                if row not in files:  # not before there is something to hear
                    files[row] = _begin(paths[row], clips[row], rate, replace=replace)
                files[row].write(audio_N)
                made.samples[row] += len(audio_N)
                done += len(audio_N)
                if made.samples[row] == clips[row].num_samples:
                    files.pop(row).close()
                made.seconds = time.monotonic() - began
                made.first = made.first or made.seconds
                if done == total or progress.is_due:
                    pace = f"{done / rate / max(made.seconds, 1e-9):.3f} times real time"
                    progress.update(done / rate, pace, at_once=done == total)
    except KeyboardInterrupt:
        made.interrupted = True
    finally:
        for file in files.values():
            file.close()
    made.seconds = max(time.monotonic() - began, 1e-9)
    return made


def _parts(
    model: Model, clips: Sequence[Clip], draw: Draw, engine: Engine
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Clips as they grow: which one, and its next samples."""
    for batch in divide(model.network, clips, draw, round(_PIECE_SECONDS * model.sample_rate)):
        yield from batch.parts(model.stream(batch.clips, batch.draw, engine, chunk_seconds=_PIECE_SECONDS))


def _begin(path: Path, clip: Clip, sample_rate: int, *, replace: bool) -> Writer:
    """The file of a clip, with its prompt."""
    try:
        writer = WRITERS[path.suffix.casefold()](path, sample_rate, replace=replace)
    except FileExistsError:
        raise UserError(
            f"{path} was written by another process meanwhile, expected a free name; run the same command again"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}), expected a folder to write in; name another with --out"
        ) from None
    if len(clip.prompt):
        writer.write(clip.prompt)
    return writer


def finish(path: Path, prompt_samples: int, facts: dict[str, Any], *, picture: bool) -> str:
    """Draws a clip that was written and keeps the facts about it; how loud it is and what is wrong with it, in words.

    Args:
        path: of the audio.
        prompt_samples: how much of it was given.
        facts: how it was made.
        picture: whether it is drawn.
    """
    with soundfile.SoundFile(path) as file:
        num_samples, rate = file.frames - prompt_samples, file.samplerate
        # Pieces are equal: the last one should not be too short to judge.
        size = -(-num_samples // max(1, round(num_samples / rate / _JUDGED_SECONDS)))
        levels, problem = _measure(file, prompt_samples, size)
        if picture:
            file.seek(0)
            start = file.read(prompt_samples + size, dtype="float32")
            save_spectrograms(path.with_suffix(PICTURE), [(path.stem, start)], rate)
    path.with_suffix(FACTS).write_text(json.dumps({**facts, "problem": problem}) + "\n")
    warning = f"  WARNING: this clip {problem}" if problem else ""
    return f"{levels.describe()}{warning}"


def _measure(file: soundfile.SoundFile, prompt_samples: int, size: int) -> tuple[Levels, str]:
    """Levels of a clip behind its prompt, and what is wrong with it, if anything; reads `size` samples at a time."""
    problems: dict[str, str] = {}
    levels: list[tuple[int, Levels]] = []
    file.seek(prompt_samples)
    for begin in range(prompt_samples, file.frames, size):
        audio = file.read(size, dtype="float32")
        levels.append((len(audio), measure(audio)))
        offset = f" (counted from {begin / file.samplerate:.0f} s)" if begin > prompt_samples else ""
        problems = {kind: text + offset for kind, text in screen(audio, file.samplerate).items()} | problems
    return join(levels), "; ".join(problems.values())
