"""What a clip is told: names and frames become what a conditioner reads.

Shapes: K tags, N frames, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import torch

from wavenet_pl.config.mistakes import nearest
from wavenet_pl.data.conditions import num_frames, window
from wavenet_pl.shards.labels import Labels

_SHOWN = 10  # names; a table of thousands fits no terminal


def tell(
    inputs: Sequence[str],
    labels: Labels,
    *,
    num_columns: int,
    frame_context: int,
    begin: int = 0,
    speaker: str | None = None,
    tags: Sequence[str] = (),
    features: Mapping[str, npt.NDArray[Any]] | None = None,
) -> dict[str, Any]:
    """The fields of a batch of one row.

    Args:
        inputs: what the model is told.
        labels: the names that it knows.
        num_columns: samples that the condition describes; frames that are not there say nothing.
        frame_context: frames around those of the samples.
        begin: the sample that column 0 describes, counted from the clip's beginning, prompt included.
        speaker: a name.
        tags: names; none of them is a value as well.
        features: stored frames (N, F), by name, from the clip's beginning on.

    Raises:
        ValueError: something is missing, or is not what this model can be told.
    """
    features = features or {}
    given = {"speaker": speaker is not None, "tags": len(tags) > 0, **dict.fromkeys(features, True)}
    for name, is_given in given.items():
        if is_given and name not in inputs:
            knows = f"is told {' and '.join(inputs)}" if inputs else "has no condition"
            raise ValueError(f"{name} is set, and this model {knows}; leave it out")
    told: dict[str, Any] = {}
    for name in inputs:
        if name == "speaker":
            told[name] = torch.tensor([_row(name, speaker, labels.speakers)])
        elif name == "tags":
            told[name] = torch.zeros(1, len(labels.tags))
            for tag in tags:
                told[name][0, _row("tag", tag, labels.tags)] = 1
        else:
            spec = labels.features[name]
            if name not in features:
                raise ValueError(
                    f"{name} is missing, expected frames of {spec.num_features} numbers for this model"
                )
            stored_NF = features[name]
            if stored_NF.ndim != 2 or stored_NF.shape[1] != spec.num_features:
                raise ValueError(
                    f"{name} has shape {stored_NF.shape}, expected (frames, {spec.num_features}), a frame for "
                    f"{spec.hop_length} samples; make it with the settings {spec.to_plain()}"
                )
            number = num_frames(spec, num_columns, frame_context)
            first, phase = divmod(begin, spec.hop_length)
            told[name] = torch.from_numpy(window(spec, stored_NF, first - frame_context, number))[None]
            told[f"{name}_phase"] = torch.tensor([phase])
    return told


def _row(what: str, name: str | None, names: tuple[str, ...]) -> int:
    if name in names:
        return names.index(name)
    some = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    if name is None:
        raise ValueError(f"{what} is missing, expected one of {some}")
    meant = nearest(name, names)
    hint = f"; did you mean {meant}?" if meant else ""
    raise ValueError(f"{what} is {name!r:.80}, expected one of {some}{hint}")
