"""The demo: small, licensed, attributed, and enough to train on."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import soundfile

from data_prep.corpora import DEMO, read_corpus
from data_prep.options import Options
from tests.data_prep.corpus import entries, prepare
from wavenet_pl.shards.index import load_index

LICENCES = {
    "allison_en": "CC-BY-SA-3.0",
    "carlo_it": "CC-BY-3.0",
    "ivrvoice_ru": "CC-BY-3.0",
    "june_fr": "CC-BY-SA-3.0",
}


def rows() -> list[dict[str, str]]:
    with open(DEMO / "metadata.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_it_stays_within_its_allowance() -> None:
    assert sum(path.stat().st_size for path in DEMO.rglob("*.flac")) <= 14 * 2**20


def test_every_file_is_listed_with_speaker_source_and_licence() -> None:
    files = {path.relative_to(DEMO).as_posix() for path in DEMO.rglob("*") if path.is_file()}
    texts = {"metadata.csv", "LICENSES.md", "licenses/asterisk-core-sounds.txt"}
    assert {row["file"] for row in rows()} == files - texts
    for row in rows():
        assert row["file"].startswith(row["speaker"] + "/")
        assert row["licence"] == LICENCES[row["speaker"]]
        assert re.match(r"asterisk-core-sounds-\w\w-g722: usr/share/asterisk/sounds/", row["source"])


def test_every_voice_is_attributed() -> None:
    page = (DEMO / "LICENSES.md").read_text()
    for speaker, licence in LICENCES.items():
        line = next(line for line in page.splitlines() if line.startswith(f"| `{speaker}`"))
        assert "©" in line
        assert licence.removesuffix("-3.0").replace("CC-", "CC ") + " 3.0" in line
    text = (DEMO / "licenses/asterisk-core-sounds.txt").read_text()
    for name in (
        "Allison Smith",
        "June Wallack",
        "Carlo Flora",
        "Maxim Topal",
        "License: CC-BY-SA-3.0",
        "License: CC-BY-3.0",
    ):
        assert name in text


def test_recordings_are_utterances_at_one_rate() -> None:
    for row in rows():
        info = soundfile.info(DEMO / row["file"])
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        assert 1 <= info.duration <= 16


def test_one_voice_is_long_enough_to_resynthesise_and_the_others_have_about_the_same_share() -> None:
    seconds = dict.fromkeys(LICENCES, 0.0)
    for row in rows():
        seconds[row["speaker"]] += soundfile.info(DEMO / row["file"]).duration
    assert seconds.pop("allison_en") > 7 * 60
    assert min(seconds.values()) > 0.75 * max(seconds.values()) > 45


def test_every_recording_has_a_language() -> None:
    assert all(row["lang"] == row["speaker"].rpartition("_")[2] for row in rows())


@pytest.mark.slow
def test_its_licences_go_with_the_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare("demo", tmp_path / "out") == 0
    found = entries(tmp_path / "out").values()
    assert len(found) == len(rows())
    assert all(entry["licence"] == LICENCES[entry["speaker"]] for entry in found)
    report = (tmp_path / "out/report.md").read_text()
    assert all(f"- `{speaker}`: ©" in report for speaker in LICENCES)
    assert load_index(tmp_path / "out").labels.tables == {
        "speaker": tuple(sorted(LICENCES)), "lang": ("en", "fr", "it", "ru"),
    }  # fmt: skip
    for split in ("train", "val", "test"):
        assert {entry["speaker"] for entry in found if entry["split"] == split} == set(LICENCES)
    assert f"0 of {len(rows())} sources dropped" in capsys.readouterr().out


def test_it_is_found_wherever_the_package_lies() -> None:
    corpus = read_corpus(Options(corpus="demo"), None, Path("anywhere"))
    assert all(source.exists and not source.name.startswith("/") for source in corpus.sources)
