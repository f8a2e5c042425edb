"""Clips before and after belong together, and a judge hears whose voice is in them."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.adaptation.voices import NEW, make_base, new_config, write_base_set, write_new_set
from tests.data_prep.corpus import prepare
from tests.evaluation.installed import DEMO, needs, speech
from tests.full_disk import full_disk
from tests.shards.made import spoil
from wavenet_pl.adaptation.clips import KINDS, ClipSet, make_set, similarities
from wavenet_pl.adaptation.data import AdaptationData
from wavenet_pl.config.training import SamplesConfig
from wavenet_pl.evaluation.clips import choose_recordings
from wavenet_pl.evaluation.judges.voices import VoiceJudge
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.split import Split


def test_they_are_of_the_same_seeds_and_recordings_and_told_before_and_after(tmp_path: Path) -> None:
    base, new = make_base(write_base_set(tmp_path / "base")), write_new_set(tmp_path / "new")
    adapted = base.with_row(new_config(new), "f" * 64, NEW, 1).eval()
    split = AdaptationData(new_config(new), base.labels_with(NEW)).splits["val"]
    config = SamplesConfig(count=2, seconds=0.05, prompt_seconds=0)
    clips = make_set(base, adapted, split, "ben", config)
    assert clips.labels["before"] == ["speaker ben"] * 2 and clips.labels["after"] == [f"speaker {NEW}"] * 2
    chosen = choose_recordings([(adapted, split)], seconds=config.seconds, count=2, seed=config.seed)
    assert clips.labels["recorded"] == [split.key(position) for position in chosen]
    for position, audio in zip(chosen, clips.audio["recorded"], strict=True):
        assert np.array_equal(audio, split.read(position)[: len(audio)])
    for before, after in zip(clips.audio["before"], clips.audio["after"], strict=True):
        assert np.array_equal(before, after), "the new row begins as ben's, and the seed is the same"
    assert {kind: [text.split(",")[0] for text, _ in each] for kind, each in clips.captions.items()} == {
        kind: [kind] * 2 for kind in KINDS
    }
    assert clips.save(tmp_path / "clips") == ["clips-0.png", "clips-1.png"]
    written, rate = soundfile.read(tmp_path / "clips" / "after-1.wav", dtype="int16")
    assert rate == split.sample_rate
    assert np.array_equal(written, np.clip(np.round(clips.audio["after"][1] * 32768), -32768, 32767))


@needs("resemblyzer")
@pytest.mark.slow
def test_a_judge_hears_the_voice_in_its_clips_and_another_in_others(tmp_path: Path) -> None:
    assert prepare("folder", DEMO / "june_fr", tmp_path / "set", "--val-fraction", "0.2") == 0
    index = load_index(tmp_path / "set")
    voice = Split(index.splits["train"], shard_storage(index, tmp_path / "set"), index.sample_rate)
    own, other = ([audio for audio, _ in speech(name, 4)] for name in ("june_fr", "allison_en"))
    rate = speech("june_fr", 1)[0][1]
    beside = {"recorded": [str(number) for number in range(4)]}
    clips = ClipSet(rate, beside, {"before": other, "after": own, "recorded": own})
    found = similarities(VoiceJudge(), clips, voice)
    assert found["before"].high < found["after"].low
    assert found["after"] == found["recorded"]
    same = ClipSet(rate, {"recorded": ["0--000", "0--001"] * 2}, clips.audio)
    assert similarities(VoiceJudge(), same, voice)["after"].low == -np.inf, (
        "one recording says nothing of others"
    )
    spoil(tmp_path / "set", voice.shards[0].name)
    assert similarities(VoiceJudge(), clips, voice)["after"].mean > found["before"].mean


def test_a_full_disk_is_an_error_of_the_disk_that_names_the_file(tmp_path: Path) -> None:
    """Which every command answers with one message."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000).astype(np.float32)
    clips = ClipSet(8_000, {kind: ["a clip"] for kind in KINDS}, {kind: [noise] for kind in KINDS})
    with full_disk(10_000), pytest.raises(OSError, match="File too large") as error:
        clips.save(tmp_path)
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(tmp_path / "before-0.wav"))
