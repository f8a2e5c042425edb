"""A command to try a model with: names that it knows, and frames of a recording, kept in its run for that."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from wavenet_pl.files.durable import write_durably
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Input
from wavenet_pl.inputs.known import as_options
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.shards.arrays import encode_array
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.split import Split


def keep_examples(run: RunFolder, split: Split, inputs: Sequence[Input]) -> None:
    """Writes the frames of the first sound recording to RUN/examples, where they are not there yet."""
    for each in inputs:
        if not isinstance(each, Frames) or _path(run, each).exists():
            continue
        candidates = (each.stored(split, position) for position in range(len(split)))
        stored_NF = next((frames for frames in candidates if not isinstance(frames, Damage)), None)
        if stored_NF is not None:
            run.examples.mkdir(exist_ok=True)
            write_durably(_path(run, each), encode_array(stored_NF))


def command_to_try(
    model: str | os.PathLike[str],
    inputs: Sequence[Input],
    run: RunFolder | None,
    values: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """`wavenet-pl generate` with everything that the model is conditioned on.

    Args:
        model: its path.
        inputs: of it.
        run: which keeps examples; without it, files have names that stand for the user's own.
        values: of inputs, by name, where an example will not do.
    """
    words = as_options(inputs, {**_kept(inputs, run), **values})
    return shlex.join(["wavenet-pl", "generate", os.fspath(model), *words, "--out", "clips"])


def print_next(
    model: str | os.PathLike[str],
    inputs: Sequence[Input],
    run: RunFolder | None,
    values: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """What to type next, as a line that runs: where it needs a file of the user's own, a comment says so.

    Arguments as `command_to_try`.
    """
    known = {*_kept(inputs, run), *values}
    own = [each.example for each in inputs if isinstance(each, Frames) and each.name not in known]
    comment = f"   # with {' and '.join(own)} of your own" if own else ""
    print(f"type next    {command_to_try(model, inputs, run, values)}{comment}")


def _kept(inputs: Sequence[Input], run: RunFolder | None) -> dict[str, str]:
    paths = {each.name: _path(run, each) for each in inputs if isinstance(each, Frames) and run}
    return {name: str(path) for name, path in paths.items() if path.exists()}


def _path(run: RunFolder, frames: Frames) -> Path:
    return run.examples / f"{frames.name}.npy"
