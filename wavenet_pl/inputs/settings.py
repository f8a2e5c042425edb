"""Settings of frames in files that anyone may have written: known, of their type, and in range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def read_settings(name: str, spec: Any, **ranges: tuple[float, float]) -> dict[str, Any]:
    """The settings of a spec.

    Args:
        name: of the frames, for messages.
        spec: what was stored.
        ranges: setting -> its least and largest value, of its type.

    Raises:
        ValueError: settings are missing, unknown or out of range.
    """
    if not isinstance(spec, Mapping) or set(spec) != set(ranges):
        raise ValueError(f"{name} has the settings {spec!r:.80}, expected {', '.join(ranges)}")
    return {setting: read_number(name, setting, spec[setting], *bounds) for setting, bounds in ranges.items()}


def read_number(name: str, setting: str, value: Any, lowest: float, highest: float) -> Any:
    """One number, of the type of its bounds: 55 and 55.0 are one setting.

    Raises:
        ValueError: it is none, or out of range.
    """
    kinds = (int,) if isinstance(lowest, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not lowest <= value <= highest:
        raise ValueError(
            f"{name} has {setting} {value!r:.80}, expected {'a whole' if kinds == (int,) else 'a'} number from "
            f"{lowest} to {highest}"
        )
    return type(lowest)(value)
