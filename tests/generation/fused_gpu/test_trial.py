"""A way of making samples is known to be exact once it was tried: apart from the process that asks, and only once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.generation.test_reference import CHANNELS, HEAD, MANY, TINY, build
from wavenet_pl.generation.fused_gpu import engine, trial
from wavenet_pl.generation.fused_gpu.trial import Trial, difference, find_way, outcome
from wavenet_pl.heads import Head, SoftmaxHead

SIZE = {"samples": 12, "batches": (1, 3)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing is remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    outcome.cache_clear()
    yield tmp_path / "wavenet-pl" / "exact"
    outcome.cache_clear()


def trial_of(head: Head = HEAD, weights: str = "float32", condition_channels: int = 0) -> Trial:
    return Trial.of(build(TINY, condition_channels, head), head, weights, "steps", **SIZE)


@pytest.mark.parametrize(
    "tried",
    [trial_of(), trial_of(MANY), trial_of(weights="bf16"), trial_of(condition_channels=CHANNELS)],
    ids=["softmax", "logistics", "bf16", "condition"],
)
def test_the_step_is_exact(tried: Trial) -> None:
    assert difference(tried) == ""


def test_what_is_off_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = engine.pack

    def louder(*arguments: object) -> object:
        packed = pack(*arguments)  # type: ignore[arg-type]
        return packed._replace(output=packed.output * 1.5)

    monkeypatch.setattr(engine, "pack", louder)
    assert "outputs are off by" in difference(trial_of())
    monkeypatch.setattr(trial, "_NEAR", 1e9)
    assert "of 60 codes are others than the network draws, clips at a time: 1" in difference(
        replace(trial_of(SoftmaxHead(256)), samples=60)
    )


def test_it_is_tried_once_and_by_another_process(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tried = trial_of()
    assert outcome(tried) == ""
    assert (
        "trying whether engine fused-gpu (steps) is exact on cpu: once, up to a minute"
        in capfd.readouterr().err
    )
    [file] = folder.iterdir()
    known = json.loads(file.read_text())
    assert known["reason"] == "" and known["torch"].startswith(torch.__version__) and known["way"] == "steps"
    outcome.cache_clear()
    file.write_text(json.dumps({**known, "reason": "remembered"}))
    assert outcome(tried) == "remembered"
    assert capfd.readouterr().err == ""
    outcome.cache_clear()
    file.write_text("{")
    assert outcome(tried) == "", "a damaged file is made again"
    assert json.loads(file.read_text()) == known


def test_a_trial_that_comes_to_nothing_is_no_outcome(folder: Path) -> None:
    impossible = replace(trial_of(), samples=0)
    assert outcome(impossible).startswith("the trial ended with 1: ValueError: num_samples is 0")
    assert not any(folder.iterdir()), "what hindered it may be gone next time"


def test_another_network_or_number_format_is_tried_by_itself() -> None:
    texts = {each.write() for each in (trial_of(), trial_of(MANY), trial_of(weights="bf16"))}
    assert len(texts) == 3
    assert Trial.read(trial_of().write()) == trial_of()


def test_the_fastest_exact_way_is_taken() -> None:
    pytest.importorskip("triton", reason="triton is not installed: pip install -e '.[kernels]'")
    network = build(replace(TINY, stacks=1, layers_per_stack=1)).to(
        "cuda" if torch.cuda.is_available() else "cpu"
    )
    assert find_way(network, HEAD, "float32", samples=2, batches=(2,)) == ("kernel", "")
    way, reason = find_way(network, HEAD, "float32", samples=0)
    assert way == "" and "kernel: the trial ended" in reason and "; steps: the trial ended" in reason
