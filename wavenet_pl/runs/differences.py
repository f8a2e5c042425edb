"""In what runs of the same name differ: whoever meant to go on with one is told which setting made another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from wavenet_pl.config.mistakes import spelled
from wavenet_pl.config.tree import Config, load_config
from wavenet_pl.errors import UserError
from wavenet_pl.runs.folder import RunFolder, checkpoint_step, list_checkpoints, signed_settings

_MOST = 3
"""Settings that are named; a run that differs in more of them is another experiment."""


def describe_nearest(run: RunFolder, config: Config) -> str | None:
    """The run of this name that differs in the fewest settings, and its values of them; None where none is near.

    Args:
        run: the one that is about to begin.
        config: its own.
    """
    mine, near = dict(_flat(signed_settings(config))), []
    name = re.compile(rf"{re.escape(config.name)}-[0-9a-f]{{6}}")
    for path in run.path.parent.glob(f"{config.name}-*"):
        other = RunFolder(path)
        if path == run.path or not name.fullmatch(path.name):
            continue
        try:
            if not (checkpoints := list_checkpoints(other)):
                continue
            theirs = dict(_flat(signed_settings(load_config([other.config]))))
        except UserError:
            continue
        differing = [key for key in sorted(mine.keys() | theirs.keys()) if mine.get(key) != theirs.get(key)]
        values = ", ".join(
            f"{key}: {spelled(theirs[key]) if key in theirs else 'its default'}" for key in differing
        )
        if len(differing) <= _MOST:
            step = checkpoint_step(checkpoints[-1])
            near.append((len(differing), -step, f"{path} (step {step:,}) differs in {values or 'its data'}"))
    return min(near)[2] if near else None


def _flat(tree: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{section}{name}.")
        else:
            yield f"{section}{name}", value
