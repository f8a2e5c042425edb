"""Requests for clips, and what they are for one model: names looked up, files read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.reading import read_audio
from wavenet_pl.errors import UserError, did_you_mean
from wavenet_pl.files.foreign import printable, read_file
from wavenet_pl.inputs.input import Input
from wavenet_pl.numbers.bounds import SECONDS

DEFAULT_SECONDS = 2.0
"""Length of a clip where neither seconds nor frames give one."""
_LARGEST_LIST = 2**24


class ClipRequest:
    """What one clip should be: its length, its prompt and its condition.

    Args:
        seconds: new audio, without the prompt; None for as long as the frames that are given last, else 2.
        prompt: audio (samples,) in [-1, 1] at the model's sample rate that the clip goes on from, or an audio file.
        condition: a value for each input of the model, by its name: ``speaker="anna"``, ``tags=["calm"]``,
            ``accent="scots"``; frames from the prompt's beginning on as an array (N, F) or a file,
            ``notes="score.mid"``, ``mel="recording.wav"``, ``f0=array``. None is the same as nothing.

    Raises:
        UserError: seconds is no length.
    """

    def __init__(
        self,
        /,
        *,
        seconds: float | None = None,
        prompt: npt.ArrayLike | str | os.PathLike[str] | None = None,
        **condition: Any,
    ) -> None:
        if seconds is not None:
            SECONDS.check("seconds", seconds)
        self.seconds, self.prompt = seconds, prompt
        self.location = ""
        """File and line that it comes from, which error messages begin with; empty where it comes from no file."""
        self.condition = {name: value for name, value in condition.items() if value is not None}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r:.40}" for name, value in self.described().items())
        return f"ClipRequest({arguments})"

    def described(self) -> dict[str, Any]:
        """The arguments that are numbers, names or files, without arrays: for the facts beside a clip."""
        named = {"seconds": self.seconds, "prompt": self.prompt, **self.condition}
        return {
            name: value for name, value in named.items() if isinstance(value, (str, float, int, list, tuple))
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A request as one model understands it."""

    num_samples: int
    """New ones, without the prompt's."""
    prompt: npt.NDArray[np.float32]
    """(samples,), empty where the clip begins from silence."""
    values: Mapping[str, Any]
    """Input -> what `Input.resolve` made of what was given."""


def resolve(requests: Sequence[ClipRequest], inputs: Sequence[Input], sample_rate: int) -> list[Clip]:
    """The requested clips. A value that several requests share is looked up and read once.

    Args:
        requests: what is asked for.
        inputs: of the model.
        sample_rate: of the model, in Hz.

    Raises:
        ValueError: the value of an input is missing, or not one that this model knows.
    """
    known: dict[tuple[str, Any], Any] = {}

    def once(name: str, value: Any, look: Any) -> Any:
        key = name, value if isinstance(value, (str, os.PathLike)) else id(value)
        if key not in known:
            known[key] = look(value)
        return known[key]

    def understood(request: ClipRequest) -> Clip:
        check_names(request.condition, inputs)
        values = {
            each.name: once(
                each.name, request.condition.get(each.name), lambda v, e=each: e.resolve(v, sample_rate)
            )
            for each in inputs
        }
        prompt = once("prompt", request.prompt, lambda value: _prompt(value, sample_rate))
        lasts = max((each.num_samples(values[each.name]) for each in inputs), default=0)
        seconds = request.seconds
        if seconds is None:
            seconds = max(1, lasts - len(prompt)) / sample_rate if lasts else DEFAULT_SECONDS
        return Clip(num_samples=max(1, round(seconds * sample_rate)), prompt=prompt, values=values)

    clips = []
    for request in requests:
        try:
            clips.append(understood(request))
        except ValueError as error:
            if not request.location:
                raise
            raise UserError(f"{request.location}: {error}") from None
    return clips


def check_names(given: Mapping[str, Any], inputs: Sequence[Input]) -> None:
    """Refuse values for inputs that a model does not have.

    Raises:
        ValueError: names the value, and the inputs of the model.
    """
    names = [each.name for each in inputs]
    for name in given:
        if name not in names:
            knows = f"is conditioned on {' and '.join(names)}" if names else "has no condition"
            near = did_you_mean(name, [*names, "prompt", "seconds"])
            raise ValueError(f"{name} is set, and this model {knows}; leave it out{near}")


def read_list(path: str, common: ClipRequest) -> list[ClipRequest]:
    """A request for each line of a file of JSON objects, such as ``{"seconds": 2, "speaker": "anna"}``.

    Args:
        path: the file.
        common: what holds for every line that does not say otherwise.

    Raises:
        UserError: names the line.
    """
    try:
        # Other marks that end a line elsewhere may stand inside of a name.
        lines = read_file(path, _LARGEST_LIST).decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--list {path} cannot be read ({printable(str(error)):.100}), expected a JSON object on each line"
        ) from None
    requests = [
        _read_line(f"--list {path}, line {number}", line, common)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not requests:
        raise UserError(f'--list {path} is empty, expected a clip on each line, such as {{"seconds": 2}}')
    return requests


def _read_line(location: str, line: str, common: ClipRequest) -> ClipRequest:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UserError(f"{location} has {twice!r:.60} twice, expected it once; leave one out")
        return dict(pairs)

    try:
        fields = json.loads(line, object_pairs_hook=once)
    except UserError:
        raise
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise UserError(f'{location} is {line!r:.60}, expected a JSON object such as {{"seconds": 2}}')
    for name, value in fields.items():
        if name == "seconds":
            good, expected = value in SECONDS, SECONDS.expected
        else:
            names = value if isinstance(value, list) else [value]
            good, expected = all(isinstance(each, str) for each in names), "a name, a file or a list of names"
            expected += did_you_mean(name, ("seconds", "prompt"))
        if not good:
            raise UserError(f"{location} has {name} {value!r:.60}, expected {expected}")
    merged = {"seconds": common.seconds, "prompt": common.prompt, **common.condition, **fields}
    request = ClipRequest(**merged)
    request.location = location
    return request


def _prompt(value: Any, sample_rate: int) -> npt.NDArray[np.float32]:
    if value is None:
        return np.zeros(0, np.float32)
    if isinstance(value, (str, os.PathLike)):
        return read_audio(os.fspath(value), sample_rate, "prompt ")
    expected = "expected audio (samples,), finite numbers in [-1, 1], or an audio file"
    try:
        prompt = np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"prompt cannot be an array ({error}), {expected}") from None
    if prompt.ndim != 1:
        raise ValueError(f"prompt has shape {prompt.shape}, {expected}")
    if not np.isfinite(prompt).all():
        raise ValueError(f"prompt has samples that are no numbers, {expected}")
    return prompt
