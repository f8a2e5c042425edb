"""How like its recording a resynthesised clip is: each measure between what the codec alone costs and noise.

Shapes: T samples, J frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.judges.intelligibility import STOI, intelligibility, quality
from wavenet_pl.evaluation.judges.likeness import Compare, Measure, Tally
from wavenet_pl.evaluation.judges.pitch import pitch_error, voicing_error
from wavenet_pl.evaluation.judges.spectra import log_spectral_distance, mel_cepstral_distortion
from wavenet_pl.evaluation.judges.words import Alignment, Recogniser, align, hear_all
from wavenet_pl.evaluation.recordings import LANGUAGE
from wavenet_pl.numbers import counter
from wavenet_pl.numbers.intervals import Interval, mean_and_interval

__all__ = ["STOI", "UNDERSTOOD", "Pair", "ResynthesisJudge", "mean_of", "noise_like"]

Audio = npt.NDArray[np.float32]
OnShare = Callable[[float], None]
"""Takes the share that is done, 0 to 1."""

UNDERSTOOD = "words understood, share"
_ENVELOPE = 0.02
"""Seconds over which the level of noise follows a recording's: longer than a period, shorter than a syllable."""


class Pair(NamedTuple):
    """A resynthesised clip beside the recording whose frames it was made of; they begin together."""

    recorded: Audio
    made: Audio
    english: bool = False
    """Whether words are spoken that the recogniser knows."""
    source: str = ""
    """What the recording is, or is a part of, where that is known; pairs of one are one in intervals."""


class Judged(NamedTuple):
    """What is measured on a set of clips."""

    tallies: dict[str, list[Tally]]
    """Measure -> what it says of each clip."""
    measures: list[Measure]
    """Of all clips; those of which no clip has any are left out."""
    remarks: list[str]
    """What could not be judged, and why."""


