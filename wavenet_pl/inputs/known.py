"""Which inputs there are, and which one a name means. A new kind is added here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wavenet_pl.errors import UserError, did_you_mean
from wavenet_pl.inputs.array import UserFrames
from wavenet_pl.inputs.column import Column
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Input
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.inputs.speaker import Speaker
from wavenet_pl.inputs.table import Table
from wavenet_pl.inputs.tags import Tags
from wavenet_pl.shards.index import Index
from wavenet_pl.shards.labels import Labels, is_name
from wavenet_pl.shards.shard_set import ShardSet

TABLES: tuple[type[Table], ...] = (Speaker, Tags)
"""Tables that need not be named to `prepare`: their names are columns of metadata.csv that mean this everywhere."""
FRAMES: tuple[type[Frames], ...] = (
    Notes,
    Mel,
)
"""Frames that `prepare` makes itself."""
BUILT_IN: dict[str, type[Input]] = {each.name: each for each in (*TABLES, *FRAMES)}
"""Name -> input. Any other name is a column or an array of the user's own."""


RESERVED = frozenset(
    (
        *("audio", "begin", "counted", "recording", "num_recordings", "predictions", "keys", "bad"),
        *("seconds", "count", "prompt", "temperature", "top_p", "seed", "engine", "weights", "threads"),
        *("text", "source", "start", "frames", "sample_rate", "midi", "split", "file"),
        *("self", "run", "clip", "problem"),
    )
)
"""Names that a batch, a request, its facts or the JSON of a recording uses for something else."""


def check_name(option: str, name: str) -> None:
    """Refuse a name that an input of the user's own cannot have.

    Raises:
        UserError: names the option that gave it.
    """
    taken = name in RESERVED or name in BUILT_IN
    if taken or name.startswith(("other_", "changed_")) or name.endswith("_phase") or not is_name(name):
        raise UserError(
            f"{option} names {name!r:.60}, which {'means something else here' if taken else 'cannot name an input'}, "
            "expected a name of letters, digits, blanks, - and _ that is free; rename it"
        )


def build_inputs(names: Iterable[str], labels: Labels) -> tuple[Input, ...]:
    """The inputs of a model, with what the labels say of them.

    Raises:
        ValueError: the labels lack one, or hold something else than a spec of it.
    """
    built: list[Input] = []
    for name in names:
        if labels.tables.get(name):
            table: Any = BUILT_IN.get(name)
            if table and not issubclass(table, Table):
                raise ValueError(f"a table is called {name!r}, and such are frames")
            built.append(
                table(labels.tables[name]) if table else Column(name=name, names=labels.tables[name])
            )
        elif name in labels.frames:
            built.append(frames_of(name, labels.frames[name]))
        else:
            raise ValueError(f"it has no {name}")
    return tuple(built)


def frames_of(name: str, spec: Mapping[str, Any]) -> Frames:
    """The frames that a spec describes.

    Raises:
        ValueError: it is no spec of such.
    """
    kind: Any = next((each for each in FRAMES if each.name == name), UserFrames)
    if name in BUILT_IN and not issubclass(BUILT_IN[name], Frames):
        raise ValueError(f"frames are called {name!r}, which is a table")
    frames: Frames = kind.from_spec(name, spec)
    return frames


def check_inputs(source: str, index: Index, names: Iterable[str]) -> None:
    """Refuse a set with recordings that lack an input of a model.

    Args:
        source: what the set is, such as its path.
        index: of the set.
        names: of the inputs.

    Raises:
        UserError: names the input and what to do.
    """
    labels = index.labels
    for name in names:
        kind: Any = BUILT_IN.get(name) or (UserFrames if name in labels.frames else Column)
        if name not in (*BUILT_IN, *labels.tables, *labels.frames):
            known = sorted({*BUILT_IN, *labels.tables, *labels.frames})
            raise UserError(
                f"model.condition.inputs has {name}, expected some of {', '.join(known)}{did_you_mean(name, known)}; "
                f"{source} knows no other: prepare it again with --tables {name} or --frames {name}:hop=N"
            )
        if lacking := kind.missing(name, index):
            raise UserError(f"{source} has {lacking}")
    try:
        build_inputs(names, labels)
    except ValueError as error:
        raise UserError(f"{source} cannot be used: {error}; run `wavenet-pl index` again") from None


def check_set(shard_set: ShardSet, names: Sequence[str]) -> None:
    """Refuse one or more sets with recordings that lack an input of a model, or whose frames were made differently.

    Raises:
        UserError: names the set, the input and what to do.
    """
    for source in shard_set.sources:
        check_inputs(source.name, source.index, names)
    first, *others = shard_set.sources
    for other in others:
        frames, others_ = (Labels(frames=each.index.labels.of(names).frames) for each in (first, other))
        frames.check_same(others_, first.name, other.name)


def as_options(inputs: Iterable[Input], values: Mapping[str, str]) -> list[str]:
    """The options of `wavenet-pl generate` for a condition; an input without a value here gets its example."""
    words = []
    for each in inputs:
        option, value = f"--{each.name}", values.get(each.name, each.example)
        if each.name not in BUILT_IN:
            option, value = "--frames" if isinstance(each, Frames) else "--set", f"{each.name}={value}"
        words += [f"{option}={value}"] if value.startswith("-") else [option, value]  # or it is an option too
    return words


def frames_for_audio(labels: Labels) -> tuple[Frames, ...]:
    """Those frames of a model that are made of audio alone.

    Raises:
        ValueError: the labels hold something else than a spec.
    """
    made = (frames_of(name, spec) for name, spec in labels.frames.items())
    return tuple(each for each in made if not each.file_suffixes())
