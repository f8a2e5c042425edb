"""When clips are made, what is written, and that training does not notice."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from tests.small_run import small_config, train
from wavenet_pl.config.model import ModelConfig, NetworkConfig
from wavenet_pl.config.training import SamplesConfig, WandbConfig
from wavenet_pl.config.tree import Config
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.training.callbacks.clip_scores import Scores
from wavenet_pl.training.callbacks.clip_sets import steps_of_sets, write_clips
from wavenet_pl.training.callbacks.clips import ClipPair, Prompt
from wavenet_pl.training.callbacks.samples import SampleLogger, describe_clips
from wavenet_pl.training.module import WaveNetModule

OFF = WandbConfig(mode="disabled")
FILES = [f"{n:02d}-{kind}.wav" for n in (0, 1) for kind in ("recorded", "teacher-forced", "free-running")]


def fit(folder: Path, config: Config, run: str = "run", **options: Any) -> Path:
    train(config, folder / run, [SampleLogger(config.samples, folder / run / "clips")], **options)
    return folder / run / "clips"


def steps(clips: Path) -> list[int]:
    return sorted(int(place.name.removeprefix("step-")) for place in clips.iterdir())


@pytest.mark.slow
def test_clips_come_at_multiples_and_at_the_end_once(tmp_path: Path) -> None:
    clips = fit(tmp_path, small_config(tmp_path, wandb=OFF), accumulate_grad_batches=2, max_steps=5)
    assert steps(clips) == [2, 4, 5]
    for step in steps(clips):
        place = clips / f"step-{step:09d}"
        assert {file.name for file in place.iterdir()} == {*FILES, "00.png", "01.png", "clips.jsonl"}
        rows = [json.loads(line) for line in (place / "clips.jsonl").read_text().splitlines()]
        assert [row["file"] for row in rows] == FILES
        assert {row["step"] for row in rows} == {step}
        Image.open(place / "00.png").verify()


@pytest.mark.slow
def test_the_end_is_not_made_twice(tmp_path: Path) -> None:
    written = []

    class Count(SampleLogger):
        def _make(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            written.append(trainer.global_step)
            super()._make(trainer, pl_module)

    config = small_config(tmp_path, wandb=OFF)
    train(config, tmp_path / "run", [Count(config.samples, tmp_path / "clips")], accumulate_grad_batches=2)
    assert written == [2, 4]


def test_a_run_that_is_stopped_early_makes_no_last_clips(tmp_path: Path) -> None:
    class Stop(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
            trainer.should_stop = trainer.global_step == 3

    config = small_config(tmp_path, wandb=OFF)
    run = tmp_path / "run"
    trainer = train(config, run, [SampleLogger(config.samples, run / "clips"), Stop()], max_steps=8)
    assert (trainer.global_step, steps(run / "clips")) == (3, [2])


def test_no_clips_where_none_are_wanted(tmp_path: Path) -> None:
    config = small_config(
        tmp_path, wandb=OFF, samples=SamplesConfig(every_n_steps=0, prompt_seconds=1, seconds=2)
    )
    assert not fit(tmp_path, config).exists()


def test_what_is_no_set_hinders_nothing(tmp_path: Path) -> None:
    clips = tmp_path / "run" / "clips"
    (clips / "step-old").mkdir(parents=True)
    for name in ("step-000001000.zip", "step-000000001", "step-old/clips.jsonl"):
        (clips / name).write_text("nobody's business\n")
    fit(tmp_path, small_config(tmp_path, wandb=OFF))
    assert steps_of_sets(clips) == [2, 4]


@pytest.mark.slow
@pytest.mark.parametrize("owed", [False, True])
def test_a_resumed_run_goes_on_with_the_next_set_and_makes_one_that_it_owes(
    tmp_path: Path, owed: bool
) -> None:
    config = small_config(tmp_path, wandb=OFF)

    class Save(L.Callback):
        def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            trainer.save_checkpoint(tmp_path / "two.ckpt")

    train(config, tmp_path / "first", [Save()], max_steps=2)
    if not owed:
        (tmp_path / "run" / "clips" / "step-000000002").mkdir(parents=True)
    clips = fit(tmp_path, config, ckpt_path=tmp_path / "two.ckpt", max_steps=4)
    assert steps(clips) == [2, 4]
    assert any((clips / "step-000000002").iterdir()) is owed


@pytest.mark.slow
def test_losses_are_the_same_bits_with_and_without_clips(tmp_path: Path, one_thread: None) -> None:
    network = NetworkConfig(
        stacks=1, layers_per_stack=4, residual_channels=8, gate_channels=8, skip_channels=8, dropout=0.2
    )
    every = SamplesConfig(every_n_steps=1, count=1, seconds=0.05, prompt_seconds=0.02)
    config = small_config(tmp_path, wandb=OFF, model=ModelConfig(network=network), samples=every)
    states, losses = [], []
    for name, callbacks in (("with", [SampleLogger(every, tmp_path / "clips")]), ("without", [])):
        train(config, tmp_path / name, callbacks, val_check_interval=2, check_val_every_n_epoch=None)
        states.append(torch.get_rng_state())
        rows = read_metrics(tmp_path / name / "metrics.jsonl")
        losses.append([{key: value for key, value in row.items() if key != "time"} for row in rows])
    assert steps(tmp_path / "clips") == [1, 2, 3, 4]
    assert losses[0] == losses[1]
    assert torch.equal(states[0], states[1])


def test_clips_are_made_with_the_weights_that_they_are_given(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []

    @contextmanager
    def flat(module: WaveNetModule) -> Iterator[None]:
        weights = [module.model.network.output.weight, module.model.network.output.bias]
        before = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            for weight in weights:
                weight.zero_()
        yield
        with torch.no_grad():
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)
        seen.append(before[0])

    config = small_config(
        tmp_path, wandb=OFF, samples=SamplesConfig(every_n_steps=4, count=1, seconds=0.05, prompt_seconds=0)
    )
    train(config, tmp_path / "run", [SampleLogger(config.samples, tmp_path / "clips", weights=flat)])
    assert len(seen) == 1
    lines = (tmp_path / "clips" / "step-000000004" / "clips.jsonl").read_text().splitlines()
    forced = json.loads(lines[1])
    assert forced["entropy bits"] == pytest.approx(8)  # every code is as likely
    assert forced["bits"] == pytest.approx(8)


def test_an_error_while_making_clips_is_not_swallowed(tmp_path: Path) -> None:
    @contextmanager
    def broken(module: WaveNetModule) -> Iterator[None]:
        raise RuntimeError("no weights")
        yield

    config = small_config(tmp_path, wandb=OFF)
    with pytest.raises(RuntimeError, match="no weights"):
        train(config, tmp_path / "run", [SampleLogger(config.samples, tmp_path / "clips", weights=broken)])


# --- what is said and written ---

CONFIG = SamplesConfig(
    count=1, seconds=0.5, prompt_seconds=0.1, seed=3, temperature=0.8, top_p=0.95, budget_seconds=9
)


def one_clip(
    loudness: float = 0.25, made: int = 4000, condition: str = ""
) -> tuple[list[Prompt], list[str], list[ClipPair]]:
    audio = np.full(4000, loudness, dtype=np.float32)
    return (
        [Prompt("anna/rec-1", 0, audio, {})],
        [condition],
        [ClipPair(audio[:made], audio, 4.5, 4.25, 0.125, "reference")],
    )


def test_captions_and_facts_say_how_a_clip_came_about() -> None:
    recorded, forced, free = describe_clips(1500, *one_clip(), CONFIG, 8000)
    levels = "peak -12.0 dBFS, RMS -12.0 dB"
    drawn = "seed 3, clip 0, temperature 0.8, top-p 0.95"
    assert recorded.caption == f"step 1500 | anna/rec-1 | recorded | {levels}"
    assert forced.caption == f"step 1500 | anna/rec-1 | teacher-forced | {drawn} | {levels}"
    assert free.caption == f"step 1500 | anna/rec-1 | free-running after 0.1 s | {drawn} | {levels}"
    assert (forced.facts["bits"], forced.facts["entropy bits"]) == (4.5, 4.25)
    assert free.facts == {
        "step": 1500, "prompt": "anna/rec-1", "condition": "", "kind": "free-running", "seed": 3, "clip": 0,
        "temperature": 0.8, "seconds": 0.5, "peak dBFS": pytest.approx(-12.04, abs=0.01), "% clipped": 0.0,
        "entropy bits": None, "bits": None, "real-time factor": 0.125, "engine": "reference",
        "STOI": None, "words": None,
    }  # fmt: skip


def test_what_judges_say_is_with_the_free_running_clip() -> None:
    recorded, forced, free = describe_clips(
        1500, *one_clip(), CONFIG, 8000, [{"STOI": 0.756, "words": "hello world"}]
    )
    assert (free.facts["STOI"], free.facts["words"]) == (0.756, "hello world")
    assert " | STOI 0.76 | " in free.caption
    assert all(each.facts["STOI"] is None and each.facts["words"] is None for each in (recorded, forced))
    unjudged = describe_clips(1500, *one_clip(), CONFIG, 8000, Scores().facts)
    assert all(each.facts["STOI"] is None and each.facts["words"] is None for each in unjudged)


def test_captions_say_what_the_model_was_conditioned_on() -> None:
    rows = describe_clips(1500, *one_clip(condition="speaker anna"), CONFIG, 8000)
    assert all(row.caption.startswith("step 1500 | anna/rec-1 | speaker anna | ") for row in rows)
    assert all(row.facts["condition"] == "speaker anna" for row in rows)


def test_a_clip_that_the_budget_cut_says_so() -> None:
    free = describe_clips(1, *one_clip(made=1800), CONFIG, 8000)[2]
    assert "free-running after 0.1 s, 0.23 of 0.5 s made in 9 s | " in free.caption


def test_silence_and_clipping_are_told() -> None:
    silent, loud = (describe_clips(1, *one_clip(loudness), CONFIG, 8000)[0] for loudness in (0.0, 1.0))
    assert silent.caption.endswith("digital silence")
    assert silent.facts["peak dBFS"] is None
    assert loud.caption.endswith("100 % clipped")
    assert loud.facts["% clipped"] == 100


@pytest.mark.slow
@pytest.mark.parametrize("loudness", [0.001, 0.25, 1.0])
def test_clips_are_written_as_loud_as_they_are(tmp_path: Path, loudness: float) -> None:
    place = write_clips(tmp_path, 7, describe_clips(7, *one_clip(loudness), CONFIG, 8000), 8000)
    audio, rate = soundfile.read(place / "00-free-running.wav", dtype="int16")
    assert (place.name, rate, len(audio)) == ("step-000000007", 8000, 4000)
    assert set(audio.tolist()) == {min(round(loudness * 32768), 32767)}


def test_a_set_is_replaced_whole(tmp_path: Path) -> None:
    rows = describe_clips(7, *one_clip(), CONFIG, 8000)
    place = write_clips(tmp_path, 7, rows, 8000)
    first = {file.name: file.read_bytes() for file in place.iterdir()}
    (place / "left-over.wav").write_bytes(b"x")
    assert write_clips(tmp_path, 7, rows, 8000) == place
    assert {file.name: file.read_bytes() for file in place.iterdir()} == first
    assert [entry.name for entry in tmp_path.iterdir()] == [place.name]


def test_a_config_that_keeps_within_the_clip_is_what_the_callback_gets() -> None:
    with pytest.raises(ValueError, match="prompt_seconds"):
        dataclasses.replace(CONFIG, prompt_seconds=1)


@pytest.mark.slow
def test_outputs_that_are_not_finite_cost_a_set_and_end_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @contextmanager
    def diverged(module: WaveNetModule) -> Iterator[None]:
        weight, number = module.model.network.output.weight, module.trainer.global_step
        before = weight.detach().clone()
        with torch.no_grad():
            weight.fill_(float("inf") if number == 2 else 0.0)
            yield
            weight.copy_(before)

    config = small_config(tmp_path, wandb=OFF)
    run = tmp_path / "run"
    train(config, run, [SampleLogger(config.samples, run / "clips", weights=diverged)])
    assert steps(run / "clips") == [4]
    assert caplog.text.count("step 2 has no clips: the model's outputs are not finite") == 1
