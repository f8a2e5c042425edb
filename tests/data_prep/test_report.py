"""The report: the numbers of the shards, and the same bytes each time."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from tests.audio.files import tones, wav
from tests.data_prep.corpus import entries, make_corpus, noise, prepare, write, write_table


def table(report: str, title: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = report.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = make_corpus(tmp_path_factory.mktemp("src"), speakers=("ann", "bob"), each=12, seconds=1.0)
    write(source / "cleo/x.wav", noise(3.0, seed=5, level=0.01))
    write(source / "cleo/y.wav", noise(0.02))
    write_table(source, ["file", "tags"], ["ann/take0.wav", "loud"], ["ann/take1.wav", "loud;long"])
    (source / "notes.txt").write_text("x")
    out = tmp_path_factory.mktemp("out")
    assert prepare("folder", source, out) == 0
    return out


def test_lengths_agree_with_the_shards(folder: Path) -> None:
    report, found = (folder / "report.md").read_text(), entries(folder)
    splits = {row[0]: row[1:] for row in table(report, "Splits")}
    for split, cells in splits.items():
        own = [entry for entry in found.values() if entry["split"] == split]
        assert int(cells[1]) == len(own)
        assert cells[2] == f"{sum(entry['frames'] for entry in own) / 16_000 / 60:.2f} min"
    speakers = {row[0]: row[1:] for row in table(report, "Speakers")}
    assert {name: cells[:2] for name, cells in speakers.items()} == {
        "ann": ["12", "0.20"],
        "bob": ["12", "0.20"],
        "cleo": ["1", "0.05"],
    }
    assert [row[:2] for row in table(report, "Tags")] == [["long", "1"], ["loud", "2"]]


def test_levels_agree_with_the_shards(folder: Path) -> None:
    rows = {row[0]: row[1:] for row in table((folder / "report.md").read_text(), "Lengths and levels")}
    audio = [entry["audio"] / 32768 for entry in entries(folder).values()]
    peaks = [20 * np.log10(np.abs(samples).max()) for samples in audio]
    means = [10 * np.log10(np.mean(samples**2)) for samples in audio]
    lengths = [len(samples) / 16_000 for samples in audio]
    for name, values in (("peak, dBFS", peaks), ("RMS, dBFS", means), ("length, s", lengths)):
        expected = [np.percentile(values, share) for share in (0, 5, 50, 95, 100)]
        np.testing.assert_allclose([float(cell) for cell in rows[name]], expected, atol=0.02)


def test_what_was_not_read_is_said(folder: Path) -> None:
    report = (folder / "report.md").read_text()
    assert "Files of other kinds were left alone: 1 .txt." in report
    assert "24 files are in no table, such as ann/take10.wav: taken as well" in report
    assert table(report, "Dropped")[0][0] == "cleo/y.wav"
    assert table(report, "Dropped")[0][2:] == ["length", "0.020 s, shorter than 0.1 s", "0.02"]


def test_what_is_left_alone_is_counted_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_corpus(tmp_path / "src")
    for name in ("a.MP4", "b.mp4", "c.tx\nt", "d.txt", "ann/README", ".e.wav"):
        (source / name).touch()
    for number in range(20):
        (source / f"f.{number}").touch()
    (source / os.fsdecode(b"g.caf\xe9")).touch()
    for options in ([], ["--dry-run"]):
        assert prepare("folder", source, tmp_path / f"out{len(options)}", *options) == 0
        line = next(each for each in capsys.readouterr().out.splitlines() if "left alone" in each)
        assert line.strip().startswith("Files of other kinds were left alone: 2 .mp4, 1 .0, 1 .1, ")
        assert line.endswith(", 14 of 14 more kinds")
    assert line.strip() + "." in (tmp_path / "out0/report.md").read_text().replace("\\", "")


def test_sources_are_counted_by_rate_channels_format_and_bandwidth(tmp_path: Path) -> None:
    source = make_corpus(tmp_path / "src", speakers=["ann"], seconds=0.5)
    write(source / "a.flac", noise(3, 8_000, seed=50), 8_000, subtype="PCM_24")
    write(source / "b.ogg", np.stack([noise(3, 44_100, seed=51)] * 2, axis=1), 44_100)
    write(source / "silent.wav", np.zeros(16_000))
    (source / "broken.wav").write_text("no audio")
    assert prepare("folder", source, tmp_path / "out", "--test-fraction", 0) == 0
    section = (tmp_path / "out/report.md").read_text().split("## Sources\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    found = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows}
    assert found.pop("16000 Hz") == ["7", "0.07 min"]
    assert (found.pop("8000 Hz"), found.pop("44100 Hz")) == (["1", "0.05 min"], ["1", "0.05 min"])
    assert (found.pop("1"), found.pop("2")) == (["8", "0.12 min"], ["1", "0.05 min"])
    assert found.pop("WAV PCM_16") == ["7", "0.07 min"]
    assert (found.pop("FLAC PCM_24"), found.pop("OGG VORBIS")) == (["1", "0.05 min"], ["1", "0.05 min"])
    assert found.pop("up to 4 kHz") == ["1", "0.05 min"]
    assert found.pop("up to 8 kHz") == ["7", "0.10 min"]
    assert found.keys() == {"sample rate", "channels", "format", "bandwidth"}


def test_flaws_are_counted_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_corpus(tmp_path / "src")
    write(source / "loud.wav", np.clip(1.5 * np.sin(np.arange(4_800) / 20), -1, 1))
    shifted = noise(0.3, seed=1)
    write(source / "shifted.wav", shifted - shifted.mean() + 0.25)
    (source / "wrapped.wav").write_bytes(wav(tones(), len(tones())))
    (source / "notes.txt").write_text("read by nobody")
    (source / "film.MOV").write_text("read by nobody")
    assert prepare("folder", source, tmp_path / "out", "--test-fraction", 0) == 0
    report = (tmp_path / "out/report.md").read_text()
    rows = {row[0]: row[2:] for row in table(report, "Flaws")}
    assert rows.keys() == {"loud.wav", "shifted.wav", "wrapped.wav"}
    assert rows["wrapped.wav"] == ["length", "its header says 0.50 s, 1.00 s are there"]
    assert rows["shifted.wav"] == ["offset", "+0.250 of full scale"]
    assert rows["loud.wav"][0] == "clipped"
    assert "1 x clipped: 3 samples in a row and more stand at full scale" in report
    said = capsys.readouterr().out
    assert "1 recording kept with a flaw: clipped" in said
    assert "1 recording kept with a flaw: offset" in said
    assert "Files of other kinds were left alone: 1 .mov, 1 .txt\n" in said


def test_a_corpus_without_flaws_says_so(folder: Path) -> None:
    assert "## Flaws\n\nNo source has one." in (folder / "report.md").read_text()


def test_the_picture_is_a_picture(folder: Path) -> None:
    picture = image.imread(io.BytesIO((folder / "report.png").read_bytes()))
    assert picture.shape[0] > 500
    assert picture.shape[1] > 800
    assert picture[..., :3].std() > 0.05


@pytest.mark.slow
def test_names_stay_text_in_tables(tmp_path: Path) -> None:
    source = make_corpus(tmp_path / "src")
    for speaker in ("a|b", "$x_1$", "<b>", "日本", "very " * 20):
        write(source / speaker / "1.wav", noise(0.3, seed=len(speaker)))
    (source / "a|b" / "`x`|.wav").write_text("no audio")
    assert prepare("folder", source, tmp_path / "out", "--test-fraction", 0) == 0
    report = (tmp_path / "out/report.md").read_text()
    assert "| a\\|b |" in report
    assert "| \\<b\\> |" in report
    assert "| a\\|b/\\`x\\`\\|.wav |" in report
    assert (tmp_path / "out/report.png").stat().st_size > 10_000


def test_many_speakers_fit_into_the_picture(tmp_path: Path) -> None:
    source = make_corpus(
        tmp_path / "src", speakers=[f"p{number}" for number in range(40)], each=2, seconds=0.15
    )
    assert prepare("folder", source, tmp_path / "out") == 0
    assert len(table((tmp_path / "out/report.md").read_text(), "Speakers")) == 40