class ResynthesisJudge:
    """All measures that can be taken here.

    Args:
        sample_rate: of the clips, in Hz.
        through_codec: a clip as the codec alone gives it back: no model that draws its codes comes nearer.
    """

    def __init__(self, sample_rate: int, through_codec: Callable[[Audio], Audio]) -> None:
        self.sample_rate, self._through_codec = sample_rate, through_codec
        self._recogniser: Recogniser | None = None
        self._heard: dict[bytes, list[str]] = {}
        self._compared: dict[tuple[str, bytes, bytes], Tally] = {}
        self.missing: list[str] = []
        """What cannot be judged, and what to install."""
        self.measures: dict[str, Compare] = {
            **self._installed(intelligibility),
            **self._installed(quality),
            "mel-cepstral distortion, dB": mel_cepstral_distortion,
            "log-spectral distance, dB": log_spectral_distance,
            "pitch error, cents": pitch_error,
            "voicing error, share of frames": voicing_error,
        }
        """Name -> what compares a recording with a clip."""
        self.words: dict[str, Compare] = self._installed(self._word_measures)
        """The same, for English."""

    def _installed(self, load: Callable[[], Mapping[str, Compare]]) -> dict[str, Compare]:
        try:
            return dict(load())
        except UserError as missing:
            self.missing.append(str(missing))
            return {}

    def _word_measures(self) -> dict[str, Compare]:
        self._recogniser = Recogniser()

        def aligned(recorded: Audio, made: Audio) -> tuple[Alignment, int]:
            reference = self._words_of(recorded)
            return align(reference, self._words_of(made)), len(reference)

        def understood(recorded: Audio, made: Audio, sample_rate: int) -> Tally:
            alignment, number = aligned(recorded, made)
            return Tally(alignment.same, number)

        def errors(recorded: Audio, made: Audio, sample_rate: int) -> Tally:
            alignment, number = aligned(recorded, made)
            return Tally(alignment.errors, number)

        return {UNDERSTOOD: understood, "word errors, share": errors}

    def _words_of(self, audio: Audio) -> list[str]:
        """Each clip is heard once, whatever it is compared with."""
        self._hear_all([audio])
        return self._heard[_digest(audio)]

    def _hear_all(self, clips: Sequence[Audio]) -> None:
        new = {_digest(clip): clip for clip in clips}
        new = {key: clip for key, clip in new.items() if key not in self._heard}
        if new and self._recogniser is not None:
            heard = hear_all(self._recogniser, list(new.values()), self.sample_rate)
            self._heard.update(zip(new, heard, strict=True))

    def hear(self, audio: Audio) -> str | None:
        """The words of a clip; None where no recogniser is installed."""
        return None if self._recogniser is None else " ".join(self._words_of(audio))

    def tallies(
        self, pairs: Sequence[Pair], progress: OnShare = lambda share: None
    ) -> dict[str, list[Tally]]:
        """Measure -> what it says of each pair, as far as both its clips last."""
        cut = [self._cut(pair) for pair in pairs]
        self._hear_all([clip for pair in cut if pair.english for clip in (pair.recorded, pair.made)])
        tallies: dict[str, list[Tally]] = {}
        for name, compare in {**self.measures, **self.words}.items():
            tallies[name] = [
                self._tally(name, compare, pair) if pair.english or name in self.measures else Tally(0, 0)
                for pair in cut
            ]
            progress(len(tallies) / (len(self.measures) + len(self.words)))
        return tallies

    def _tally(self, name: str, compare: Compare, pair: Pair) -> Tally:
        """Each pair is compared once: a recording through the codec, and noise like it, come again with every set."""
        key = (name, _digest(pair.recorded), _digest(pair.made))
        if key not in self._compared:
            self._compared[key] = compare(pair.recorded, pair.made, self.sample_rate)
        return self._compared[key]

    def judge(self, pairs: Sequence[Pair], progress: OnShare = lambda share: None) -> Judged:
        """Means with intervals over recordings: of the clips, of the recordings through the codec, and of noise."""
        cut = [self._cut(pair) for pair in pairs]
        sides = (
            cut,
            [pair._replace(made=self._through_codec(pair.recorded)) for pair in cut],
            [
                pair._replace(made=noise_like(pair.recorded, self.sample_rate, seed=number))
                for number, pair in enumerate(cut)
            ],
        )
        made, codec, noise = (
            self.tallies(side, lambda share, number=number: progress((number + share) / len(sides)))  # type: ignore[misc]
            for number, side in enumerate(sides)
        )
        beside = [pair.source or _digest(pair.recorded) for pair in cut]
        measures = (
            Measure(name, *(mean_of(side[name], beside) for side in (made, codec, noise))) for name in made
        )
        finite = [measure for measure in measures if np.isfinite(measure.generated.mean)]
        return Judged(made, finite, [*self.missing, *self._no_words(pairs)])

    def _no_words(self, pairs: Sequence[Pair]) -> list[str]:
        if not self.words or any(pair.english for pair in pairs):
            return []
        remark = (
            "no words are judged: none of these recordings is known to be English; say so with --lang en, or in a "
            f"column {LANGUAGE} of metadata.csv and `wavenet-pl prepare --tables {LANGUAGE}`"
        )
        return [remark]

    @staticmethod
    def _cut(pair: Pair) -> Pair:
        length = min(len(pair.recorded), len(pair.made))
        return pair._replace(recorded=pair.recorded[:length], made=pair.made[:length])


def _digest(audio: Audio) -> bytes:
    return hashlib.sha256(audio.tobytes()).digest()


def noise_like(recorded_T: Audio, sample_rate: int, *, seed: int) -> Audio:
    """White noise as loud as the recording, every 20 ms anew: what is left of speech without its spectrum."""
    size = max(1, round(_ENVELOPE * sample_rate))
    num_frames = -(-len(recorded_T) // size)
    frames_JT = np.pad(np.asarray(recorded_T, np.float64), (0, num_frames * size - len(recorded_T)))
    levels_J = np.sqrt((frames_JT.reshape(num_frames, size) ** 2).mean(axis=1))
    uniforms = counter.uniforms(counter.stream_key("noise", seed), np.arange(num_frames * size))
    noise_JT = (2 * uniforms - 1).reshape(num_frames, size) * np.sqrt(3) * levels_J[:, None]
    return np.clip(noise_JT.ravel()[: len(recorded_T)], -1, 1).astype(np.float32)


def mean_of(tallies: Sequence[Tally], beside: Sequence[Hashable] | None = None) -> Interval:
    """The mean over clips; NaN where nothing was counted.

    Args:
        tallies: of each clip.
        beside: which recording each stands beside, where one may come again.
    """
    return mean_and_interval([tally.total for tally in tallies], [tally.number for tally in tallies], beside)
