"""The rules that every recording goes through, in order; each one says what it kept, dropped and changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.decoding import Decoded, decode_source
from data_prep.flaws import (
    describe_band,
    describe_file,
    find_loss,
    find_narrow_band,
    find_offset,
    find_source_flaws,
)
from data_prep.options import RuleOptions
from data_prep.sources import Source, printable, readable
from wavenet_pl.audio.bandwidth import find_bandwidth
from wavenet_pl.audio.loudness import loudness
from wavenet_pl.audio.streams import Unreadable
from wavenet_pl.audio.wav import to_int16
from wavenet_pl.errors import UserError
from wavenet_pl.files import foreign
from wavenet_pl.inputs.array import UserFrames
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.known import FRAMES

_KINDS: tuple[type[Frames], ...] = (*FRAMES, UserFrames)
RULES = {
    "decode": "read the file, and take the stretch that is wanted",
    "mono": "average the channels",
    "resample": "bring to one sample rate",
    "finite": "drop what has samples that are no numbers",
    "trim": "cut silence at both ends",
    "silence": "drop what is silent all over",
    "level": "bring to one loudness",
    "peak": "turn down what passes full scale",
    "length": "drop what is too short",
    **{kind.rule: kind.rule_help for kind in _KINDS if kind.rule},
    "cut": "cut what is over a minute into parts",
    "copy": "drop what another split has, too",
}
"""Rule -> what it does."""
FILE_RULES = tuple(kind.rule for kind in _KINDS if kind.rule)
"""Rules on the files beside a recording."""

SILENT_PEAK = 2.0**-12
"""Audio that stays below, -72 dBFS, is silence: 8 steps of 16 bits, and about the first step of 8-bit mu-law."""
MAX_PART_SECONDS = 60.0
_EXPLAINS = {"silence": "channels cancel", "length": "mostly dropped"}
"""Rule -> the flaw that is the reason why it dropped a recording."""
_CEILING = 32767 / 32768
_FRAME_SECONDS = 0.02
_LOUDEST_FRAMES = 5  # the level that a tenth of a second keeps up: a click is shorter
_MARGIN_SECONDS = 0.1  # kept beside what is loud: the onset of an f, the end of a breath


@dataclass(frozen=True)
class Step:
    """What one rule did to one recording."""

    rule: str
    kept: float
    """Seconds."""
    dropped: float = 0.0
    """Seconds."""
    changed: bool = False
    limited: bool = False
    """The wanted level was not reached: a peak would have been clipped."""
    reason: str = ""
    """Why the recording is dropped; empty where it goes on."""


@dataclass(frozen=True)
class Part:
    """One piece of a recording, ready to be written."""

    start: int
    """Samples from the beginning of the source, at the set's rate."""
    audio: npt.NDArray[np.int16]
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """Name of frames -> stored frames (N, F)."""


@dataclass(frozen=True)
class Outcome:
    """A recording after all rules."""

    steps: tuple[Step, ...]
    parts: tuple[Part, ...]
    """None where a rule dropped the recording; the last step says which and why."""
    flaws: dict[str, str] = field(default_factory=dict)
    """Of `data_prep.flaws.FLAWS`, with what was found."""
    properties: dict[str, str] = field(default_factory=dict)
    """Of `data_prep.flaws.PROPERTIES`; empty for what was not read from a file."""


