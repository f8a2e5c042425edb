"""Listening to the recordings of a voice before they are used: what each of them is, and what is wrong with it.

Shapes: N frames of 20 ms.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.decoding import Decoded, decode_source, hash_file
from data_prep.folder import read_folder
from data_prep.options import RuleOptions
from data_prep.rules import SILENT_PEAK, apply_rules
from data_prep.sources import Source
from wavenet_pl.audio.levels import Levels
from wavenet_pl.audio.streams import Unreadable
from wavenet_pl.progress import Progress

_FRAME_SECONDS = 0.02
_LOUDEST_FRAMES = 5  # the level that a tenth of a second keeps up: a click is shorter
_SILENCE_DB = 40.0  # below that level nothing is said: as `prepare --trim` has it
_FLOOR_PERCENT = 5.0  # of the frames: even short sentences pause for so long, the stop of a t included
_STEP = 2.0**-15  # of 16 bits
_BLOCK_FRAMES = 4096


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One file and what was measured of its audio."""

    source: Source
    """Its name, where it lies, and the sha256 of its content."""
    seconds: float = 0.0
    """By its own clock; of a broken file, what could be read."""
    sample_rate: int = 0
    """Its own; 0 where it could not be read."""
    channels: int = 0
    frames: int = 0
    """Samples at the wanted rate."""
    sounds: tuple[tuple[int, int], ...] = ()
    """(first sample, last + 1) of all that is not silence, at the wanted rate.

    Silence is more than 40 dB below the level that the loudest tenth of a second keeps up, or below -72 dBFS.
    """
    levels: Levels | None = None
    """Peak, RMS and share of clipped samples; None where it could not be read."""
    snr: float = math.nan
    """Signal to noise in dB: an estimate.

    The noise is the power that 95 % of the frames of 20 ms pass, digital silence apart, so it is measured in pauses;
    the signal is what the mean power has beyond it. A file without pauses seems noisier than it is, therefore a voice
    is judged by its median file.
    """
    flaws: Mapping[str, str] = field(default_factory=dict)
    """Of `data_prep.flaws.FLAWS`, with what was found."""
    content: str = ""
    """Hash of the audio: that of a copy is the same, however it is stored."""
    problem: str = ""
    """Why it cannot be used; empty where it can."""

    @property
    def silent(self) -> float:
        """Share of its time that is silence, 0 to 1."""
        return 1 - sum(stop - start for start, stop in self.sounds) / self.frames if self.frames else 0.0


def examine(folder: Path, sample_rate: int) -> list[Heard]:
    """Listen to every audio file below a folder, each decoded once; how far it is goes to stderr.

    What cannot be used is what `prepare` would drop, and what would teach something else than the voice: a file at a
    lower rate than the model's, a second copy of a file, what metadata.csv keeps for a test.

    Args:
        folder: as for `prepare folder`.
        sample_rate: of the model, in Hz.

    Returns:
        In the order of the hash of their names, which is the order in which they are used.

    Raises:
        UserError: there is no such folder, it holds no audio, or its metadata.csv contradicts itself.
    """
    sources = sorted(read_folder(folder, option="--audio").sources, key=lambda source: source.order)
    heard: list[Heard] = []
    first: dict[str, str] = {}
    with Progress("adapt", len(sources), unit="recordings") as progress:
        for number, source in enumerate(sources, start=1):
            recording = _listen(source, sample_rate)
            if not recording.problem:
                original = first.setdefault(recording.content, source.name)
                if (
                    original != source.name
                ):  # held out, it would say that what was learned by heart was understood
                    recording = replace(recording, problem=f"a copy of {original}")
            heard.append(recording)
            progress.update(number)
    return heard


def _listen(source: Source, sample_rate: int) -> Heard:
    options = RuleOptions(sample_rate=sample_rate)
    if source.split == "test":
        return Heard(source=source, problem="a table or a folder keeps it for a test")
    if not source.exists:
        return Heard(source=source, problem=apply_rules(source, options).steps[-1].reason)
    try:
        source = replace(source, sha256=hash_file(source.path))
        decoded = decode_source(source.path, sample_rate)
    except Unreadable as error:
        return Heard(source=source, seconds=error.seconds, problem=error.reason)
    outcome = apply_rules(source, options, decoded)
    problem = outcome.steps[-1].reason
    if decoded.sample_rate < sample_rate:
        problem = (
            f"{decoded.sample_rate} Hz, below the model's {sample_rate} Hz: what it lacks above "
            f"{decoded.sample_rate // 2} Hz would be learned as part of the voice"
        )
    heard = Heard(
        source=source,
        seconds=decoded.seconds,
        sample_rate=decoded.sample_rate,
        channels=decoded.channels,
        frames=len(decoded.audio),
        flaws=outcome.flaws,
        content=hashlib.sha256(decoded.audio.tobytes()).hexdigest(),
        problem=problem,
    )
    return heard if problem else _measured(heard, decoded, sample_rate, options.min_seconds)


def _measured(heard: Heard, decoded: Decoded, sample_rate: int, min_seconds: float) -> Heard:
    audio, size = decoded.audio, round(_FRAME_SECONDS * sample_rate)
    power_N, peak, energy = _powers(audio, size)
    level = np.sort(power_N)[-min(_LOUDEST_FRAMES, len(power_N))]
    loud_N = power_N >= max(level * 10 ** (-_SILENCE_DB / 10), SILENT_PEAK**2)
    edges = np.flatnonzero(np.diff(np.pad(loud_N, 1).astype(np.int8))).reshape(-1, 2) * size
    sounds = tuple((int(start), min(int(stop), len(audio))) for start, stop in edges)
    heard_seconds = sum(stop - start for start, stop in sounds) / sample_rate
    return replace(
        heard,
        sounds=sounds,
        levels=Levels(peak, math.sqrt(energy / len(audio)), decoded.levels.clipped),
        snr=_signal_to_noise(power_N),
        problem="" if heard_seconds >= min_seconds else f"silent but for {heard_seconds:.2f} s",
    )


def _powers(audio: npt.NDArray[np.float32], size: int) -> tuple[npt.NDArray[np.float64], float, float]:
    """Mean square of each frame about its mean (N,), the peak, and the energy; float64 for a piece at a time only."""
    powers, peak, energy = [], 0.0, 0.0
    for start in range(0, len(audio), _BLOCK_FRAMES * size):
        block = audio[start : start + _BLOCK_FRAMES * size].astype(np.float64)
        peak, energy = max(peak, float(np.abs(block).max())), energy + float(np.square(block).sum())
        if len(block) % size:
            block = np.pad(block, (0, -len(block) % size), mode="edge")
        powers.append(block.reshape(-1, size).var(axis=1))
    return np.concatenate(powers), peak, energy


def _signal_to_noise(power_N: npt.NDArray[np.float64]) -> float:
    heard_N = power_N[
        power_N > (_STEP / 2) ** 2
    ]  # digital silence is no pause of a room, but somebody's padding
    if not len(heard_N):
        return math.nan
    floor = max(float(np.percentile(heard_N, _FLOOR_PERCENT)), _STEP**2 / 12)
    return 10 * math.log10(max(float(heard_N.mean()) / floor - 1, 1e-3))
