"""`prepare --tables`: columns of metadata.csv that a model can be told, each a table of names of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data_prep.corpus import entries, make_corpus, prepare, tree, write_table
from tests.data_prep.test_report import table
from wavenet_pl.cli import main
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.known import check_inputs
from wavenet_pl.shards.index import load_index
from wavenet_pl.shards.recording import Recording

ACCENTS = ("scots", "irish", "cockney")
EACH = 6


def accent_of(speaker: str, take: int) -> str:
    return ACCENTS[(take + (speaker == "bob")) % 3]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two speakers, three accents, and an age for one of them."""
    folder = make_corpus(tmp_path / "in", each=EACH)
    rows = [
        [f"{speaker}/take{take}.wav", accent_of(speaker, take), "30" if speaker == "ann" else "", "x"]
        for speaker in ("ann", "bob")
        for take in range(EACH)
    ]
    return write_table(folder, ["file", "accent", "native age", "tags"], *rows)


def recordings(folder: Path) -> dict[str, Recording]:
    index = load_index(folder)
    return {row.key: row for some in index.splits.values() for shard in some for row in shard.recordings}


def names(folder: Path, name: str) -> dict[str, str]:
    """Key -> name of a table, as the index has it, of the recordings that have one."""
    listed = load_index(folder).labels.tables[name]
    return {key: listed[row.rows[name][0]] for key, row in recordings(folder).items() if name in row.rows}


def test_a_column_becomes_a_table_and_every_recording_has_its_row(source: Path, tmp_path: Path) -> None:
    assert prepare("folder", source, tmp_path / "out", "--tables", "accent") == 0
    assert load_index(tmp_path / "out").labels.tables == {
        "accent": tuple(sorted(ACCENTS)),
        "speaker": ("ann", "bob"),
        "tags": ("x",),
    }
    wanted = {f"{s}/take{take}": accent_of(s, take) for s in ("ann", "bob") for take in range(EACH)}
    assert names(tmp_path / "out", "accent") == wanted
    assert {key: entry["accent"] for key, entry in entries(tmp_path / "out").items()} == wanted
    assert not any("native age" in entry for entry in entries(tmp_path / "out").values()), "nobody asked"
    check_inputs("the set", load_index(tmp_path / "out"), ["speaker", "accent", "tags"])


def test_the_report_counts_each_name(source: Path, tmp_path: Path) -> None:
    assert prepare("folder", source, tmp_path / "out", "--tables", "accent,native age") == 0
    report = (tmp_path / "out/report.md").read_text()
    assert table(report, "accent") == [[name, "4", "0.02"] for name in sorted(ACCENTS)]
    assert table(report, "native age") == [["(none)", "6", "0.03"], ["30", "6", "0.03"]]
    assert ["tables", "accent, native age"] in table(report, "Settings")


@pytest.mark.slow
def test_a_recording_without_a_name_is_prepared_and_refused_where_it_has_to_have_one(
    source: Path, tmp_path: Path
) -> None:
    assert prepare("folder", source, tmp_path / "out", "--tables", "accent,native age") == 0
    assert set(names(tmp_path / "out", "native age")) == {f"ann/take{take}" for take in range(EACH)}
    assert len(recordings(tmp_path / "out")) == 2 * EACH
    assert not any("native age" in entry for key, entry in entries(tmp_path / "out").items() if "bob" in key)
    index = load_index(tmp_path / "out")
    check_inputs("the set", index, ["accent"])
    with pytest.raises(
        UserError,
        match="^the set has 6 of 12 recordings without a native age, such as bob/take., expected one for each, as "
        "model.condition.inputs has native age; fill the column native age in metadata.csv, and prepare again with "
        "--tables native age$",
    ):
        check_inputs("the set", index, ["accent", "native age"])


def test_an_indexer_finds_the_tables_again(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert prepare("folder", source, out, "--tables", "accent") == 0
    before = (out / "index.safetensors").read_bytes()
    assert main(["index", str(out)]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    (out / "index.safetensors").unlink()
    assert main(["index", str(out), "--tables", "accent"]) == 0
    assert (out / "index.safetensors").read_bytes() == before


def test_slices_have_the_bytes_of_one_run_and_a_second_run_has_nothing_to_do(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--tables", "accent", "--recordings-per-shard", 3)
    assert prepare("folder", source, tmp_path / "one", *options) == 0
    for number in (2, 1):
        assert prepare("folder", source, tmp_path / "two", *options, "--slice", f"{number}/2") == 0
    assert prepare("merge", tmp_path / "two") == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    capsys.readouterr()
    assert prepare("folder", source, tmp_path / "one", *options) == 0
    assert "is prepared already: nothing to do" in capsys.readouterr().out


def test_other_tables_or_other_names_are_another_set(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert prepare("folder", source, out, "--tables", "accent") == 0
    assert prepare("folder", source, out) == 2
    assert f"DEST {out} was begun with tables accent, now it is unset" in capsys.readouterr().err
    text = (source / "metadata.csv").read_text()
    (source / "metadata.csv").write_text(text.replace("scots", "welsh", 1))
    assert prepare("folder", source, out, "--tables", "accent") == 2
    assert "was begun with other sources (names, sizes or metadata differ)" in capsys.readouterr().err


MISTAKES = {
    "unknown": (["--tables", "acent"], "--tables names acent, expected columns of "),
    "nearest": (["--tables", "acent"], ": accent, native age; did you mean accent?"),
    "one of two": (["--tables", "accent,smell"], "--tables names smell, expected columns of "),
    "a column with a meaning": (
        ["--tables", "text"],
        "--tables names 'text', which means something else here",
    ),
    "the file": (["--tables", "file"], "--tables names 'file', which means something else here"),
    "the speaker": (["--tables", "speaker"], "--tables names 'speaker', which means something else here"),
    "the tags": (["--tables", "tags"], "--tables names 'tags', which means something else here"),
    "frames": (["--tables", "notes"], "--tables names 'notes', which means something else here"),
    "the source": (["--tables", "source"], "--tables names 'source', which means something else here"),
    "the length": (["--tables", "frames"], "--tables names 'frames', which means something else here"),
    "a field": (["--tables", "other_accent"], "--tables names 'other_accent', which cannot name an input"),
    "a path": (["--tables", "../accent"], "--tables names '../accent', which cannot name an input"),
    "twice": (["--tables", "accent,accent"], "--tables names one twice, expected each once; drop one"),
    "frames, too": (
        ["--tables", "accent", "--frames", "accent:hop=80"],
        "--tables and --frames both name accent, expected two names; rename one of them",
    ),
}


@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_table_that_cannot_be_is_one_message(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    code = prepare("folder", source, tmp_path / "out", *options)
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (2, 1)
    assert message in error
    assert not (tmp_path / "out").exists()


def test_tables_need_a_metadata_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_corpus(tmp_path / "in")
    assert prepare("folder", source, tmp_path / "out", "--tables", "accent") == 2
    assert f"--tables is set, expected {source}/metadata.csv, and there is none" in capsys.readouterr().err
    assert prepare("two_sines", tmp_path / "out", "--tables", "accent") == 2
    assert "--tables is for metadata.csv of a folder, and two_sines has none" in capsys.readouterr().err
