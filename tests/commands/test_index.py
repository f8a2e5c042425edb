"""The command `index`: shards that someone else wrote, damage by name, and the same index again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

from tests.audio.files import mp3, tones, without_end_mark, without_xing
from tests.full_disk import full_disk
from tests.nobody import as_nobody
from tests.processes import are_gone
from tests.shards.damages import DAMAGES, audio_bytes, metadata_bytes, write_tar
from tests.shards.indexes import as_text, change_columns, text_index
from tests.shards.made import make_audio, write_shard_set
from tests.started import ends_with_test
from wavenet_pl import cli
from wavenet_pl.data.conditions import Conditions
from wavenet_pl.data.order import EpochPlan
from wavenet_pl.data.pipeline import Share, build_pipeline
from wavenet_pl.inputs.array import UserFrames
from wavenet_pl.shards.damage import REMEDIES
from wavenet_pl.shards.index import INDEX_NAME, load_index, save_index, shard_storage
from wavenet_pl.shards.split import Split


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `wavenet-pl index`."""
    capsys.readouterr()
    code = cli.main(["index", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def table(out: str) -> dict[tuple[str, str], str]:
    """(shard, recording) -> kind, from the printed table."""
    lines = out.split("\n\n")[0].splitlines()
    columns = [lines[0].index(title) for title in ("recording", "damage", "found", "what to do")]
    return {
        (line[: columns[0]].strip(), line[columns[0] : columns[1]].strip()): line[
            columns[1] : columns[2]
        ].strip()
        for line in lines[1:]
    }


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return write_shard_set(tmp_path / "set", test=1, tags=("read",))


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Two shards without folders for splits, in formats of their own, some with metadata."""
    for number in range(2):
        members = []
        for row in range(6):
            key = f"clip{6 * number + row:03d}"
            members.append((f"./{key}.wav", audio_bytes(800 + row, seed=row)))
            members.append((f"./{key}.json", metadata_bytes(speaker=f"p{row % 2}", tags=["t"], label=row)))
        write_tar(tmp_path / f"foreign/part-{number}.tar", members)
    return tmp_path / "foreign"


# --- sound sets ---


def test_a_set_that_nobody_touched_keeps_its_index(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in prepared.rglob("*.*")}
    code, out, _ = run(capsys, prepared)
    assert code == 0
    assert (
        f"nothing was changed: the index is right (fingerprint {load_index(prepared).fingerprint[:12]})"
        in out
    )
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in prepared.rglob("*.*")} == before


def test_a_lost_index_comes_back_to_the_byte(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (prepared / INDEX_NAME).read_bytes()
    (prepared / INDEX_NAME).unlink()
    code, out, _ = run(capsys, prepared)
    assert code == 0
    assert "wrote" in out
    assert (prepared / INDEX_NAME).read_bytes() == before


def test_mp3_of_any_make_is_indexed_and_trained_on_without_a_word_of_its_library(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    members = []
    for number in range(6):
        whole = mp3(tones(0.7, seed=number))
        members.append((f"clip{number}.mp3", without_xing(whole) if number % 2 else whole))
    write_tar(tmp_path / "mp3.tar", members)
    assert cli.main(["index", str(tmp_path)]) == 0
    index = load_index(tmp_path)
    frames = {
        row.key: row.frames
        for shards in index.splits.values()
        for shard in shards
        for row in shard.recordings
    }
    assert frames["clip0"] == 11_200 and frames["clip1"] % 576 == 0
    capfd.readouterr()
    split = Split(index.splits["train"], shard_storage(index, str(tmp_path)), 16_000)
    plan = EpochPlan(split.frames, 1_000, 4, 0, 0, index.fingerprint, True)
    for batch in build_pipeline(Conditions(split), plan, Share(), receptive_field=100):
        assert not batch["bad"]
    assert capfd.readouterr() == ("", "")


def test_what_is_odd_about_a_recording_that_is_kept_is_told_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = [(f"odd{number:02d}.ogg", without_end_mark(audio_bytes(3_000, "ogg"))) for number in range(22)]
    write_tar(tmp_path / "a.tar", [("sound.ogg", audio_bytes(3_000, "ogg")), *odd])
    code, out, _ = run(capsys, tmp_path)
    assert code == 0
    assert "unfinished: 22 recordings; its last page or frame is cut" in out
    assert "  odd00 in a.tar: its last page is not marked as the end of the stream" in out
    assert "  and 2 more" in out


@pytest.mark.slow
def test_the_index_of_what_prepare_wrote_is_the_one_that_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(7):
        path = tmp_path / f"source/voice {number % 2}/take.{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(audio_bytes(9_000 + number, seed=number))
    assert (
        cli.main(["prepare", "folder", str(tmp_path / "source"), str(tmp_path / "set"), "--jobs", "1"]) == 0
    )
    before = (tmp_path / "set" / INDEX_NAME).read_bytes()
    assert "nothing was changed" in run(capsys, tmp_path / "set")[1]
    (tmp_path / "set" / INDEX_NAME).unlink()
    assert run(capsys, tmp_path / "set")[0] == 0
    assert (tmp_path / "set" / INDEX_NAME).read_bytes() == before


def test_an_index_that_cannot_be_read_is_said_and_replaced(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (prepared / INDEX_NAME).read_bytes()
    (prepared / INDEX_NAME).write_bytes(before.replace(b"rec-00003", b"rec-00099", 1))
    code, _, err = run(capsys, prepared)
    assert code == 0
    assert "indexing without the older index" in err
    assert (prepared / INDEX_NAME).read_bytes() == before


def test_foreign_shards_get_an_index_that_reads_every_recording(
    foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, foreign, "--val-fraction", "0.3")
    assert code == 0
    assert "there is no val/: its recordings were taken by a hash (--val-fraction 0.3)" in out
    index = load_index(foreign)
    assert set(index.splits) == {"train", "val"}
    assert index.labels.tables == {"speaker": ("p0", "p1"), "tags": ("t",)}
    read = {}
    for shards in index.splits.values():
        split = Split(shards, shard_storage(index, foreign), index.sample_rate)
        read.update({split[position].key: split.read(position) for position in range(len(split))})
    assert sorted(read) == [f"clip{number:03d}" for number in range(12)]
    for number in range(12):
        wanted = make_audio(800 + number % 6, seed=number % 6).astype(np.float32) / 32768
        assert np.array_equal(read[f"clip{number:03d}"], wanted)


def started(folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """`index --jobs 2` over many shards, and its two processes, which are at work."""
    first = write_tar(
        folder / "0.tar", [(f"k{n}.flac", audio_bytes(20_000, "flac", seed=n)) for n in range(20)]
    )
    for number in range(1, 200):
        os.link(first, folder / f"{number}.tar")
    process = subprocess.Popen(
        [sys.executable, "-m", "wavenet_pl", "index", str(folder), "--jobs", "2"],
        cwd=Path(__file__).resolve().parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    ends_with_test(process)
    until = time.monotonic() + 100
    while True:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        maps = {int(child): Path(f"/proc/{child}/maps").read_text() for child in children}
        if len(workers := [child for child, text in maps.items() if "libsndfile" in text]) == 2:
            return process, workers
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.cold("processes are found by what they have loaded")
def test_a_process_that_dies_is_one_message(tmp_path: Path) -> None:
    process, workers = started(tmp_path)
    os.kill(workers[0], signal.SIGKILL)
    _, error = process.communicate(timeout=100)
    assert process.returncode == 3
    assert "a process that reads shards died" in error and "Traceback" not in error
    assert not (tmp_path / INDEX_NAME).exists()


@pytest.mark.slow
@pytest.mark.cold("processes are found by what they have loaded")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_command(tmp_path: Path, number: signal.Signals) -> None:
    process, workers = started(tmp_path)
    process.send_signal(number)
    process.communicate(timeout=100)
    assert process.returncode == -number
    assert are_gone(workers, 60)


def test_jobs_change_nothing(foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    indexes = []
    for jobs in (1, 2):
        code, _, _ = run(capsys, foreign, "--out", tmp_path / f"jobs{jobs}", "--jobs", jobs)
        assert code == 0
        indexes.append((tmp_path / f"jobs{jobs}" / INDEX_NAME).read_bytes())
    assert indexes[0] == indexes[1]


@pytest.mark.parametrize("url", ["https://user:pass@host/set", "https://host/set?token=planted"])
def test_a_url_with_a_password_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    code, _, err = run(capsys, url, "--out", tmp_path)
    assert code == 2
    assert "a user, a password or a key in it, which the index would keep" in err
    assert "pass@" not in err and "planted" not in err


def test_the_index_of_a_url_lies_in_a_folder_and_points_back(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = fsspec.filesystem("memory")
    for path in foreign.iterdir():
        memory.pipe(f"/remote/set/{path.name}", path.read_bytes())
    try:
        code, _, err = run(capsys, "memory://remote/set")
        assert code == 2
        assert "is a URL, where nothing is written; add --out FOLDER" in err
        assert run(capsys, "memory://remote/set", "--out", tmp_path / "out")[0] == 0
        index = load_index(tmp_path / "out")
        assert index.base == "memory://remote/set"
        split = Split(index.splits["train"], shard_storage(index, tmp_path / "out"), index.sample_rate)
        assert split.read(0).any()
        assert "nothing was changed" in run(capsys, "memory://remote/set/", "--out", tmp_path / "out")[1]
    finally:
        memory.rm("/remote", recursive=True)


def test_a_full_temporary_disk_is_no_damage_of_a_shard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = fsspec.filesystem("memory")
    for name, frames in (("small", 800), ("large", 40_000)):
        members = [(f"{name}{n}.wav", audio_bytes(frames, seed=n)) for n in range(4)]
        memory.pipe(f"/remote/set/{name}.tar", write_tar(tmp_path / "a.tar", members).read_bytes())
    arguments = ("memory://remote/set", "--out", tmp_path / "out", "--skip-damaged")
    try:
        with full_disk(50_000):
            code, _, err = run(capsys, *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert "temporary files cannot be written to" in err
        assert not (tmp_path / "out" / INDEX_NAME).exists()
        assert run(capsys, *arguments)[0] == 0
        assert sum(len(load_index(tmp_path / "out").columns(split).frames) for split in ("train", "val")) == 8
    finally:
        memory.rm("/remote", recursive=True)


def test_where_no_index_can_be_written_it_is_said_before_the_shards_are_read(
    prepared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(prepared)
    prepared.chmod(0o755)
    assert run(capsys, ".")[0] == 0  # and all is imported
    with as_nobody():
        assert "nothing was changed: the index is right" in run(capsys, ".")[1], (
            "which needs no rights to write"
        )
    DAMAGES["cut at a member"](prepared / "train/shard-000000.tar")
    (prepared / INDEX_NAME).unlink()
    with as_nobody():
        code, out, err = run(capsys, ".")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert (
        "no index can be written to . (the folder may not be written to); mend that, or name another folder"
        in err
    )


def test_an_index_that_cannot_take_its_place_is_one_message(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (prepared / INDEX_NAME).unlink()
    (prepared / INDEX_NAME / "below").mkdir(parents=True)
    code, _, err = run(capsys, prepared)
    assert (code, err.splitlines()[-1].count("no index can be written to")) == (2, 1)


def test_half_a_sign_is_no_source(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = [(f"more{n}.wav", audio_bytes(800, seed=n)) for n in range(4)]
    members += [(f"more{n}.json", metadata_bytes(speaker="p0", source="\ud800")) for n in range(4)]
    write_tar(foreign / "part-9.tar", sorted(members))
    assert run(capsys, foreign)[0] == 0
    assert len(names_in(foreign, "speaker")) == 16


def test_out_elsewhere_points_to_the_shards_and_leaves_them_alone(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "foreign", "--out", "elsewhere")[0] == 0
    assert not (foreign / INDEX_NAME).exists()
    assert load_index("elsewhere").base == str(foreign), "whole, so that it holds from any folder"
    assert load_index("elsewhere").fingerprint
    assert run(capsys, "foreign", "--out", "foreign/../foreign")[0] == 0
    assert load_index(foreign).base is None


# --- tables and frames ---

ACCENTS = ("scots", "irish", "cockney")
F0 = UserFrames(name="f0", hop_length=80, mean=(0.5,), std=(0.25,))


def write_accented(folder: Path, number: int, accents: tuple[str, ...] = ACCENTS) -> None:
    """A shard of six clips as somebody else wrote it, whose JSON says more than speakers and tags."""
    members = []
    for row in range(6):
        key = f"clip{6 * number + row:03d}"
        members.append((f"{key}.wav", audio_bytes(800 + row, seed=row)))
        metadata = {"speaker": f"p{row % 2}", "native language": "en", "age": 30 + row % 2}
        if accents:
            metadata["accent"] = accents[row % len(accents)]
        members.append((f"{key}.json", metadata_bytes(**metadata)))
    write_tar(folder / f"part-{number}.tar", members)


def names_in(folder: Path, table: str) -> dict[str, str]:
    """Key -> name, as the index has it."""
    index = load_index(folder)
    rows = [row for some in index.splits.values() for shard in some for row in shard.recordings]
    return {row.key: index.labels.tables[table][row.rows[table][0]] for row in rows if table in row.rows}


def test_tables_are_read_from_the_json_and_only_where_they_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        write_accented(tmp_path, number)
    assert run(capsys, tmp_path)[0] == 0
    assert load_index(tmp_path).labels.tables == {"speaker": ("p0", "p1")}
    before = load_index(tmp_path).fingerprint
    assert run(capsys, tmp_path, "--tables", "accent, native language,age")[0] == 0
    index = load_index(tmp_path)
    assert index.labels.tables == {
        "accent": tuple(sorted(ACCENTS)),
        "age": ("30", "31"),
        "native language": ("en",),
        "speaker": ("p0", "p1"),
    }
    assert index.fingerprint != before
    assert names_in(tmp_path, "accent") == {f"clip{n:03d}": ACCENTS[n % 6 % 3] for n in range(12)}


def test_an_older_indexs_tables_and_frames_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shard_set(tmp_path, tables={"accent": ACCENTS}, frames_beside=(F0,))
    before = load_index(tmp_path)
    assert "nothing was changed: the index is right" in run(capsys, tmp_path)[1]
    assert "nothing was changed: the index is right" in run(capsys, tmp_path, "--tables", "accent")[1]
    (tmp_path / "train/shard-000001.tar").rename(tmp_path / "train/shard-000007.tar")
    assert run(capsys, tmp_path)[0] == 0
    after = load_index(tmp_path)
    assert after.labels == before.labels and after.fingerprint != before.fingerprint
    assert [row.rows for row in after.splits["train"][1].recordings] == [
        row.rows for row in before.splits["train"][1].recordings
    ]


def test_a_table_that_nobody_has_any_more_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        write_accented(tmp_path, number)
    assert run(capsys, tmp_path, "--tables", "accent")[0] == 0
    (tmp_path / "part-0.tar").unlink()
    (tmp_path / "part-1.tar").unlink()
    for number in range(2, 4):
        write_accented(tmp_path, number, ())
    code, out, _ = run(capsys, tmp_path, "--skip-damaged")
    assert code == 0
    assert "no recording has accent: the index says nothing of them any more" in out
    assert load_index(tmp_path).labels.tables == {"speaker": ("p0", "p1")}


def test_a_recording_without_a_name_that_most_have_is_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_accented(tmp_path, 0)
    write_tar(
        tmp_path / "part-9.tar", [("bare.wav", audio_bytes(300)), ("bare.json", metadata_bytes(speaker="p0"))]
    )
    assert run(capsys, tmp_path)[0] == 0, "nobody asked"
    code, out, _ = run(capsys, tmp_path, "--tables", "accent")
    assert (code, table(out)) == (2, {("part-9.tar", "bare"): "no name"})
    assert "no accent, where most of the set has one" in out


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("acent", "--tables names acent, and no recording has a name under this key of its JSON"),
        ("accent,smell", "--tables names smell, and no recording"),
        ("tags", "--tables names 'tags', which means something else here"),
        ("mel", "--tables names 'mel', which means something else here"),
        ("source", "--tables names 'source', which means something else here"),
        ("a.b", "--tables names 'a.b', which cannot name an input"),
        ("other_one", "--tables names 'other_one', which cannot name an input"),
    ],
)
def test_a_table_that_cannot_be_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: str, message: str
) -> None:
    write_accented(tmp_path, 0)
    code, _, err = run(capsys, tmp_path, "--tables", names)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    assert not (tmp_path / INDEX_NAME).exists()


# --- damage ---


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("knows_before", [True, False])
def test_each_recording_lost_is_named_and_the_rest_trains(
    prepared: Path, damage: str, knows_before: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = "train/shard-000000.tar"
    older = (prepared / INDEX_NAME).read_bytes()
    if not knows_before:
        (prepared / INDEX_NAME).unlink()
    lost = DAMAGES[damage](prepared / shard)
    code, out, err = run(capsys, prepared)
    rows = table(out)
    assert code == 2
    assert "listed above; mend the shards, or leave these out with --skip-damaged" in err
    assert err.count("\n") == 1
    assert {key[0] for key in rows} == {shard}
    named = {key[1] for key in rows} - {"?"}
    assert named <= lost
    if knows_before:
        assert named == lost, "the older index knows what the shard once held"
        assert (prepared / INDEX_NAME).read_bytes() == older, "nothing was written"
    else:
        assert not (prepared / INDEX_NAME).exists()
        readable = {
            "broken header": lost,
            "interleaved": lost,
            "cut at a member": {"rec-00002"},
            "cut payload": {"rec-00002"},
            "cut between recordings": set(),
        }
        assert named == readable[damage]

    code, out, _ = run(capsys, prepared, "--skip-damaged")
    assert code == 0
    assert f"left out: {len(lost) if knows_before else ''}" in out
    index = load_index(prepared)
    everything = {f"rec-{number:05d}" for number in range(8)}
    split = Split(index.splits["train"], shard_storage(index, prepared), index.sample_rate)
    assert {split[position].key for position in range(len(split))} == everything - lost
    plan = EpochPlan(split.frames, 900, 4, 0, 0, index.fingerprint, True)
    for number, batch in enumerate(build_pipeline(Conditions(split), plan, Share(), receptive_field=100)):
        assert batch["bad"] == []
        windows = plan.windows(plan.batch(number))
        for row, recording in enumerate(batch["recording"].tolist()):
            if recording >= 0:
                source = int(split[recording].key[4:])
                audio = make_audio((4_000, 7_000, 2_500, 5_501)[source % 4], seed=source)
                counted = batch["audio"][row].numpy()[
                    batch["audio"].shape[1] - int(batch["counted"][row].sum()) :
                ]
                wanted = audio[windows.start[row] : windows.stop[row]].astype(np.float32) / 32768
                assert np.array_equal(counted, wanted)


def test_every_line_says_what_to_do(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DAMAGES["cut at a member"](prepared / "train/shard-000000.tar")
    _, out, _ = run(capsys, prepared)
    lines = out.split("\n\n")[0].splitlines()
    assert lines[0].split() == ["shard", "recording", "damage", "found", "what", "to", "do"]
    assert all(any(line.endswith(remedy) for remedy in REMEDIES.values()) for line in lines[1:])


def test_a_missing_shard_names_each_of_its_recordings(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (prepared / "train/shard-000001.tar").unlink()
    code, out, _ = run(capsys, prepared)
    assert code == 2
    assert table(out) == {
        ("train/shard-000001.tar", f"rec-{number:05d}"): "missing shard" for number in range(4, 8)
    }


def test_damage_over_several_shards_is_one_table(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tar(
        prepared / "train/zz.tar",
        [
            ("odd.wav", audio_bytes(300, rate=16_000)),
            ("odd.json", b"{}"),
            ("bare.wav", audio_bytes(300)),
            ("rec-00001.wav", audio_bytes(300)),
            ("rec-00001.json", b"{}"),
            ("a.b.wav", audio_bytes(300)),
        ],
    )
    (prepared / "train/empty.tar").write_bytes(b"")
    (prepared / "train/page.tar").write_bytes(b"<html>404</html>" * 99)
    code, out, err = run(capsys, prepared, "--jobs", "2")
    assert code == 2
    assert table(out) == {
        ("train/empty.tar", "?"): "empty shard",
        ("train/page.tar", "?"): "broken header",
        ("train/zz.tar", "a.b"): "dotted key",
        ("train/zz.tar", "odd"): "sample rate",
        ("train/zz.tar", "bare"): "no JSON",
        ("train/zz.tar", "rec-00001"): "duplicate",
    }
    assert "4 damaged recordings and 2 places where what is lost has no name" in err


def test_names_in_a_hostile_shard_cannot_play_with_the_terminal(
    foreign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tar(foreign / "part-9.tar", [("\x1b[2J\x07evil\r.wav", b"x"), ("n" * 5_000 + ".wav", b"x")], 1)
    code, out, _ = run(capsys, foreign)
    assert code == 2
    assert not any(sign in out for sign in "\x1b\x07\r")
    assert "\\x1b[2J" in out
    assert max(map(len, out.splitlines())) < 700


def test_hostile_members_are_listed_and_leave_no_trace(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace"
    link = tarfile.TarInfo("link.wav")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.wav")
    (tmp_path / "secret.wav").write_bytes(audio_bytes())
    pickled = f"cposix\nsystem\n(S'touch {trace}'\ntR.".encode()
    write_tar(
        foreign / "part-9.tar",
        [
            (link, b""),
            ("link.json", b"{}"),
            ("../out.wav", audio_bytes()),
            (f"{tmp_path}/abs.wav", audio_bytes()),
            ("code.wav", audio_bytes()),
            ("code.json", metadata_bytes(speaker="p0")),
            ("code.pyd", pickled),
        ],
    )
    files = sorted(tmp_path.rglob("*"))
    code, out, _ = run(capsys, foreign)
    assert code == 2
    assert sorted(table(out).values()) == ["link", "outside", "outside"]
    assert sorted(tmp_path.rglob("*")) == files
    assert not trace.exists()


# --- mistakes ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "gone cannot be listed (No such file or directory)"),
        (["file"], "file is a file, expected a folder; give the one that it is in"),
        (["."], "has no shards *.tar"),
        (["pipe:touch evil"], "would run a program"),
        (["nosuch://x", "--out", "out"], "nosuch://x cannot be opened"),
        (["set", "--val-fraction", "0.5"], "set has val/, expected no --val-fraction"),
        (["set", "--val-fraction", "1"], "--val-fraction is 1.0, expected a number between 0 and 1"),
        (["set", "--jobs", "0"], "--jobs is 0, expected at least 1"),
        (["set", "--out", "file"], "file is a file, expected a folder"),
        (
            ["set", "--out", "file/below"],
            "no index can be written to file/below (Not a directory); mend that",
        ),
        (["one"], "found 1 sound recordings, expected at least 2"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    write_shard_set(tmp_path / "set", train=1, val=1, frames=200)
    write_tar(tmp_path / "one/a.tar", [("a.wav", audio_bytes(100))])
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "one", "set"]


def test_shards_in_other_folders_are_said_to_be_left_aside(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tar(prepared / "backup/a.tar", [("a.wav", audio_bytes(100))])
    code, _, err = run(capsys, prepared)
    assert code == 0
    assert "not read: backup/a.tar, which is in no folder of a split" in err


@pytest.mark.cold("what is imported")
def test_help_and_mistakes_do_not_wait_for_libraries() -> None:
    program = (
        "import sys; from wavenet_pl import cli\n"
        "try: cli.main(['index', '--help'])\n"
        "except SystemExit as done: assert done.code == 0\n"
        "assert not {'numpy', 'torch', 'soundfile', 'fsspec', 'webdataset'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert done.returncode == 0, done.stderr
    assert "--skip-damaged" in done.stdout


# --- an index of an earlier version, and what there is ---


def test_a_set_of_an_earlier_version_is_converted_under_its_fingerprint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shard_set(tmp_path, tables={"accent": ACCENTS}, frames_beside=(F0,))
    columns = (tmp_path / INDEX_NAME).read_bytes()
    index = load_index(tmp_path)
    path = as_text(tmp_path)
    assert load_index(tmp_path) == index
    code, out, err = run(capsys, tmp_path)
    fingerprint = index.fingerprint[:12]
    assert (code, f"wrote {tmp_path / INDEX_NAME} in place of index.json (fingerprint {fingerprint}, as before)") == (
        0, out.splitlines()[-1]
    )  # fmt: skip
    assert (tmp_path / INDEX_NAME).read_bytes() == columns and not path.exists()
    assert "nothing was changed: the index is right" in run(capsys, tmp_path)[1]


def test_columns_count_and_an_older_index_of_other_recordings_beside_them_is_said(
    prepared: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    index = load_index(prepared)
    beside = prepared / "index.json"
    beside.write_text(text_index(index))
    assert load_index(prepared) == index and not caplog.messages
    beside.write_text(text_index(replace(index, splits={"train": index.splits["train"][:1]})))
    assert load_index(prepared) == index
    [message] = caplog.messages
    assert "index.json is not of the same recordings as index.safetensors beside it, which counts" in message
    assert run(capsys, prepared, "--skip-damaged")[0] == 0
    (prepared / "train/shard-000001.tar").unlink()
    assert run(capsys, prepared, "--skip-damaged")[0] == 0
    assert not beside.exists(), "with the next index that is written it goes"


def test_a_fingerprint_that_is_not_that_of_the_content_is_put_right(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = (prepared / INDEX_NAME).read_bytes()
    change_columns(prepared, lambda facts, arrays: facts.update(fingerprint="f" * 64))
    assert load_index(prepared).fingerprint == "f" * 64, "to take it anew takes longer than all the rest"
    assert "wrote " in run(capsys, prepared)[1]
    assert (prepared / INDEX_NAME).read_bytes() == right


def test_what_there_is_is_listed(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = load_index(prepared)
    code, out, _ = run(capsys, "--list", prepared)
    assert code == 0
    assert out.splitlines() == [
        "index: index.safetensors, format 4",
        f"fingerprint: {index.fingerprint}",
        "sample rate: 8000 Hz",
        "test: 0.00 hours, 1 recordings, 1 shards, 0.00 GiB",
        "train: 0.00 hours, 8 recordings, 2 shards, 0.00 GiB",
        "val: 0.00 hours, 2 recordings, 1 shards, 0.00 GiB",
        "speaker: 2 names, anna, ben",
        "tags: 1 names, read",
    ]
    as_text(prepared)
    out = run(capsys, "--list", prepared)[1]
    assert out.startswith("index: index.json, `wavenet-pl index` writes index.safetensors in its place\n")
    assert index.fingerprint in out and (prepared / "index.json").exists()


def test_frames_and_where_the_shards_lie_are_listed_and_no_name_plays_with_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speakers = ["\x1b[2J", *(f"p{number:02d}" for number in range(14))]
    write_shard_set(tmp_path / "set", speakers=speakers, train=15, frames=90, frames_beside=(F0,))
    save_index(replace(load_index(tmp_path / "set"), base=str(tmp_path / "set")), tmp_path / "index")
    out = run(capsys, "--list", tmp_path / "index")[1]
    assert f"shards at: {tmp_path / 'set'}" in out
    assert "speaker: 15 names, \\x1b[2J, p00" in out and "p08 and 5 more" in out and "\x1b" not in out
    assert "f0: frames, {'hop_length': 80" in out
    assert "\x1b" not in run(capsys, "--list", tmp_path / "index", "--split", "train")[1]


def test_recordings_of_a_split_are_listed_a_line_each(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "--list", prepared, "--split", "train")
    assert code == 0
    assert [line.split("\t") for line in out.splitlines()][:2] == [
        ["rec-00000", "0.500", "anna", "train/shard-000000.tar"],
        ["rec-00001", "0.875", "ben", "train/shard-000000.tar"],
    ]
    assert len(out.splitlines()) == 8
    write_tar(prepared / "bare/a.tar", [(f"{key}.wav", audio_bytes(400)) for key in "ab"])
    assert run(capsys, prepared / "bare")[0] == 0
    assert run(capsys, "--list", prepared / "bare", "--split", "val")[1].split("\t")[1:] == [
        "0.050",
        "-",
        "a.tar\n",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--list", "gone"], "gone/index.safetensors cannot be read (No such file or directory), expected the index"),
        (["--list", "set", "--split", "tain"], "--split is tain, expected one of train, val, which set has"),
        (["set", "--split", "train"], "--split is train, expected it beside --list only; leave it out"),
        (["--list", "set", "--skip-damaged"], "--skip-damaged is given beside --list, which writes nothing"),
        (["--list", "set", "--jobs", "2"], "--jobs is given beside --list"),
    ],
)  # fmt: skip
def test_what_cannot_be_listed_is_one_message(
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_shard_set(tmp_path / "set", train=1, val=1, frames=200)
    code, _, err = run(capsys, *arguments)
    assert (code, err.count("\n")) == (2, 1) and message in err
