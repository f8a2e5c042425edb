"""The command `listen`: the page that is written, what is said, what is refused, and what Ctrl-C leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.runs import write_run
from tests.shards.made import write_shard_set
from tests.small import small_config
from wavenet_pl import cli
from wavenet_pl.errors import BadDataError
from wavenet_pl.evaluation import listening
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.model import Model
from wavenet_pl.shards.index import load_index

QUICK = ("--seconds", "0.3", "--count", "2", "--threads", "1", "--prompt-seconds", "0.1")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(
        tmp_path_factory.mktemp("set"), train=1, val=2, frames_beside=(Mel.default(8_000),)
    )


@pytest.fixture(scope="module")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = small_config(shards, "model.kind=speaker", "model.condition.inputs=[mel]")
    model = Model(config, sample_rate=8_000, labels=load_index(shards).labels)
    return write_run(tmp_path_factory.mktemp("listen") / "run", model)


def test_writes_a_page_and_says_what_the_judges_say(run, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert cli.main(["listen", str(run), "--out", str(page), "--temperature", "1", "0.7", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "temperature 1:\n" in out and "temperature 0.7:\n" in out and f"page         {page}" in out
    assert "log-spectral distance, dB" in out
    assert page.read_text().count("<audio") == 2 * 3


def test_runs_of_one_name_are_named_in_full(run, shards, tmp_path, capsys):
    page = tmp_path / "page.html"
    other = write_run(tmp_path / "run", Model(small_config(shards), sample_rate=8_000))
    assert cli.main(["listen", str(run), str(other), "--out", str(page), *QUICK]) == 0
    assert f'data-name="{other}"' in page.read_text() and f'data-name="{run}"' in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "."], "--out . cannot be written (it is a folder), expected the name of a file"),
        (["--out", "/dev/null/page.html"], "--out /dev/null/page.html cannot be written (File exists)"),
        (["--threads", "0"], "threads is 0, expected 1 or more"),
        (["--engine", "fused-cpu", "reference", "--weights", "int8"], "reference"),
        (["--count", "0"], "count is 0, expected 1 to 200"),
        (["--split", "test"], "has no recording in split 'test', but in train, val"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_message_and_exit_2(run, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(listening.Session, "make", None)  # no clip is made before
    assert cli.main(["listen", str(run), *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("wavenet-pl listen: error: ") and message in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("reason", "code"), [(KeyboardInterrupt(), 130), (BadDataError("nan"), 3)])
def test_what_is_finished_is_on_a_page(run, tmp_path, monkeypatch, capsys, reason, code):
    make = listening.Session.make

    def stopped(self: listening.Session, system: listening.System, progress: object) -> None:
        if self.result.systems:
            raise reason
        make(self, system)

    monkeypatch.setattr(listening.Session, "make", stopped)
    page = tmp_path / "page.html"
    assert cli.main(["listen", str(run), "--out", str(page), "--temperature", "1", "0.7", *QUICK]) == code
    assert "what is finished is kept" in capsys.readouterr().err
    assert "Stopped before its end" in page.read_text() and page.read_text().count("<audio") == 2 * 2
