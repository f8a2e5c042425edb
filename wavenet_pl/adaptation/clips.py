"""Clips before and after an adaptation beside recorded ones: to listen to, to look at, and for a judge of voices."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavenet_pl.adaptation.base import TABLE, Base
from wavenet_pl.audio.pictures import save_spectrograms
from wavenet_pl.audio.wav import WavWriter
from wavenet_pl.config.training import SamplesConfig
from wavenet_pl.evaluation.clips import make_clips
from wavenet_pl.evaluation.judges.likeness import cosines
from wavenet_pl.evaluation.judges.voices import VoiceJudge
from wavenet_pl.model import Model
from wavenet_pl.numbers.intervals import Interval, mean_and_interval
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.keys import source_key
from wavenet_pl.shards.split import Split

KINDS = ("before", "after", "recorded")
JUDGED_RECORDINGS = 32
"""So many recordings of the voice say what it sounds like."""


@dataclass(frozen=True)
class ClipSet:
    """Clips of the same seeds and conditions: what each of them is, and its audio, by kind."""

    sample_rate: int
    labels: dict[str, list[str]]
    audio: dict[str, list[npt.NDArray[np.float32]]]

    @property
    def captions(self) -> dict[str, list[tuple[str, npt.NDArray[np.float32]]]]:
        """Kind -> (caption, audio) of its clips, in the same order for each."""
        return {
            kind: [
                (f"{kind}, {label} | clip {number}", audio)
                for number, (label, audio) in enumerate(zip(self.labels[kind], self.audio[kind], strict=True))
            ]
            for kind in KINDS
        }

    def save(self, folder: Path) -> list[str]:
        """WAV files, and a picture for each number; returns the names of the pictures.

        Raises:
            OSError: they cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        pictures = []
        for number in range(len(self.audio[KINDS[0]])):
            panels = [(f"{kind}, {self.labels[kind][number]}", self.audio[kind][number]) for kind in KINDS]
            for kind, (_, audio) in zip(KINDS, panels, strict=True):
                with closing(WavWriter(folder / f"{kind}-{number}.wav", self.sample_rate)) as file:
                    file.write(audio)
            pictures.append(f"clips-{number}.png")
            save_spectrograms(folder / pictures[-1], panels, self.sample_rate)
        return pictures


def make_set(base: Base, adapted: Model, split: Split, nearest: str, config: SamplesConfig) -> ClipSet:
    """From nothing but the condition: the base as the nearest speaker, the adapted model, and what was recorded.

    Args:
        base: as it was.
        adapted: what became of it.
        split: held-out recordings of the new voice, under its row.
        nearest: the speaker of the base that the new row began as.
        config: how many, how long, and of which seed.
    """
    models = {"before": base.model, "after": adapted}
    splits = {"before": split.with_row(TABLE, base.speakers.index(nearest)), "after": split}
    made = {
        kind: make_clips(
            model,
            splits[kind],
            seconds=config.seconds,
            count=config.count,
            seed=config.seed,
            progress=lambda share: None,
        )[0]
        for kind, model in models.items()
    }
    labels = {kind: [clip.condition for clip in clips] for kind, clips in made.items()}
    audio = {kind: [clip.generated for clip in clips] for kind, clips in made.items()}
    labels["recorded"] = [clip.key for clip in made["after"]]
    audio["recorded"] = [clip.recorded for clip in made["after"]]
    return ClipSet(adapted.sample_rate, labels, audio)


def similarities(judge: VoiceJudge, clips: ClipSet, voice: Split) -> dict[str, Interval]:
    """Kind -> cosine similarity of its clips to the mean of the voice's recordings; intervals are over the recordings
    that they stand beside.

    Args:
        judge: hears whose voice it is.
        clips: those in which it hears none do not count.
        voice: recordings that no clip stands beside.
    """
    recordings = [voice.try_read(position) for position in range(min(len(voice), JUDGED_RECORDINGS))]
    heard = [judge.embed(audio, clips.sample_rate) for audio in recordings if not isinstance(audio, Damage)]
    known = [each for each in heard if each is not None]
    if not known:
        return {}
    mean_D = np.mean(known, axis=0)
    similarity = {}
    for kind in KINDS:
        voices = [judge.embed(audio, clips.sample_rate) for audio in clips.audio[kind]]
        there = {number: voice for number, voice in enumerate(voices) if voice is not None}
        if there:
            alike_N = cosines(np.array([*there.values()]), np.tile(mean_D, (len(there), 1)))
            beside = [source_key(clips.labels["recorded"][number]) for number in there]
            similarity[kind] = mean_and_interval(alike_N, np.ones_like(alike_N), beside)
    return similarity
