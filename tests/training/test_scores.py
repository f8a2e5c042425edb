"""Validation of models with a condition: what is added up for every recording, and what a wrong condition costs."""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch

from tests.shards.made import write_shard_set
from tests.small import small_config
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.inputs.array import UserFrames
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.numbers.intervals import Interval, mean_and_interval
from wavenet_pl.training.callbacks.condition_use import ConditionUse
from wavenet_pl.training.module import WaveNetModule, build_module
from wavenet_pl.training.scores import Summary

NOTES = Notes(hop_length=32)
MEL = Mel(hop_length=50, window_length=200, num_mels=12, lowest_hz=50.0, highest_hz=3800.0, floor_db=-80.0)
F0 = UserFrames(name="f0", hop_length=40, mean=(0.5,), std=(0.25,))
INPUTS = {
    "speaker,mel": "speaker",
    "tags,notes,mel": "music",
    "speaker,tags": "speaker",
    "speaker,notes": "music",
    "tags,mel": "speaker",
    "speaker,accent,f0": "speaker",
}
"""What a model is told -> its kind."""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("scores") / "set", train=4, val=5, speakers=("anna", "ben", "cleo"),
        tags=("calm", "fast"), tables={"accent": ("scots", "irish", "welsh")}, frames_beside=(NOTES, MEL, F0),
        frames=(1_500, 2_200, 900),
    )  # fmt: skip


def built(shards: Path, inputs: str, *settings: str) -> tuple[WaveNetModule, AudioDataModule]:
    config = small_config(
        shards, f"model.kind={INPUTS[inputs]}", f"model.condition.inputs=[{inputs}]", "model.condition.channels=8",
        "model.condition.upsampling=transposed", *settings,
    )  # fmt: skip
    data = AudioDataModule(
        config.data, receptive_field=config.model.network.receptive_field, seed=0, inputs=config.model.inputs,
        frame_context=config.model.condition.frame_context,
    )  # fmt: skip
    torch.manual_seed(0)
    module = build_module(config, sample_rate=8_000, labels=data.labels)
    with torch.no_grad():
        module.model.network.output.weight *= 10  # else nothing that it hears makes a difference
    return module, data


def validated(module: WaveNetModule, data: AudioDataModule) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
            enable_checkpointing=False, use_distributed_sampler=False,
        )  # fmt: skip
        [found] = trainer.validate(module, datamodule=data, verbose=False)
    return dict(found)


@pytest.mark.parametrize("inputs", INPUTS)
def test_bits_do_not_depend_on_where_crops_begin(shards: Path, inputs: str) -> None:
    """So what a crop is told is what the whole recording is told at that place."""
    whole = validated(*built(shards, inputs, "data.crop_samples=3000"))
    for crop in (2_999, 700, 333):
        parts = validated(*built(shards, inputs, f"data.crop_samples={crop}"))
        assert parts["val/bits"] == pytest.approx(whole["val/bits"], abs=1e-5)


@pytest.mark.parametrize("inputs", INPUTS)
def test_a_gap_is_what_wrong_values_cost_over_all_recordings(shards: Path, inputs: str) -> None:
    module, data = built(shards, inputs, "data.crop_samples=700")
    assert module.model.input_names == inputs.split(",")
    found = validated(module, data)
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        accumulate_grad_batches=1, world_size=1, global_rank=0,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )  # fmt: skip
    sums: dict[str, Any] = {name: np.zeros(5) for name in module.model.input_names}
    counts, right = np.zeros(5), np.zeros(5)
    module.eval()
    with torch.no_grad():
        for batch in data.val_dataloader():
            for row, recording in enumerate(batch["recording"].tolist()):
                one = {name: value[row : row + 1] for name, value in batch.items() if torch.is_tensor(value)}
                nats, count = module.model.nats(one)
                if recording < 0:
                    assert count == 0
                    continue
                counts[recording] += int(count)
                right[recording] += nats.item()
                for name in module.model.input_names:
                    wrong, _ = module.model.nats({**one, name: one[f"other_{name}"]})
                    sums[name][recording] += wrong.item() - nats.item()
    assert found["val/bits"] == pytest.approx(right.sum() / counts.sum() / math.log(2), abs=1e-5)
    for name in module.model.input_names:
        expected = mean_and_interval(sums[name] / math.log(2), counts)
        assert found[f"val/gap/{name}"] == pytest.approx(expected.mean, abs=1e-5)
        assert found[f"val/bits_shuffled/{name}"] == pytest.approx(
            found["val/bits"] + expected.mean, abs=1e-5
        )
        assert module.gaps[name].low == pytest.approx(expected.low, abs=1e-4)
        cost = np.abs(sums[name]).sum() / counts.sum()
        assert cost > 1e-3, "this model hears everything, though it makes nothing of it"


def test_recordings_without_a_wrong_value_are_not_counted() -> None:
    table = torch.tensor(
        [[10.0, 20, 20, 10, 5], [30, 60, 60, 0, 0], [10, 20, 20, 10, 15]], dtype=torch.float64
    )
    gap = Summary(table, ["speaker"]).gap("speaker")
    assert gap.mean == pytest.approx(1 / math.log(2))
    assert math.isnan(Summary(table[1:2], ["speaker"]).gap("speaker").mean)


def test_a_validation_without_a_prediction_has_no_bits() -> None:
    nothing = Summary(torch.zeros(2, 5, dtype=torch.float64), ["speaker"])
    assert math.isnan(nothing.bits) and math.isnan(nothing.comparable_bits)


@pytest.mark.parametrize(
    ("step", "gap", "said"),
    [
        (6, Interval(0.2, 0.1, 0.3), ""),
        (
            6,
            Interval(0.2, -0.1, 0.5),
            "at step 6 a wrong speaker costs +0.2000 bits per sample, -0.1000 to +0.5000",
        ),
        (6, Interval(0.2, -math.inf, math.inf), "-inf to +inf"),
        (6, Interval(math.nan, -math.inf, math.inf), "there is no wrong value of speaker to compare with"),
        (5, Interval(-0.2, -0.3, -0.1), ""),
    ],
)
def test_a_model_that_may_not_listen_is_told_of_after_the_warm_up(
    shards: Path, caplog: pytest.LogCaptureFixture, step: int, gap: Interval, said: str
) -> None:
    module, _ = built(shards, "speaker,mel")
    module.gaps = {"speaker": gap}
    with caplog.at_level(logging.WARNING):
        ConditionUse(5).on_validation_end(SimpleNamespace(global_step=step), module)  # type: ignore[arg-type]
    assert (said in caplog.text) if said else not caplog.text
