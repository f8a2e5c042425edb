"""What judges hear in generated clips: whose voice, which keys, which words; each beside recordings and chance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.clips import Audio, Clip
from wavenet_pl.evaluation.judges.likeness import Embeddings, Measure
from wavenet_pl.evaluation.judges.notes import NoteJudge, compare_keys, condition_keys
from wavenet_pl.evaluation.judges.resynthesis import Pair, ResynthesisJudge
from wavenet_pl.evaluation.judges.voices import FEWEST_CLIPS, VoiceJudge, compare_sets, compare_speakers
from wavenet_pl.evaluation.scoring import OnProgress
from wavenet_pl.files.foreign import printable
from wavenet_pl.inputs.input import Input
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.inputs.speaker import Speaker
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.keys import source_key
from wavenet_pl.shards.split import Split

Findings = tuple[list[Measure], list[str]]
"""What a judge measured, and what could not be judged, and why."""


@dataclass(frozen=True)
class Judgement:
    """What one judge says of all clips."""

    title: str
    measures: tuple[Measure, ...] = ()
    remarks: tuple[str, ...] = ()
    """What could not be judged, and why."""


def judge_clips(
    inputs: Sequence[Input],
    split: Split,
    scored: Sequence[int],
    clips: Sequence[Clip],
    progress: OnProgress,
    *,
    through_codec: Callable[[Audio], Audio],
    english: Collection[int] = (),
) -> list[Judgement]:
    """By ear, as far as the judges are installed: notes where the model has notes as an input, else voices.

    Where an input says what the recording sounds like, the clips are compared with it.

    Args:
        inputs: of the model.
        split: that the clips are of.
        scored: positions of recordings that can be read.
        clips: generated, beside their recordings.
        progress: takes the share that is done.
        through_codec: audio as the model's codec gives it back.
        english: positions of recordings in which English is spoken.
    """
    positions = {split[position].key: position for position in scored}
    pairs = [(clip, positions[clip.key]) for clip in clips if clip.key in positions and len(clip.recorded)]
    if not pairs:
        return []
    heard_as = {each.heard_as for each in inputs}
    notes = next((each for each in inputs if isinstance(each, Notes)), None)
    has_voice = "voice" in heard_as
    judges: dict[str, Callable[[OnProgress], Findings]] = {}
    if any(each.resynthesises for each in inputs):
        judge = ResynthesisJudge(split.sample_rate, through_codec)
        title = "Resynthesis, beside the recordings that went through the codec, and noise"
        judges[title] = lambda progress: _resynthesis(judge, pairs, english, progress)
    if notes is not None:
        judges["Notes, heard by basic-pitch"] = lambda progress: _notes(notes, split, pairs, progress)
    if notes is None or has_voice:
        judges["Voices, heard by Resemblyzer"] = lambda progress: _voices(
            split, scored, pairs, has_voice, progress
        )
    judged = []
    for number, (title, hear) in enumerate(judges.items()):
        try:
            measures, remarks = hear(lambda share, done=number: progress((done + share) / len(judges)))  # type: ignore[misc]
        except UserError as missing:
            measures, remarks = [], [str(missing)]
        judged.append(Judgement(title, tuple(measures), tuple(remarks)))
    return judged


def _resynthesis(
    judge: ResynthesisJudge,
    pairs: Sequence[tuple[Clip, int]],
    english: Collection[int],
    progress: OnProgress,
) -> Findings:
    compared = [
        Pair(clip.recorded, clip.generated, position in english, source_key(clip.key))
        for clip, position in pairs
    ]
    judged = judge.judge(compared, progress)
    return judged.measures, judged.remarks


def _notes(notes: Notes, split: Split, pairs: Sequence[tuple[Clip, int]], progress: OnProgress) -> Findings:
    judge, rate = NoteJudge(), split.sample_rate
    generated, recorded, condition = [], [], []
    for number, (clip, position) in enumerate(pairs, start=1):
        roll_NF = notes.stored(split, position)
        assert not isinstance(roll_NF, Damage), "it was scored"
        generated.append(judge.hear(clip.generated, rate))
        recorded.append(judge.hear(clip.recorded, rate))
        condition.append(condition_keys(roll_NF, notes.hop_length, len(clip.recorded), rate))
        progress(number / len(pairs))
    return compare_keys(generated, recorded, condition, [source_key(clip.key) for clip, _ in pairs]), []


def _voices(
    split: Split,
    scored: Sequence[int],
    pairs: Sequence[tuple[Clip, int]],
    has_voice: bool,
    progress: OnProgress,
) -> Findings:
    judge, rate = VoiceJudge(), split.sample_rate
    made = [judge.embed(clip.generated, rate) for clip, _ in pairs]
    real = [judge.embed(clip.recorded, rate) for clip, _ in pairs]
    remarks = []
    for what, voices in (("generated", made), ("recorded", real)):
        if mute := [clip.key for (clip, _), voice in zip(pairs, voices, strict=True) if voice is None]:
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
    if has_voice and split.labels.tables.get(Speaker.name):
        answers.append(_similarity(judge, split, scored, heard, lambda share: progress(0.3 + 0.4 * share)))
    answers.append(_distance(judge, split, scored, heard, samples, lambda share: progress(0.7 + 0.3 * share)))
    measures = [answer for answer in answers if isinstance(answer, Measure)]
    return measures, remarks + [answer for answer in answers if isinstance(answer, str)]


class _Heard(NamedTuple):
    """A clip with a voice."""

    position: int
    generated: Embeddings
    recorded: Embeddings


def _similarity(
    judge: VoiceJudge, split: Split, scored: Sequence[int], heard: Sequence[_Heard], progress: OnProgress
) -> Measure | str:
    """To the speakers' recordings, or why there is none."""
    voices = _embed(judge, split, scored, None, progress)
    rows = {position: row for row, position in enumerate(voices)}
    counted = [clip for clip in heard if clip.position in rows]
    measure = compare_speakers(
        np.array([clip.generated for clip in counted]),
        np.array([clip.recorded for clip in counted]),
        np.array([rows[clip.position] for clip in counted]),
        np.array(list(voices.values())),
        np.array([_speaker(split, position) for position in voices]),
        np.unique([source_key(split.key(position)) for position in voices], return_inverse=True)[1],
    )
    return measure or "no similarity: no speaker of a clip has another recording that was scored"