def apply_rules(source: Source, options: RuleOptions, decoded: Decoded | None = None) -> Outcome:
    """Read one source and take it through the rules.

    Args:
        source: what to read.
        options: of the rules.
        decoded: the source, where it was read already.

    Raises:
        UserError: this machine has no room to read it.
    """
    steps, audio, decoded = _read(source, options.sample_rate, decoded)
    start = source.stretch[0] if source.stretch else 0
    if audio is None:
        return Outcome(tuple(steps), ())
    flaws, properties = (find_source_flaws(decoded), describe_file(decoded)) if decoded else ({}, {})
    assert not (source.stretch and options.file_rules)  # nobody has cut the files beside it
    rate, whole = options.sample_rate, len(audio)
    materials: dict[str, Any] = {}
    lowest, highest = find_bounds(audio)
    for rule in ("finite", "trim", "silence", "level", "peak", "length", *FILE_RULES):
        seconds = len(audio) / rate
        step = Step(rule, seconds)
        if rule == "finite" and not (math.isfinite(lowest) and math.isfinite(highest)):
            step = Step(rule, 0.0, seconds, reason="samples that are no numbers")
        elif rule == "trim" and options.trim is not None:
            first, last = find_sound(audio, rate, options.trim)
            start, audio = start + first, audio[first:last]
            lowest, highest = find_bounds(audio)
            step = Step(
                rule, len(audio) / rate, seconds - len(audio) / rate, changed=len(audio) / rate < seconds
            )
        elif rule == "silence" and is_silent(lowest, highest):
            step = Step(
                rule, 0.0, seconds, reason=f"silent: nothing above {20 * math.log10(SILENT_PEAK):.0f} dBFS"
            )
        elif rule == "level":
            gain, limited = find_gain(audio, options)
            if gain != 1:
                scale = np.float32(gain)
                audio, lowest, highest = audio * scale, lowest * scale, highest * scale
            step = Step(rule, seconds, changed=gain != 1, limited=limited)
        elif rule == "peak" and (peak := float(max(highest, -lowest))) > 1:
            audio = audio * np.float32(_CEILING / peak)
            step = Step(rule, seconds, changed=True)
        elif rule == "length" and seconds < options.min_seconds:
            step = Step(rule, 0.0, seconds, reason=f"{seconds:.3f} s, shorter than {options.min_seconds:g} s")
        elif rule in FILE_RULES:
            try:
                for each in (each for each in options.frames if each.rule == rule):
                    materials[each.name] = _load(source, each, whole, rate)
            except Unreadable as error:
                step = Step(rule, 0.0, seconds, reason=error.reason)
        if not step.reason:
            flaws |= find_loss(rule, step.kept, step.dropped)
        elif (flaw := _EXPLAINS.get(rule)) in flaws:
            step = replace(step, reason=f"{step.reason}; {flaw}: {flaws[flaw]}")
        steps.append(step)
        if step.reason:
            return Outcome(tuple(steps), (), properties=properties)
    parts = tuple(_with_frames(part, options, materials) for part in cut(to_int16(audio), rate, start))
    flaws |= find_offset(float(audio.mean()))
    if decoded:
        band = find_bandwidth(audio, rate)
        if decoded.sample_rate < rate:
            band = min(band or math.inf, decoded.sample_rate / 2)
        flaws |= find_narrow_band(band, rate)
        properties |= describe_band(band, rate)
    for each in options.frames:
        for flaw, description in each.flaws(materials.get(each.name), audio, rate, start).items():
            flaws[flaw] = f"{description}, {source.files[each.name].name}"
    steps.append(Step("cut", len(audio) / rate, changed=len(parts) > 1))
    steps.append(Step("copy", len(audio) / rate))  # what others have is known when all are packed
    return Outcome(tuple(steps), parts, flaws, properties)


def _load(source: Source, frames: Frames, num_samples: int, sample_rate: int) -> Any:
    """What frames are made of, from the file beside a source.

    Raises:
        Unreadable: there is none, or it does not fit; names it as the corpus does.
        UserError: this machine has no room to read it.
    """
    file = source.files.get(frames.name)
    if file is None:
        named = getattr(source, frames.file_column) if frames.file_column else None
        missing = f"no file *{' or *'.join(frames.file_suffixes())} beside it"
        if named:
            missing = f"its table names {named}, and there is no such file"
        raise Unreadable(f"{missing}, expected one with its {frames.name}")
    try:
        with readable(file) as path:
            try:
                return frames.load(path, num_samples, sample_rate)
            except UserError as error:
                reason = str(error)
                for spelling in (path, printable(path), foreign.printable(path)):
                    reason = reason.replace(spelling, file.name)
                raise Unreadable(reason) from None
    except OSError as error:
        raise Unreadable(f"{file.name} cannot be read ({error.strerror or error})") from None


def _with_frames(part: Part, options: RuleOptions, materials: Mapping[str, Any]) -> Part:
    arrays = {
        each.name: each.make(materials.get(each.name), part.audio, options.sample_rate, part.start)
        for each in options.frames
    }
    return replace(part, arrays=arrays)


