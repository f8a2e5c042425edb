"""Whoever reads what commands print may leave, as `tee` does at the same Ctrl-C: what is kept stays the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.evaluation.runs import write_run
from tests.shards.made import write_shard_set
from tests.small import small_config
from wavenet_pl import cli
from wavenet_pl.analysis.study import KNOWN
from wavenet_pl.evaluation import evaluation, listening
from wavenet_pl.model import Model
from wavenet_pl.progress import Progress
from wavenet_pl.shards.index import INDEX_NAME, load_index

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("unread") / "set", train=2, val=6)


@pytest.fixture(scope="module")
def run(shards: Path) -> Path:
    return write_run(shards.parent / "run", Model(small_config(shards), sample_rate=8_000).eval())


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Lets the one who reads both streams leave; each line is written at once."""
    streams = []

    def leave() -> None:
        for name in ("stdout", "stderr"):
            read_end, write_end = os.pipe()
            os.close(read_end)
            streams.append(open(write_end, "w", buffering=1))  # noqa: SIM115
            monkeypatch.setattr(sys, name, streams[-1])

    yield leave
    for stream in streams:
        with suppress(BrokenPipeError):
            stream.close()


def raising(leave: Callable[[], None]) -> Callable[..., None]:
    """Ctrl-C, which ends the reader, too."""

    def strike(*args: object, **options: object) -> None:
        leave()
        raise KeyboardInterrupt

    return strike


def test_what_was_evaluated_is_on_the_page(run, tmp_path, monkeypatch, leave):
    numbers = tmp_path / "numbers.json"
    monkeypatch.setattr(evaluation, "make_clips", raising(leave))
    arguments = ["--out", str(tmp_path), "--json", str(numbers), "--predictions", "0", "--threads", "1"]
    assert cli.main(["evaluate", str(run), *arguments]) == 141
    assert json.loads(numbers.read_text())["scored_recordings"] == 6
    assert "Stopped before its end" in (tmp_path / "report.html").read_text()


def test_what_was_analyzed_is_on_the_page(run, tmp_path, monkeypatch, leave):
    monkeypatch.setattr(type(KNOWN["sines"]), "measure", raising(leave))
    arguments = ["--out", str(tmp_path), "--quick", "--only", "bias,sines", "--threads", "1"]
    assert cli.main(["analyze", str(run), *arguments]) == 141
    assert "Stopped before its end" in (tmp_path / "analysis.html").read_text()


def test_what_can_be_heard_is_on_the_page(run, tmp_path, monkeypatch, leave):
    make, strike = listening.Session.make, raising(leave)
    monkeypatch.setattr(
        listening.Session,
        "make",
        lambda self, *given: (strike if self.result.systems else make)(self, *given),
    )
    page = tmp_path / "page.html"
    arguments = ["--temperature", "1", "0.7", "--seconds", "0.1", "--prompt-seconds", "0", "--count", "2"]
    assert cli.main(["listen", str(run), "--out", str(page), *arguments]) == 141
    assert page.read_text().count("<audio") == 2 * 2


def test_where_nothing_can_be_heard_yet_no_page_is_promised(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(listening.Session, "make", raising(lambda: None))
    page = tmp_path / "page.html"
    assert (
        cli.main(["listen", str(run), "--out", str(page), "--seconds", "0.1", "--prompt-seconds", "0"]) == 130
    )
    assert "stopped; nothing was finished, so no page was written\n" in capsys.readouterr().err
    assert not page.exists()


def test_every_clip_has_its_facts(run, tmp_path, leave):
    leave()
    arguments = ["--seconds", "0.02", "--count", "3", "--threads", "1"]
    assert cli.main(["generate", str(run), "--out", str(tmp_path), *arguments]) == 141
    assert len(list(tmp_path.glob("*.wav"))) == len(list(tmp_path.glob("*.json"))) == 3
    assert len(list(tmp_path.glob("*.png"))) == 3


def test_an_index_is_written(shards, tmp_path, leave):
    leave()
    assert cli.main(["index", str(shards), "--out", str(tmp_path)]) == 141
    assert load_index(tmp_path).fingerprint and [path.name for path in tmp_path.iterdir()] == [INDEX_NAME]


def test_a_set_is_prepared_and_no_file_is_blamed(tmp_path, leave):
    for number in range(4):
        audio = np.random.default_rng(number).uniform(-0.5, 0.5, 8_000)
        (tmp_path / "src").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"src/{number}.wav", audio, 8_000)
    leave()
    arguments = ["--sample-rate", "8000", "--val-fraction", "0.5"]
    assert cli.main(["prepare", "folder", str(tmp_path / "src"), str(tmp_path / "set"), *arguments]) == 141
    assert load_index(tmp_path / "set").splits.keys() >= {"train"}


def test_work_goes_on_where_nobody_sees_how_far_it_is(leave):
    leave()
    with Progress("work", line_seconds=0) as progress:
        progress.update(0.5)
        progress.update(1.0, at_once=True)


@pytest.mark.parametrize("reason", [KeyboardInterrupt(), cli.UserError("found 1"), OSError(28, "full")])
def test_how_it_ended_cannot_be_said_and_is_no_bug(monkeypatch, leave, reason):
    def end(arguments: list[str]) -> int:
        leave()
        raise reason

    monkeypatch.setattr(cli, "_run", end)
    assert cli.main(["models"]) == 141


@pytest.mark.slow
def test_ctrl_c_that_ends_the_reader_of_a_process_leaves_what_is_finished(run, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "wavenet_pl", "evaluate", str(run), "--out", str(tmp_path), "--seconds", "600",
         "--predictions", "0", "--threads", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None
    while b"clips" not in process.stdout.readline():  # the last stage, which would take minutes
        assert process.poll() is None
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 141
    assert "Stopped before its end" in (tmp_path / "report.html").read_text()
