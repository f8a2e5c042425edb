"""What judges say of clips: which judge for which model, beside which recordings, and what they cannot say."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.installed import needs, speech
from tests.shards.made import make_frames, with_rows
from wavenet_pl.evaluation.clips import Clip
from wavenet_pl.evaluation.judging import Judgement, judge_clips
from wavenet_pl.evaluation.recordings import english_recordings
from wavenet_pl.inputs.known import build_inputs
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.shards.format import Entry, ShardWriter
from wavenet_pl.shards.index import Index, save_index, shard_storage
from wavenet_pl.shards.labels import Labels
from wavenet_pl.shards.recording import Recording, Shard
from wavenet_pl.shards.split import Split

RATE = 16_000
SPEAKERS = ("allison_en", "june_fr")
NOTES, MEL = Notes(hop_length=64), Mel.default(RATE)
LABELS = Labels({"speaker": SPEAKERS}, {"notes": NOTES.spec, "mel": MEL.spec})


def write_speech(folder: Path, each: int) -> Split:
    """So many recordings of each of two speakers, in turn, with frames of notes that are nonsense."""
    entries = []
    for number, clips in enumerate(zip(*(speech(name, each) for name in SPEAKERS), strict=True)):
        for speaker, (audio, rate) in enumerate(clips):
            assert rate == RATE
            pcm = np.round(audio * 32_767).astype(np.int16)
            entries.append(
                Entry(
                    key=f"{SPEAKERS[speaker]}-{number:02d}",
                    audio=pcm,
                    sample_rate=RATE,
                    metadata={"source": f"{speaker}-{number}.wav", "start": 0, "speaker": SPEAKERS[speaker]},
                    arrays={"notes": make_frames(NOTES, pcm, number)},
                )
            )
    with ShardWriter(folder / "val/shard-000000.tar", ["notes"]) as writer:
        for entry in entries:
            writer.write(entry)
    recordings = tuple(
        Recording(
            key=entry.key, frames=len(entry.audio), rows={"speaker": (number % 2,)}, members=members
        )
        for number, (entry, members) in enumerate(zip(entries, writer.written.members, strict=True))
    )  # fmt: skip
    shard = Shard("val/shard-000000.tar", writer.written.bytes, writer.written.sha256, recordings)
    index = Index(sample_rate=RATE, splits={"val": (shard,)}, labels=LABELS)
    save_index(index, folder)
    return Split((shard,), shard_storage(index, folder), RATE, LABELS)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return write_speech(tmp_path_factory.mktemp("speech"), 8)


def beside(split: Split, *positions: int, shift: int = 0) -> list[Clip]:
    """Clips that say what another recording says, as a perfect model of another speaker would."""
    return [
        Clip(
            split[position].key,
            "",
            split.read((position + shift) % len(split)),
            split.read(position),
            {},
            {},
        )
        for position in positions
    ]


def judge(
    inputs: tuple[str, ...], split: Split, clips: list[Clip], english: Collection[int] = ()
) -> list[Judgement]:
    """All recordings were scored."""
    told: list[float] = []
    found = judge_clips(
        build_inputs(inputs, LABELS), split, range(len(split)), clips, told.append,
        through_codec=lambda audio: audio, english=english,
    )  # fmt: skip
    assert told == sorted(told)
    return found


@pytest.mark.parametrize(
    ("inputs", "titles"),
    [
        ((), ["Voices"]),
        (("speaker",), ["Voices"]),
        (("mel",), ["Resynthesis", "Voices"]),
        (("notes",), ["Notes"]),
        (("notes", "speaker"), ["Notes", "Voices"]),
    ],
)
def test_what_is_not_installed_is_one_line_for_each_judge(split, monkeypatch, inputs, titles):
    for name in ("resemblyzer", "onnxruntime", "pystoi", "pesq", "pocketsphinx"):
        monkeypatch.setitem(sys.modules, name, None)  # as where there is none
    found = judge(inputs, split, beside(split, 0, 1))
    assert [judgement.title.split(",")[0] for judgement in found] == titles
    for judgement in found:
        resynthesis = judgement.title.startswith("Resynthesis")
        assert bool(judgement.measures) == resynthesis, "what needs no package"
        assert len(judgement.remarks) == (3 if resynthesis else 1)
        assert all("; run `pip install" in remark for remark in judgement.remarks)


@needs("pocketsphinx")
def test_words_are_judged_where_english_is_known_to_be_spoken(split):
    clips = beside(split, 0, 1)  # allison_en, june_fr
    names = {measure.name for measure in judge(("mel",), split, clips, english=[0])[0].measures}
    assert {"words understood, share", "word errors, share"} <= names
    [resynthesis, _] = judge(("mel",), split, clips, english=[2])
    assert not {measure.name for measure in resynthesis.measures} & {"word errors, share"}
    assert any("none of these recordings is known to be English" in each for each in resynthesis.remarks)


def test_the_language_is_that_of_the_recordings_table_or_the_one_that_is_said(split):
    labels, spoken_in = Labels({"lang": ("cs", "en-GB")}), iter([(0,), (1,), (), (0,), (1,)])
    spoken = with_rows(split.at(np.arange(5)), lambda recording: {"lang": next(spoken_in)})
    assert english_recordings(spoken, labels) == {1, 4}
    assert english_recordings(spoken, labels, "en") == {1, 2, 4}
    assert english_recordings(split, split.labels) == frozenset()
    assert english_recordings(split, split.labels, "fr") == frozenset()
    assert english_recordings(split, split.labels, "EN_us") == set(range(len(split)))


def test_no_clips_are_not_judged(split):
    assert judge(("speaker",), split, []) == []
    [clip] = beside(split, 0)
    speaker = build_inputs(("speaker",), LABELS)
    found = judge_clips(speaker, split, [1, 2], [clip], lambda share: None, through_codec=lambda audio: audio)
    assert found == [], "it could not be read"


@needs("resemblyzer")
def test_clips_of_the_right_speaker_are_between_recordings_and_chance_and_of_the_wrong_below(split):
    positions = range(8)
    [right], [wrong] = (
        judge(("speaker",), split, beside(split, *positions, shift=shift)) for shift in (2, 1)
    )
    for judgement, is_right in ((right, True), (wrong, False)):
        [measure] = judgement.measures
        assert measure.chance is not None
        assert measure.recorded.mean > measure.chance.mean + 0.1
        middle = (measure.recorded.mean + measure.chance.mean) / 2
        assert (measure.generated.mean > middle) == is_right
        assert len(judgement.remarks) == 1 and judgement.remarks[0].startswith(
            "no Frechet distance: a voice is in 8"
        )
    # A model that was told nobody is like nobody.
    [unconditional] = judge((), split, beside(split, *positions))
    assert unconditional.measures == () and len(unconditional.remarks) == 1


@needs("resemblyzer")
def test_clips_without_a_voice_are_counted_and_named(split):
    [good, bad] = beside(split, 0, 1)
    silent = Clip(bad.key, "", np.zeros(RATE, np.float32), bad.recorded, {}, {})
    [judgement] = judge(("speaker",), split, [good, silent])
    assert judgement.remarks[0] == (
        f"no voice is heard in 1 of 2 generated clips, which do not count: beside {bad.key}"
    )
    assert judgement.measures[0].generated == judgement.measures[0].recorded, "the other one counts"
    [judgement] = judge(("speaker",), split, [silent])
    assert (
        judgement.measures == () and "no similarity: no speaker of a clip has another" in judgement.remarks[1]
    )


@needs("resemblyzer")
def test_sets_are_told_apart_where_there_are_enough(tmp_path):
    split = write_speech(tmp_path, 17)
    clips = beside(split, *range(16), 0)  # the first recording once more, which counts once
    [judgement] = judge((), split, clips)
    [measure] = judgement.measures
    assert measure.name == "Frechet distance, 16 clips" and not judgement.remarks
    assert measure.generated.mean == pytest.approx(measure.recorded.mean)
    one_voice = [Clip(clip.key, "", clips[0].generated, clip.recorded, {}, {}) for clip in clips]
    [judgement] = judge((), split, one_voice)
    assert judgement.measures[0].generated.mean > 1.2 * judgement.measures[0].recorded.mean


@needs("basic_pitch", "onnxruntime")
def test_a_model_of_notes_is_judged_by_its_notes(split):
    [judgement] = judge(("notes",), split, beside(split, 0, 1))
    assert [measure.name for measure in judgement.measures] == ["precision", "recall", "F1"]
    assert all(measure.generated == measure.recorded and measure.chance for measure in judgement.measures)
    assert not judgement.remarks
