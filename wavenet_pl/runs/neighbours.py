"""Models that lie near a path that leads nowhere: for the message that says so."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import printable
from wavenet_pl.runs.folder import RunFolder

_RUNS = Path("runs")
"""Where runs lie unless another folder is asked for."""
_SHOWN, _LOOKED_AT = 3, 200
"""How many are named, and how many of the likeliest names are looked at."""


def not_there(path: str, others: Iterable[str] = ()) -> UserError:
    """The error for a path that should be a run, a checkpoint or an export, with the nearest of those that there are.

    Args:
        path: as it was given.
        others: what might be meant and is no path.
    """
    near = list(others)
    missing = Path(path)
    while not os.path.isdir(missing.parent) and missing.parent != missing:
        missing = missing.parent
    for folder in dict.fromkeys((missing.parent, _RUNS)):
        with contextlib.suppress(OSError):
            near += [os.path.join(folder, name) for name in os.listdir(folder)]
    near.sort(key=lambda each: -_likeness(missing.name, os.path.basename(each)))
    models = [each for each in near[:_LOOKED_AT] if each in others or _is_model(Path(each))][:_SHOWN]
    advice = (
        f"the nearest are {', '.join(map(printable, models))}" if models else "`wavenet-pl train` makes one"
    )
    return UserError(
        f"{printable(path):.300} is not there, expected a run, a checkpoint or an export; {advice}"
    )


def _likeness(wanted: str, name: str) -> float:
    wanted, name = wanted.casefold(), name.casefold()
    # A run is often called by its name, without the signature.
    return 2.0 if wanted and name.startswith(wanted) else difflib.SequenceMatcher(None, wanted, name).ratio()


def _is_model(path: Path) -> bool:
    """Exports have a config, runs checkpoints too."""
    run = RunFolder(path)
    return path.suffix == ".ckpt" or os.path.isfile(run.config) or os.path.isdir(run.checkpoints)
