"""Notes: a piano roll of a MIDI file (MAESTRO, Hawthorne et al., 2019)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from wavenet_pl.audio.midi import NUM_KEYS, PEDAL_DOWN, PianoRoll, Score, piano_roll, read_midi
from wavenet_pl.audio.shift import SHIFT_FLAWS, shift_flaws
from wavenet_pl.errors import UserError
from wavenet_pl.files.foreign import printable
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Array, Rows
from wavenet_pl.inputs.settings import read_settings

FRAMES_PER_SECOND = 250
"""About: finer than two onsets can be told apart."""
_LOUDEST = 127
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Notes(Frames):
    """A piano roll: for each of the 88 keys its velocity while it sounds, then how far the sustain pedal is down."""

    name = "notes"
    heard_as = "notes"
    dtype = "uint8"
    bounds = (0, _LOUDEST)
    metavar = "FILE"
    help = "MIDI file to play, for a model conditioned on notes"
    prepare_help = "piano rolls, of MIDI files that metadata.csv names or that are called like the recordings"
    rule = "notes"
    rule_help = "drop what has no MIDI file that fits"
    flaw_help: ClassVar[Mapping[str, str]] = {
        "malformed": "the MIDI file breaks the format, and is read as players read it",
        "beyond": "the MIDI file has notes of keys that a piano does not have, which are left out",
        **SHIFT_FLAWS,
    }
    file_column = "midi"

    @classmethod
    def default(cls, sample_rate: int) -> Notes:
        """The settings that `prepare --notes` uses."""
        return cls(hop_length=max(1, round(sample_rate / FRAMES_PER_SECOND)))

    @classmethod
    def from_spec(cls, name: str, spec: Mapping[str, Any]) -> Notes:
        """What an index or a checkpoint holds.

        Raises:
            ValueError: settings are missing, unknown or out of range.
        """
        return cls(**read_settings(cls.name, spec, hop_length=(1, 2**16)))

    @property
    def num_features(self) -> int:
        """Numbers in a row (F): one for each key, and the pedal."""
        return NUM_KEYS + 1

    def scaled(self, stored_NF: Array) -> npt.NDArray[np.float32]:
        """Velocities and pedal from 0, not pressed, to 1."""
        return np.asarray(stored_NF.astype(np.float32) / np.float32(_LOUDEST))

    def file_suffixes(self) -> tuple[str, ...]:
        """MIDI files are called KEY.mid or KEY.midi."""
        return (".mid", ".midi")

    def load(self, path: str, num_samples: int, sample_rate: int) -> Score:
        """The notes of a recording, if they fit its audio: they begin before it ends, and none begins a frame after it.

        Raises:
            UserError: it cannot be read or has no notes, or it does not fit.
        """
        score = _read_score(path)
        seconds, frame = num_samples / sample_rate, self.hop_length / sample_rate
        if score.onsets[0] >= seconds or score.onsets[-1] > seconds + frame:
            raise UserError(
                f"{path} does not fit: its notes begin from {score.onsets[0]:.2f} to {score.onsets[-1]:.2f} s, "
                f"the audio has {seconds:.2f} s"
            )
        return score

    def make(self, material: Any, audio: npt.NDArray[np.int16], sample_rate: int, start: int) -> Array:
        """The piano roll (N, F) of a part."""
        return piano_roll(material, self.hop_length, len(audio), sample_rate, start)

    def flaws(
        self, material: Any, audio: npt.NDArray[np.float32], sample_rate: int, start: int
    ) -> dict[str, str]:
        """What is wrong with the file, and whether the notes stand where they sound."""
        return file_flaws(material) | shift_flaws(material, audio, sample_rate, self.hop_length, start)

    def tally(self, stored_NF: Array) -> dict[str, float]:
        """Notes that begin, and the share of the frames with pedal."""
        down = np.pad(stored_NF[:, :NUM_KEYS] > 0, ((1, 0), (0, 0)))
        return {
            "notes": int((down[1:] & ~down[:-1]).sum()),
            "pedal": round(float((stored_NF[:, NUM_KEYS] >= PEDAL_DOWN).mean()), 6),
        }

    def report(self, rows: Sequence[Mapping[str, Any]], sample_rate: int) -> str:
        """Notes a second, and the share of the time that the pedal is down."""
        seconds = sum(row["frames"] for row in rows) / sample_rate or 1.0
        pedal = sum(row["pedal"] * row["frames"] for row in rows) / sample_rate / seconds
        count = sum(row["notes"] for row in rows) / seconds
        return f"{count:.2f} notes a second, the pedal down in {pedal:.1%} of the frames"

    @property
    def example(self) -> str:
        """Name of a MIDI file."""
        return "piece.mid"

    def read_file(self, path: str, sample_rate: int) -> Rows:
        """The roll of a whole MIDI file, of which no more is made than a clip needs; what is odd about it is logged."""
        if path.endswith(".npy"):
            return super().read_file(path, sample_rate)
        score = _read_score(path)
        for flaw, description in file_flaws(score).items():
            _log.warning(
                f"{self.name} {printable(path)} has a flaw and is taken as it is: {flaw}, {description}"
            )
        return PianoRoll(score, self.hop_length, sample_rate)


def _read_score(path: str) -> Score:
    """The notes of a MIDI file, one at least."""
    score = read_midi(path)
    if not len(score.onsets):
        raise UserError(f"{printable(path)} has no notes that a piano can play, expected one or more")
    return score


def file_flaws(score: Score) -> dict[str, str]:
    """The flaws that a MIDI file has by itself, with what was found."""
    flaws = {"malformed": ", ".join(score.flaws)} if score.flaws else {}
    return flaws | ({"beyond": f"{score.left_out} of them"} if score.left_out else {})
