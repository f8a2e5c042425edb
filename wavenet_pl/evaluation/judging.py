"""What trained networks hear in generated clips: whose voice, and which keys; each beside recordings and chance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wavenet_pl.audio.features import NotesSpec
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.clips import Clip
from wavenet_pl.evaluation.hearing import NoteJudge, compare_keys, told_keys
from wavenet_pl.evaluation.likeness import Embeddings, Measure
from wavenet_pl.evaluation.scoring import Tell
from wavenet_pl.evaluation.voices import FEWEST_CLIPS, VoiceJudge, compare_sets, compare_speakers
from wavenet_pl.files.foreign import printable
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.split import Split

_TELLS_VOICE = {"speaker", "mel"}
"""Inputs that say whose voice it should be."""


@dataclass(frozen=True)
class Judgement:
    """What one judge says of all clips."""

    title: str
    measures: tuple[Measure, ...] = ()
    remarks: tuple[str, ...] = ()
    """What could not be judged, and why."""


def judge_clips(
    inputs: Iterable[str], split: Split, scored: Sequence[int], clips: Sequence[Clip], tell: Tell
) -> list[Judgement]:
    """By ear, as far as the judges are installed: notes where the model was told notes, else voices.

    Args:
        inputs: what the model was told.
        split: that the clips are of.
        scored: positions of recordings that can be read.
        clips: generated, beside their recordings.
        tell: is told the share that is done.
    """
    places = {split[position].key: position for position in scored}
    pairs = [(clip, places[clip.key]) for clip in clips if clip.key in places and len(clip.recorded)]
    if not pairs:
        return []
    inputs = set(inputs)
    judged = []
    if "notes" in inputs:
        judged.append(_judged("Notes, heard by basic-pitch", lambda: _notes(split, pairs, tell)))
    if "notes" not in inputs or "speaker" in inputs:
        told = bool(inputs & _TELLS_VOICE)
        judged.append(
            _judged("Voices, heard by Resemblyzer", lambda: _voices(split, scored, pairs, told, tell))
        )
    return judged


def _judged(title: str, judge: Callable[[], tuple[list[Measure], list[str]]]) -> Judgement:
    try:
        measures, remarks = judge()
    except UserError as missing:
        return Judgement(title, remarks=(str(missing),))
    return Judgement(title, tuple(measures), tuple(remarks))


def _notes(split: Split, pairs: Sequence[tuple[Clip, int]], tell: Tell) -> tuple[list[Measure], list[str]]:
    judge, rate, spec = NoteJudge(), split.sample_rate, split.labels.features["notes"]
    assert isinstance(spec, NotesSpec)
    generated, recorded, told = [], [], []
    for number, (clip, position) in enumerate(pairs, start=1):
        roll_NF = split.try_read_features(position, "notes")
        assert not isinstance(roll_NF, Damage), "it was scored"
        generated.append(judge.hear(clip.generated, rate))
        recorded.append(judge.hear(clip.recorded, rate))
        told.append(told_keys(roll_NF, spec, len(clip.recorded), rate))
        tell(number / len(pairs))
    return compare_keys(generated, recorded, told), []


def _voices(
    split: Split, scored: Sequence[int], pairs: Sequence[tuple[Clip, int]], told: bool, tell: Tell
) -> tuple[list[Measure], list[str]]:
    judge, rate = VoiceJudge(), split.sample_rate
    made = [judge.embed(clip.generated, rate) for clip, _ in pairs]
    real = [judge.embed(clip.recorded, rate) for clip, _ in pairs]
    remarks = []
    for what, found in (("generated", made), ("recorded", real)):
        if mute := [clip.key for (clip, _), voice in zip(pairs, found, strict=True) if voice is None]:
            remarks.append(
                f"no voice is heard in {len(mute)} of {len(pairs)} {what} clips, which do not count: "
                f"{'beside ' if what == 'generated' else ''}{', '.join(map(printable, mute))}"
            )
    heard = [
        _Heard(position, one, other)
        for (_, position), one, other in zip(pairs, made, real, strict=True)
        if one is not None and other is not None
    ]
    samples = max(len(clip.generated) for clip, _ in pairs)
    answers: list[Measure | str] = []
    if told and any(recording.speaker >= 0 for *_, recording in split.places):
        answers.append(_similarity(judge, split, scored, heard, lambda share: tell(0.3 + 0.4 * share)))
    answers.append(_distance(judge, split, scored, heard, samples, lambda share: tell(0.7 + 0.3 * share)))
    measures = [answer for answer in answers if isinstance(answer, Measure)]
    return measures, remarks + [answer for answer in answers if isinstance(answer, str)]


class _Heard(NamedTuple):
    """A clip with a voice."""

    position: int
    generated: Embeddings
    recorded: Embeddings


def _similarity(
    judge: VoiceJudge, split: Split, scored: Sequence[int], heard: Sequence[_Heard], tell: Tell
) -> Measure | str:
    """To the speakers' recordings, or why there is none."""
    voices = _embed(judge, split, scored, None, tell)
    rows = {position: row for row, position in enumerate(voices)}
    counted = [clip for clip in heard if clip.position in rows]
    measure = compare_speakers(
        np.array([clip.generated for clip in counted]),
        np.array([clip.recorded for clip in counted]),
        np.array([rows[clip.position] for clip in counted]),
        np.array(list(voices.values())),
        np.array([split[position].speaker for position in voices]),
    )
    return measure or "no similarity: no speaker of a clip has another recording that was scored"


def _distance(
    judge: VoiceJudge,
    split: Split,
    scored: Sequence[int],
    heard: Sequence[_Heard],
    samples: int,
    tell: Tell,
) -> Measure | str:
    """From the beginnings of recordings that no clip stands beside, or why there is none."""
    # Recordings come again where there are fewer than clips: then only the first clip of each counts.
    once = {clip.position: clip for clip in reversed(heard)}
    free = [position for position in scored if position not in once]
    if min(len(once), len(free)) >= FEWEST_CLIPS:
        free.sort(key=lambda position: split[position].frames < samples)
        others = _embed(judge, split, free[: len(once)], samples, tell)
        measure = compare_sets(
            np.array([clip.generated for clip in once.values()]),
            np.array([clip.recorded for clip in once.values()]),
            np.array(list(others.values())),
        )
        if measure is not None:
            return measure
    return (
        f"no Frechet distance: a voice is in {len(once)} clips of different recordings, and there are {len(free)} "
        f"other recordings, expected {FEWEST_CLIPS} or more of both, as chance is large among few; raise --count "
        "or --max-seconds, or take more data"
    )


def _embed(
    judge: VoiceJudge, split: Split, positions: Sequence[int], samples: int | None, tell: Tell
) -> dict[int, Embeddings]:
    """Position -> the voice in the beginning of a recording, where there is one."""
    voices = {}
    for number, position in enumerate(positions, start=1):
        end = None if samples is None else min(samples, split[position].frames)
        voice = judge.embed(split.read(position, 0, end), split.sample_rate)
        if voice is not None:
            voices[position] = voice
        tell(number / len(positions))
    return voices
