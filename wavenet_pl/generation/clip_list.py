"""What clips `wavenet-pl generate` is asked for: by options or a list, and the files that these name."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from wavenet_pl.config.mistakes import nearest
from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import printable, read_file

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from wavenet_pl.audio.features import FeatureSpec
    from wavenet_pl.generation.requests import ClipRequest
    from wavenet_pl.shards.labels import Labels

DEFAULT_SECONDS = 2.0
"""Of a clip where nothing says how long it should be."""
_LARGEST_LIST = 2**24


@dataclass(frozen=True, kw_only=True)
class AskedClip:
    """One clip, as it is asked for. A line of a list has these names."""

    seconds: float | None = None
    """New audio; as long as the notes or mel if None."""
    prompt: str | None = None
    """Audio file that it begins with."""
    speaker: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    """MIDI file."""
    mel: str | None = None
    """Audio file, or frames as .npy."""


def read_list(path: str, common: AskedClip) -> list[AskedClip]:
    """A clip for each line of a file of JSON objects, such as ``{"seconds": 2, "speaker": "anna"}``.

    Args:
        path: the file.
        common: what holds for every line that does not say otherwise.

    Raises:
        UserError: names the line.
    """
    try:
        lines = read_file(path, _LARGEST_LIST).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--list {path} cannot be read ({printable(str(error)):.100}), expected a JSON object on each line"
        ) from None
    clips = [
        _read_line(f"--list {path}, line {number}", line, common)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not clips:
        raise UserError(f'--list {path} is empty, expected a clip on each line, such as {{"seconds": 2}}')
    return clips


def _read_line(where: str, line: str, common: AskedClip) -> AskedClip:
    names = [field.name for field in fields(AskedClip)]
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise UserError(f'{where} is {line!r:.60}, expected a JSON object such as {{"seconds": 2}}')
    for name, value in said.items():
        if name not in names:
            meant = nearest(name, names)
            hint = f"; did you mean {meant}?" if meant else ""
            raise UserError(f"{where} has {name!r:.60}, expected {', '.join(names)}{hint}")
        if name == "seconds":
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
            expected = "a number above 0"
        elif name == "tags":
            good = isinstance(value, list) and all(isinstance(tag, str) for tag in value)
            expected = "a list of names"
        else:
            good, expected = isinstance(value, str), "a text"
        if not good:
            raise UserError(f"{where} has {name} {value!r:.60}, expected {expected}")
    if "tags" in said:
        said["tags"] = tuple(said["tags"])
    return replace(common, **said)


class FileReader:
    """Turns asked clips into requests of a model; a file that many of them name is read once."""

    def __init__(self, labels: Labels, sample_rate: int) -> None:
        self._labels, self._sample_rate = labels, sample_rate
        self._prompt = cache(lambda path: read_audio("--prompt", path, sample_rate))
        self._features = cache(self._read_features)

    def request(self, asked: AskedClip) -> ClipRequest:
        """What the model is asked for.

        Raises:
            UserError: a file cannot be read, or is not what was expected.
        """
        from wavenet_pl.generation.requests import ClipRequest

        rate = self._sample_rate
        prompt = None if asked.prompt is None else self._prompt(asked.prompt)
        features, told = self._features(asked.notes, asked.mel)
        seconds = asked.seconds
        if seconds is None:
            begun = 0 if prompt is None else len(prompt)
            seconds = max(1, told - begun) / rate if told else DEFAULT_SECONDS
        return ClipRequest(
            seconds=seconds, prompt=prompt, speaker=asked.speaker, tags=asked.tags, features=features
        )

    def _read_features(self, notes: str | None, mel: str | None) -> tuple[Mapping[str, Any], int]:
        """Stored frames by name, and how many samples they last."""
        import numpy as np

        from wavenet_pl.audio.features import MelSpec, NotesSpec
        from wavenet_pl.audio.mel import mel_features
        from wavenet_pl.audio.midi import piano_roll, read_midi

        features: dict[str, Any] = {}
        rate, samples = self._sample_rate, 0
        for name, path in (("notes", notes), ("mel", mel)):
            spec = self._labels.features.get(name)
            if path is None:
                continue
            if spec is None:
                features[name] = np.zeros((0, 0))  # refused where it is told
                continue
            if isinstance(spec, NotesSpec):
                midi = read_midi(path)
                length = math.ceil(float(midi.offsets.max(initial=0)) * rate)
                features[name] = piano_roll(midi, spec, max(1, length), rate)
            elif path.endswith(".npy"):
                features[name] = _read_frames(path, spec)
            else:
                assert isinstance(spec, MelSpec)
                features[name] = mel_features(spec, read_audio("--mel", path, rate), rate)
            samples = max(samples, len(features[name]) * spec.hop_length)
        return features, samples


def _read_frames(path: str, spec: FeatureSpec) -> npt.NDArray[Any]:
    """Frames (N, F) that another program has made by the same settings."""
    import numpy as np

    try:
        frames_NF = np.lib.format.read_array(io.BytesIO(read_file(path, 2**28)), allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, OverflowError, TypeError) as error:
        raise UserError(
            f"--mel {path} cannot be read ({printable(str(error)):.100}), expected a .npy file"
        ) from None
    good = frames_NF.ndim == 2 and len(frames_NF) > 0 and frames_NF.dtype.kind == "f"
    if not good or not ((frames_NF >= 0) & (frames_NF <= 1)).all():
        raise UserError(
            f"--mel {path} has {frames_NF.dtype} of shape {frames_NF.shape}, expected numbers from 0 to 1 of shape "
            f"(frames, {spec.num_features}), made with the settings {spec.to_plain()}"
        )
    return frames_NF


def read_audio(option: str, path: str, sample_rate: int) -> npt.NDArray[np.float32]:
    """Mono audio at the model's sample rate."""
    import numpy as np
    import soundfile

    from wavenet_pl.audio.resampling import resample

    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise UserError(f"{option} {path} cannot be read ({error}), expected an audio file") from None
    if len(audio) == 0 or not np.isfinite(audio).all():
        raise UserError(f"{option} {path} is empty or not finite, expected audio")
    mono = audio.mean(axis=1, dtype=np.float32)
    return mono if rate == sample_rate else resample(mono, rate, sample_rate)
