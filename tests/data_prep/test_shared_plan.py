"""Slices plan once: what the first one found holds for all, for as long as nothing has changed."""

from __future__ import annotations

import json
import threading
import time
import tracemalloc
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from data_prep import shared_plan
from data_prep.corpora import read_corpus
from data_prep.options import Options, SineOptions
from data_prep.plan import RECORDS, SHARED, Plan, ShardPlan, build_plan
from data_prep.report import write_report
from data_prep.results import collect
from data_prep.shared_plan import plan_of_slice
from data_prep.sources import File, Source
from tests.data_prep.corpus import make_corpus, noise, prepare, tree, write, write_table
from wavenet_pl.errors import UserError
from wavenet_pl.numbers.counter import stream_key
from wavenet_pl.shards.index import load_index, save_index

SHARDS = ("--recordings-per-shard", 2)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twelve recordings of two speakers, with a table."""
    folder = make_corpus(tmp_path / "src", seconds=0.12)
    return write_table(folder, ["file", "text"], ["ann/take0.wav", "one"], ["bob/take0.wav", "two"])


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """The corpora that slices have read, one for each time."""
    times: list[Path | None] = []
    true = shared_plan.read_corpus

    def counted(options: Options, source: Path | None, destination: Path) -> Any:
        times.append(source)
        return true(options, source, destination)

    monkeypatch.setattr(shared_plan, "read_corpus", counted)
    return times


def slice_of(source: Path, out: Path, number: int, *options: object) -> int:
    return prepare("folder", source, out, *SHARDS, *options, "--slice", f"{number}/3")


def test_the_corpus_is_read_once_for_all_slices_and_the_set_is_that_of_one_run(
    source: Path, tmp_path: Path, read: list[Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert slice_of(source, tmp_path / "out", 2) == 0
    monkeypatch.chdir(source)
    assert [slice_of(Path("../src"), tmp_path / "out", number) for number in (3, 1)] == [0, 0]
    assert len(read) == 1
    assert prepare("merge", tmp_path / "out") == 0
    assert prepare("folder", source, tmp_path / "whole", *SHARDS) == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def make_longer(source: Path) -> None:
    for path in source.rglob("*.wav"):
        write(path, noise(0.2), subtype="PCM_16")


CHANGES = {
    "a new file": (lambda source: write(source / "ann/new.wav", noise(0.2)), "12 sources, now there are 13"),
    "a lost file": (lambda source: (source / "ann/take1.wav").unlink(), "12 sources, now there are 11"),
    "a row": (
        lambda source: write_table(source, ["file", "text"], ["ann/take0.wav", "1"]),
        "other sources .names, sizes or metadata differ",
    ),
    "longer files": (make_longer, "other sources .names, sizes or metadata differ"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_slice_notices_that_the_corpus_is_not_what_was_planned(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    assert slice_of(source, tmp_path / "out", 1) == 0
    alter, message = CHANGES[change]
    alter(source)
    before = tree(tmp_path / "out")
    assert slice_of(source, tmp_path / "out", 2) == 2
    assert tree(tmp_path / "out") == before
    capsys.readouterr()
    with pytest.raises(UserError, match=message):
        plan_of_slice(Options(corpus="folder", recordings_per_shard=2), source, tmp_path / "out", 2, 3)


def test_a_slice_with_other_options_is_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert slice_of(source, tmp_path / "out", 1) == 0
    assert slice_of(source, tmp_path / "out", 2, "--sample-rate", 8_000) == 2
    assert "was begun with rules.sample_rate 16000, now it is 8000" in capsys.readouterr().err


@pytest.mark.parametrize("share", [0, 0.1, 0.6])
def test_a_shared_plan_that_is_damaged_is_made_again(
    source: Path, tmp_path: Path, read: list[Path | None], share: float
) -> None:
    assert slice_of(source, tmp_path / "out", 1) == 0
    shared = tmp_path / "out" / SHARED
    content = shared.read_bytes()
    shared.write_bytes(content[: int(share * len(content))])
    assert [slice_of(source, tmp_path / "out", number) for number in (2, 3)] == [0, 0]
    assert len(read) == 2
    assert shared.read_bytes() == content


def test_slices_that_begin_together_wait_for_the_one_that_plans(
    source: Path, tmp_path: Path, read: list[Path | None], capsys: pytest.CaptureFixture[str]
) -> None:
    out, options, plans = tmp_path / "out", Options(corpus="folder"), []
    out.mkdir()

    def plan() -> None:
        plans.append(plan_of_slice(options, source, out, 1, 1))

    threads = [threading.Thread(target=plan) for _ in range(3)]
    warned, until = "", time.monotonic() + 30
    with shared_plan._alone(out):
        for thread in threads:
            thread.start()
        while warned.count("another slice plans; waiting for its plan") < 3 and time.monotonic() < until:
            time.sleep(0.01)
            warned += capsys.readouterr().err
    for thread in threads:
        thread.join()
    assert warned.count("another slice plans; waiting for its plan") == 3
    assert len(read) == 1
    assert [plan.shards for plan in plans] == [plans[0].shards] * 3
    assert all(shard.sources for shard in plans[0].shards)


def test_a_corpus_that_cannot_be_planned_leaves_nothing_behind(tmp_path: Path) -> None:
    assert slice_of(tmp_path / "none", tmp_path / "out", 1) == 2
    assert not (tmp_path / "out").exists()


def test_all_that_is_known_of_a_source_is_shared() -> None:
    corpus = Path("corpus")
    source = Source(
        name="a/caf\\xe9.wav", key="a/caf-0", speaker="ann", text="Grüß", tags=("x", "y"), midi="a.mid",
        tables={"lang": "de"}, split="val", facts={"licence": "0"}, stretch=(3, 9), sha256="0" * 64, size=44,
        path="corpus/a/caf\udce9.wav", files={"notes": File(name="a.mid", size=7, path="corpus/a.mid", offset=512)},
        offset=1024, problem="cut", group="a",
    )  # fmt: skip
    plain, names = Source(name=""), [field.name for field in fields(source)]
    untold = {name for name in names if getattr(source, name) == getattr(plain, name)}
    assert untold == {"made"}, "a new field goes through the shared plan as well: name it here"
    elsewhere = shared_plan._from_plain(shared_plan._to_plain(source, corpus), Path("/other"))
    assert elsewhere == source, "paths are not compared"
    assert elsewhere.path == "/other/a/caf\udce9.wav"
    assert elsewhere.files["notes"].path == "/other/a.mid"


def done(folder: Path, shards: int, recordings: int) -> Plan:
    """A plan whose shards are all done, with nothing in them."""
    plan = Plan(
        fingerprint="f", options=Options(corpus="folder").describe(),
        shards=tuple(
            ShardPlan(name=f"train/shard-{number:06d}.tar", num_sources=recordings) for number in range(shards)
        ),
    )  # fmt: skip
    for number, shard in enumerate(plan.shards):
        rows = [
            {
                "key": f"r{number}-{row}", "frames": 100 + row, "speaker": f"p{row % 9}", "tags": [], "tables": {},
                "source": f"r{number}-{row}.wav", "peak": 0.5, "rms": 0.1, "arrays": {},
                "members": {"flac": [512, 9, stream_key("crc", number, row) % 2**32]},
            }
            for row in range(recordings)
        ]  # fmt: skip
        record = {
            "plan": "f", "shard": shard.name, "bytes": 10_240, "sha256": "0" * 64, "recordings": rows,
            "dropped": [], "flaws": [], "rules": {},
        }  # fmt: skip
        for name, content in ((shard.name, bytes(10_240)), (shard.record, json.dumps(record).encode())):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return plan


def test_what_a_plan_keeps_of_a_recording_are_numbers() -> None:
    peaks = []
    for recordings in (200, 1_400):
        options = Options(corpus="many_sines", sines=SineOptions(recordings=recordings))
        tracemalloc.start()
        plan = build_plan(read_corpus(options, None, Path("out")), options)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sorted(source.name for shard in plan.shards for source in shard.sources) == [
            f"sines-{number:06d}" for number in range(recordings)
        ]
    assert (peaks[1] - peaks[0]) / 1_200 < 100, "bytes"


def test_the_memory_of_merging_does_not_grow_with_the_set(tmp_path: Path) -> None:
    peaks = []
    for shards in (3, 18):
        plan = done(tmp_path / str(shards), shards, 60)
        tracemalloc.start()
        result = collect(plan, tmp_path / str(shards))
        assert result.count() == shards * 60
        assert f"{shards * 60} recordings, " in write_report(result)
        save_index(result.build_index(), tmp_path / str(shards))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        index = load_index(tmp_path / str(shards))
        assert [row.key for shard in index.splits["train"] for row in shard.recordings] == [
            row["key"] for row in result.rows("train")
        ]
    assert peaks[1] < 1.5 * peaks[0]


def test_a_record_that_goes_while_all_is_merged_is_one_message(tmp_path: Path) -> None:
    plan = done(tmp_path, 2, 3)
    result = collect(plan, tmp_path)
    (tmp_path / RECORDS / "train/shard-000001.json").unlink()
    with pytest.raises(UserError, match=r"shard-000001.tar or its record has gone from .*; run the same"):
        result.seconds()
