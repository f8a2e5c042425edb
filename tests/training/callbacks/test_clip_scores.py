"""Scores of clips while a model trains: what they are of, where they are logged, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.installed import needs, speech
from tests.processes import the_run, train
from tests.shards.made import write_shard_set
from tests.small import small_model
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.training.callbacks.clip_scores import ClipScorer, Scores
from wavenet_pl.training.callbacks.clips import ClipPair, Prompt


def pair_of(audio: np.ndarray) -> ClipPair:
    return ClipPair(audio, audio, 4.0, 4.0, 1.0, "reference")


@pytest.mark.slow
@needs("pystoi", "pocketsphinx")
def test_a_clip_is_scored_beside_its_own_recording_and_words_in_english_only():
    audio = [each for each, _ in speech("allison_en", 3, 2.0)]
    prompts = [Prompt(f"rec-{number}", number, each, {}) for number, each in enumerate(audio)]
    noise = 0.1 * np.random.default_rng(0).normal(size=len(audio[2])).astype(np.float32)
    pairs = [pair_of(audio[0]), pair_of(audio[1]), pair_of(noise)]
    scores = ClipScorer(small_model(sample_rate=16_000), english=[0, 2]).score(prompts, pairs)
    stoi = [facts["STOI"] for facts in scores.facts]
    assert stoi[:2] == pytest.approx([1, 1], abs=1e-6) and stoi[2] < 0.5
    assert scores.metrics["val/stoi"] == pytest.approx(np.mean(stoi))
    words = [facts["words"] for facts in scores.facts]
    assert words[0] and words[1] is None and words[2] is not None
    same, number = (int(word) for word in scores.summary.split(", ")[1].split(" words")[0].split(" of "))
    assert 0 < len(words[0].split()) <= same < number
    assert scores.metrics["val/words_understood"] == pytest.approx(same / number)


def test_nothing_is_scored_where_the_run_is_to_stop():
    audio = np.zeros(800, np.float32)
    prompts = [Prompt("rec-0", 0, audio, {})]
    assert ClipScorer(small_model(), english=[]).score(prompts, [pair_of(audio)], lambda: True) == Scores()


@pytest.mark.slow
@needs("pystoi")
def test_a_vocoder_in_training_says_and_logs_what_its_clips_score(tmp_path: Path):
    shards = write_shard_set(
        tmp_path / "set",
        train=2,
        val=2,
        frames=8_000,
        frames_beside=(Mel.default(8_000),),
        tables={"lang": ("en",)},
    )
    runs = tmp_path / "runs"
    runs.mkdir()
    said = train(
        shards, runs, "model.kind=speaker", "model.condition.inputs=[mel]", "trainer.max_steps=2",
        "samples.every_n_steps=2", "samples.count=2", "samples.seconds=0.9", "samples.prompt_seconds=0",
    )  # fmt: skip
    run = the_run(runs)
    [row] = [row for row in read_metrics(run.metrics) if "val/stoi" in row]
    assert row["step"] == 2 and -1 <= row["val/stoi"] <= 1
    folder = run.clips / "step-000000002"
    assert f"clips in {folder}: STOI {row['val/stoi']:.2f}" in said
    clips = [json.loads(line) for line in (folder / "clips.jsonl").read_text().splitlines()]
    assert np.mean([clip["STOI"] for clip in clips if clip["kind"] == "free-running"]) == pytest.approx(
        row["val/stoi"]
    )
    assert all(clip["STOI"] is None for clip in clips if clip["kind"] != "free-running")