def _read(
    source: Source, sample_rate: int, decoded: Decoded | None
) -> tuple[list[Step], npt.NDArray[np.float32] | None, Decoded | None]:
    """Steps, audio, and the file that it was read from."""
    if source.made is not None:
        audio = source.made.audio(sample_rate)
        seconds = len(audio) / sample_rate
        return [Step(rule, seconds) for rule in ("decode", "mono", "resample")], audio, None
    try:
        if source.problem or not source.exists:
            raise Unreadable(source.problem or "no file")
        if decoded is None:
            with readable(source) as path:
                decoded = decode_source(path, sample_rate)
    except OSError as error:
        return [Step("decode", 0.0, reason=str(error.strerror or error))], None, None
    except Unreadable as error:
        return [Step("decode", 0.0, error.seconds, reason=error.reason)], None, None
    audio = decoded.audio[slice(*source.stretch)] if source.stretch else decoded.audio
    seconds = len(audio) / sample_rate if source.stretch else decoded.seconds
    steps = [
        Step("decode", seconds, max(0.0, decoded.seconds - seconds), changed=source.stretch is not None),
        Step("mono", seconds, changed=decoded.channels > 1),
        Step("resample", len(audio) / sample_rate, changed=decoded.sample_rate != sample_rate),
    ]
    return steps, audio, decoded


def find_sound(audio: npt.NDArray[np.float32], sample_rate: int, decibels: float) -> tuple[int, int]:
    """Where the sound begins and ends, as samples (first, last + 1), with a tenth of a second around it.

    Silence is what lies `decibels` below the recording's own level, the one that its loudest tenth of a second keeps
    up. So something is always left, however quiet the whole is; audio without any sound is left as it is.
    """
    size = max(1, round(_FRAME_SECONDS * sample_rate))
    centred = audio - audio.mean(dtype=np.float64).astype(np.float32)  # an offset is not sound
    padded = np.pad(centred, (0, -len(audio) % size)).reshape(-1, size)
    power = np.square(padded, dtype=np.float32).mean(axis=1, dtype=np.float64)
    level = np.sort(power)[-min(_LOUDEST_FRAMES, len(power))]
    loud = np.flatnonzero(power >= max(level * 10 ** (-decibels / 10), 1e-30))
    if len(loud) == 0:
        return 0, len(audio)
    margin = round(_MARGIN_SECONDS * sample_rate)
    return max(0, int(loud[0]) * size - margin), min(len(audio), (int(loud[-1]) + 1) * size + margin)


def is_silent(lowest: np.float32, highest: np.float32) -> bool:
    """Whether nothing moves between these bounds: a constant is silence, too."""
    return bool(highest - lowest < 2 * SILENT_PEAK)


def find_bounds(audio: npt.NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    """The lowest and the highest sample, one of them not finite where any is; zeros where there are none."""
    return (audio.min(), audio.max()) if len(audio) else (np.float32(0), np.float32(0))


def find_gain(audio: npt.NDArray[np.float32], options: RuleOptions) -> tuple[float, bool]:
    """What to multiply with for the wanted level, and whether it is less than that because a peak would be clipped.

    1 where no level is wanted, or the recording is too quiet to be measured.
    """
    if options.loudness is not None:
        gap = options.loudness - loudness(audio, options.sample_rate)
    elif options.rms is not None:
        rms = math.sqrt(float(np.mean(np.square(audio, dtype=np.float64))))
        gap = options.rms - 20 * math.log10(rms) if rms > 0 else math.inf
    else:
        return 1.0, False
    peak = float(np.abs(audio).max())
    if not math.isfinite(gap) or peak == 0:
        return 1.0, False
    wanted, most = 10 ** (gap / 20), _CEILING / peak
    return min(wanted, most), wanted > most


def cut(audio: npt.NDArray[np.int16], sample_rate: int, start: int = 0) -> tuple[Part, ...]:
    """Equal parts of a minute at most."""
    count = max(1, math.ceil(len(audio) / (MAX_PART_SECONDS * sample_rate)))
    edges = [round(number * len(audio) / count) for number in range(count + 1)]
    return tuple(Part(start + a, audio[a:b]) for a, b in pairwise(edges))
