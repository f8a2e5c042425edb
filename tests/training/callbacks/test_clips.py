"""Clips against slower ways to make the same ones.

Shapes: B clips, T time, K head parameters.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.shards.made import write_shard_set
from tests.small_run import build_data_and_module, small_config
from wavenet_pl.config.training import DataConfig, SamplesConfig
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation import costs
from wavenet_pl.generation.draw import Draw
from wavenet_pl.model import Model
from wavenet_pl.training.callbacks import clips
from wavenet_pl.training.callbacks.clips import ClipPair, Prompt, choose_prompts, make_clips

SAMPLES = SamplesConfig(count=3, seconds=0.03, prompt_seconds=0.01, seed=5, temperature=0.9)


@pytest.fixture(scope="module")
def data_and_module(tmp_path_factory: pytest.TempPathFactory) -> tuple[AudioDataModule, Model]:
    data, module = build_data_and_module(small_config(tmp_path_factory.mktemp("clips")))
    model = module.model
    with torch.no_grad():
        model.network.output.weight *= 20  # else all codes are about as likely
    return data, model


@pytest.fixture
def data(data_and_module: tuple[AudioDataModule, Model]) -> AudioDataModule:
    return data_and_module[0]


@pytest.fixture
def module(data_and_module: tuple[AudioDataModule, Model]) -> Model:
    return data_and_module[1]


def same(one: ClipPair, other: ClipPair) -> bool:
    return (
        np.array_equal(one.free, other.free)
        and np.array_equal(one.forced, other.forced)
        and (one.bits, one.entropy) == pytest.approx((other.bits, other.entropy), rel=1e-6)
    )


# --- prompts ---


def test_prompts_are_the_first_validation_recordings(data: AudioDataModule) -> None:
    prompts = choose_prompts(data, dataclasses.replace(SAMPLES, count=2))
    assert [prompt.key for prompt in prompts] == [data.splits["val"][0].key, data.splits["val"][1].key]
    for position, prompt in enumerate(prompts):
        assert prompt.recording == position
        assert np.array_equal(prompt.audio, data.splits["val"].read(position, 0, 240))


def test_recordings_are_used_again_where_there_are_fewer_than_clips(data: AudioDataModule) -> None:
    prompts = choose_prompts(data, dataclasses.replace(SAMPLES, count=5))
    assert [prompt.recording for prompt in prompts] == [0, 1, 0, 1, 0]


def make_data(folder: Path, frames: tuple[int, ...]) -> AudioDataModule:
    write_shard_set(folder, train=1, val=len(frames), frames=(4000, *frames))
    return AudioDataModule(DataConfig(path=str(folder)), receptive_field=17, seed=0)


def test_recordings_no_longer_than_the_prompt_are_left_out(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", (80, 81, 500))
    prompts = choose_prompts(data, dataclasses.replace(SAMPLES, count=2))
    assert [prompt.recording for prompt in prompts] == [1, 2]
    assert [len(prompt.audio) for prompt in prompts] == [81, 240]


def test_of_several_sets_each_gives_prompts_in_turn(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        write_shard_set(tmp_path / name, train=1, val=3, frames=4_000, speakers=(), seed=number)
    path = {f"{tmp_path}/{name}": 1.0 for name in ("a", "b")}
    data = AudioDataModule(DataConfig(path=path), receptive_field=17, seed=0)
    keys = [prompt.key for prompt in choose_prompts(data, dataclasses.replace(SAMPLES, count=4))]
    assert keys == ["1/rec-00001", "2/rec-00001", "1/rec-00002", "2/rec-00002"]


def test_a_prompt_longer_than_all_recordings_is_a_mistake_with_a_message(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", (80, 40))
    with pytest.raises(
        UserError,
        match=r"samples.prompt_seconds is 0.01, expected less than the longest validation recording, 0.01 s; set a",
    ):
        choose_prompts(data, SAMPLES)


def test_a_damaged_recording_is_passed_over_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = make_data(tmp_path / "data", (500, 500))
    shard = tmp_path / "data" / "val" / "shard-000000.tar"
    _, (offset, size, _) = data.splits["val"][0].audio
    content = bytearray(shard.read_bytes())
    content[offset : offset + size] = bytes(size)
    shard.write_bytes(content)
    prompts = choose_prompts(data, dataclasses.replace(SAMPLES, count=1))
    assert [prompt.recording for prompt in prompts] == [1]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{data.splits['val'][0].key} is no prompt for clips" in record.message


# --- free-running ---


def test_a_free_clip_is_its_prompt_and_what_the_engine_makes_of_it(
    data: AudioDataModule, module: Model
) -> None:
    prompts = choose_prompts(data, SAMPLES)
    for number, (prompt, pair) in enumerate(zip(prompts, make_clips(module, prompts, SAMPLES), strict=True)):
        codes_T = module.codec.encode(torch.from_numpy(prompt.audio[:80]))
        draw = Draw(temperature=0.9, seed=5, clips=(number,))
        new = torch.cat(list(module.stream_codes(160, draw, codes_T[None])), dim=1)[0]
        expected = module.codec.decode(torch.cat([codes_T, new]))
        assert np.array_equal(pair.free, expected.numpy())
        assert pair.real_time_factor > 0


def test_without_a_prompt_a_clip_starts_from_silence(data: AudioDataModule, module: Model) -> None:
    config = dataclasses.replace(SAMPLES, prompt_seconds=0.0, count=1)
    (pair,) = make_clips(module, choose_prompts(data, config), config)
    draw = Draw(temperature=0.9, seed=5)
    assert np.array_equal(
        pair.free, module.codec.decode(torch.cat(list(module.stream_codes(240, draw)), dim=1))[0].numpy()
    )


@pytest.mark.parametrize("others", [1, 2])
def test_a_clip_is_the_same_whatever_else_is_in_the_set(
    data: AudioDataModule, module: Model, others: int
) -> None:
    few = dataclasses.replace(SAMPLES, count=others)
    pairs = make_clips(module, choose_prompts(data, SAMPLES), SAMPLES)
    for one, other in zip(make_clips(module, choose_prompts(data, few), few), pairs, strict=False):
        assert same(one, other)


def test_the_budget_cuts_a_clip_and_never_to_nothing(data: AudioDataModule, module: Model) -> None:
    config = dataclasses.replace(SAMPLES, seconds=0.4, count=1, budget_seconds=1e-9)
    prompts = choose_prompts(data, config)
    (cut,) = make_clips(module, prompts, config)
    (whole,) = make_clips(module, prompts, dataclasses.replace(config, budget_seconds=60))
    assert 80 < len(cut.free) < len(whole.free) == 3200
    assert np.array_equal(cut.free, whole.free[: len(cut.free)])


# --- teacher-forced ---


def test_a_forced_clip_is_drawn_sample_by_sample_after_the_recorded_ones(
    data: AudioDataModule, module: Model
) -> None:
    prompts = choose_prompts(data, SAMPLES)
    pairs = make_clips(module, prompts, SAMPLES)
    for number, (prompt, pair) in enumerate(zip(prompts[:2], pairs[:2], strict=True)):
        codes_T = module.codec.encode(torch.from_numpy(prompt.audio))
        inputs_T = torch.cat([torch.tensor([module.codec.silence_code]), codes_T])
        uniforms_T = Draw(seed=5, clips=(number,)).uniforms(0, len(codes_T))[0]
        drawn, nats, entropy = [], [], []
        with torch.inference_mode():
            for t in range(len(codes_T)):
                outputs_K = module.network(inputs_T[None, : t + 1])[0][0, :, -1]
                sums_K = (outputs_K.double() / 0.9).softmax(0).cumsum(0)
                drawn.append(int(torch.searchsorted(sums_K, uniforms_T[t], right=True)))
                nats.append(float(F.cross_entropy(outputs_K, codes_T[t])))
                entropy.append(float(torch.distributions.Categorical(logits=outputs_K).entropy()))
        assert np.array_equal(pair.forced, module.codec.decode(torch.tensor(drawn)).numpy())
        assert pair.bits == pytest.approx(np.mean(nats) / math.log(2), rel=1e-5)
        assert pair.entropy == pytest.approx(np.mean(entropy) / math.log(2), rel=1e-5)


def test_pieces_of_a_forced_clip_agree_with_the_whole(
    data: AudioDataModule, module: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = choose_prompts(data, SAMPLES)
    whole = make_clips(module, prompts, SAMPLES)
    monkeypatch.setattr(clips, "_CHUNK", 7)
    for one, other in zip(make_clips(module, prompts, SAMPLES), whole, strict=True):
        assert same(one, other)


def test_a_short_recording_counts_only_as_far_as_it_goes(module: Model, data: AudioDataModule) -> None:
    long = Prompt("long", 0, data.splits["val"].read(0, 0, 240), {})
    short = Prompt("short", 0, long.audio[:100], {})
    config = dataclasses.replace(SAMPLES, count=2)
    together = make_clips(module, [long, short], config)
    assert (len(together[0].forced), len(together[1].forced)) == (240, 100)
    cut = dataclasses.replace(config, count=1, seconds=100 / data.sample_rate)
    (alone,) = make_clips(module, [short], cut)
    assert together[1].bits == pytest.approx(alone.bits, rel=1e-6)
    assert together[1].entropy == pytest.approx(alone.entropy, rel=1e-6)


def test_the_budget_cuts_a_forced_clip_to_a_piece_that_is_scored(
    data: AudioDataModule, module: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "_CHUNK", 7)
    config = dataclasses.replace(SAMPLES, count=1)
    prompts = choose_prompts(data, config)
    (cut,) = make_clips(module, prompts, dataclasses.replace(config, budget_seconds=1e-9))
    (whole,) = make_clips(module, prompts, config)
    assert np.array_equal(cut.forced, whole.forced[:7])
    begin = dataclasses.replace(prompts[0], audio=prompts[0].audio[:7])
    (piece,) = make_clips(module, [begin], dataclasses.replace(config, prompt_seconds=0))
    assert (cut.bits, cut.entropy) == pytest.approx((piece.bits, piece.entropy), rel=1e-6)


def test_a_forced_clip_takes_no_longer_than_its_recording(
    data: AudioDataModule, module: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns: list[int] = []

    def sum_by_row(values_BT: torch.Tensor, inside_BT: torch.Tensor) -> torch.Tensor:
        columns.append(values_BT.shape[1])
        return costs.sum_by_row(values_BT, inside_BT)

    monkeypatch.setattr(clips, "sum_by_row", sum_by_row)
    make_clips(module, [Prompt("short", 0, data.splits["val"].read(0, 0, 100), {})], SAMPLES)
    assert columns == [100, 100], "of bits and of entropies"


# --- what stays as it was ---


@pytest.mark.parametrize("training", [True, False])
def test_mode_gradients_and_random_numbers_are_left_alone(
    data: AudioDataModule, module: Model, training: bool
) -> None:
    module.train(training)
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    make_clips(module, choose_prompts(data, SAMPLES), SAMPLES)
    assert all(part.training == training for part in module.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state
    assert torch.is_grad_enabled()


@pytest.mark.slow
def test_two_ranks_make_the_clips_that_one_makes(tmp_path: Path) -> None:
    write_shard_set(tmp_path / "data")  # before there are two processes
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.callbacks.two_ranks", str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(re.findall(r"rank \d agrees", done.stdout)) == ["rank 0 agrees", "rank 1 agrees"]
    assert sorted(place.name for place in (tmp_path / "clips").iterdir()) == [
        "step-000000002",
        "step-000000004",
    ]