def _distance(
    judge: VoiceJudge,
    split: Split,
    scored: Sequence[int],
    heard: Sequence[_Heard],
    samples: int,
    progress: OnProgress,
) -> Measure | str:
    """From the beginnings of recordings that no clip stands beside, or why there is none."""
    # Recordings come again where there are fewer than clips: then only the first clip of each counts.
    once = {clip.position: clip for clip in reversed(heard)}
    free = [position for position in scored if position not in once]
    if min(len(once), len(free)) >= FEWEST_CLIPS:
        free.sort(key=lambda position: split[position].frames < samples)
        others = _embed(judge, split, free[: len(once)], samples, progress)
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
    judge: VoiceJudge, split: Split, positions: Sequence[int], samples: int | None, progress: OnProgress
) -> dict[int, Embeddings]:
    """Position -> the voice in the beginning of a recording, where there is one."""
    voices = {}
    for number, position in enumerate(positions, start=1):
        end = None if samples is None else min(samples, split[position].frames)
        voice = judge.embed(split.read(position, 0, end), split.sample_rate)
        if voice is not None:
            voices[position] = voice
        progress(number / len(positions))
    return voices


def _speaker(split: Split, position: int) -> int:
    """Row of a recording's speaker, -1 for none."""
    rows = split[position].rows.get(Speaker.name, ())
    return rows[0] if rows else -1
