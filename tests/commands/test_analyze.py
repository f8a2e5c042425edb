"""The command `analyze`: what it writes and says, what it refuses, and what Ctrl-C leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evaluation.runs import write_run
from tests.shards.made import write_shard_set
from tests.small import small_config
from wavenet_pl import cli
from wavenet_pl.analysis.study import KNOWN
from wavenet_pl.model import Model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analyze")
    shards = write_shard_set(folder / "set", train=1, val=6)
    return write_run(folder / "run", Model(small_config(shards), sample_rate=8_000))


def test_writes_a_page_and_numbers_and_says_the_verdicts(run, tmp_path, capsys):
    arguments = ["analyze", str(run), "--quick", "--only", "bias,sines", "--threads", "1"]
    assert cli.main([*arguments, "--json", str(tmp_path / "numbers.json")]) == 0
    out = capsys.readouterr().out
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert [each["claim"]["key"] for each in numbers["verdicts"]] == ["bias", "sines"]
    for each in numbers["verdicts"]:
        assert f"{each['claim']['key']:<14}{each['answer']}: {each['effect']:.2f}" in out
    assert f"page         {run / 'analysis' / 'analysis.html'}" in out
    assert (run / "analysis" / "analysis.html").stat().st_size > 20_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--only", "band"],
            "only is band, expected some of bands, knowledge, bias, skips, context, sines; did you",
        ),
        (["--threads", "0"], "threads is 0, expected 1 or more"),
        (["--split", "test"], "has no recording in split 'test', but in train, val"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_is_one_message(run, tmp_path, capsys, arguments, message):
    assert cli.main(["analyze", str(run), "--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(run, tmp_path, capsys, monkeypatch):
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    arguments = [
        "analyze",
        str(run),
        "--out",
        str(tmp_path),
        "--quick",
        "--only",
        "bias,sines",
        "--threads",
        "1",
    ]
    with monkeypatch.context() as patched:
        patched.setattr(type(KNOWN["sines"]), "measure", stop)
        assert cli.main(arguments) == 130
    said = capsys.readouterr()
    assert "the same command goes on" in said.err and "bias " in said.out and "sines " not in said.out
    assert "Stopped before its end" in (tmp_path / "analysis.html").read_text()
    with monkeypatch.context() as patched:
        patched.setattr(type(KNOWN["bias"]), "measure", stop)  # it is not made again
        assert cli.main(arguments) == 0
    assert "sines " in capsys.readouterr().out
