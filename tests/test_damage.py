"""Damage of every kind, and who finds it: `prepare` in a source, `index` in a shard, training in what was indexed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from benchmarks.decode import EXPLAINED
from data_prep.flaws import FLAWS
from tests.audio.files import claiming
from tests.commands.test_index import run, table
from tests.data_prep.corpus import dropped, make_corpus, noise, prepare, tally
from tests.data_prep.test_report import table as report_table
from tests.processes import losses, the_run, train
from tests.shards import damages
from tests.shards.damages import (
    audio_bytes,
    flipped,
    metadata_bytes,
    overwrite,
    wav_bytes,
    write_tar,
    write_unchecked_index,
)
from tests.shards.made import SAMPLE_RATE
from wavenet_pl.audio.formats import ODDITIES
from wavenet_pl.audio.resampling import resample
from wavenet_pl.config.training import DataConfig
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.data.pipeline import Share, build_pipeline
from wavenet_pl.errors import BadDataError
from wavenet_pl.inputs import known
from wavenet_pl.shards.damage import REMEDIES, Damage

PAGE = Path(__file__).resolve().parents[1] / "docs/damage.md"
FRAMES = 2_000  # of a sound recording


class Finds(NamedTuple):
    """Who finds a damage, and what it is called there; empty where nobody does, or there is nothing to find."""

    prepare: str = ""
    """A rule of `data_prep.rules.RULES`, or a flaw."""
    index: str = ""
    """A kind of `REMEDIES`, or a flaw."""
    training: str = ""
    """A kind of `REMEDIES`."""

    @property
    def of_form(self) -> bool:
        """Whether it is a flaw of a file's form: it can be read, and is taken."""
        return self.prepare in {*ODDITIES, *(flaw for kind in known.FRAMES for flaw in kind.flaw_help)}


TABLE = {
    # in the audio
    "truncated WAV": Finds("decode", "cut audio", "cut audio"),
    "truncated FLAC": Finds("decode", "audio", "audio"),
    "flipped bit in a FLAC": Finds("decode", "audio", "changed"),
    "flipped bit in a WAV": Finds("", "changed", "changed"),
    "empty member": Finds("decode", "audio", "audio"),
    "HTML as audio": Finds("decode", "audio", "audio"),
    "samples that are NaN": Finds("finite", "not finite", "not finite"),
    "wrong sample rate": Finds("resample", "sample rate", "sample rate"),
    "wrong channels": Finds("mono", "channels", "channels"),
    "header of 1 Hz": Finds("decode", "audio", "audio"),
    "header of 200 hours": Finds("decode", "cut audio", "changed"),
    "silence": Finds("silence"),
    "offset": Finds("offset"),
    "clipped": Finds("clipped"),
    "channels that cancel": Finds("channels cancel", "channels", "channels"),
    "silent channel": Finds("silent channel", "channels", "channels"),
    "narrow band": Finds("narrow band"),
    "trimmed to a beep": Finds("mostly dropped"),
    "copy of another": Finds("copy"),
    "too short": Finds("length"),
    # in the form of a file that can be read; a test of each reader has each of them
    "another length than its header says": Finds("length", "length"),
    "several streams in one file": Finds("joined", "joined"),
    "an end that is cut or not marked": Finds("unfinished", "unfinished"),
    "bytes that are no audio": Finds("foreign bytes", "foreign bytes"),
    "a header that contradicts itself": Finds("header", "header"),
    "frames that cannot be read": Finds("broken frames", "broken frames"),
    "beyond full scale": Finds("beyond full scale", "beyond full scale"),
    # in notes
    "MIDI that breaks the format": Finds("malformed"),
    "notes of keys that there are not": Finds("beyond"),
    "notes that are early or late": Finds("shifted"),
    "notes of another piece": Finds("unheard"),
    # beside the audio
    "missing JSON": Finds("", "no JSON"),
    "broken JSON": Finds("", "broken JSON"),
    "missing speaker": Finds("", "no name"),
    "speaker that is no name": Finds("", "metadata"),
    "missing audio": Finds("", "no audio"),
    "key with a dot": Finds("", "dotted key"),
    "key with other signs": Finds("", "bad key"),
    "duplicate key": Finds("", "duplicate"),
    # in the shard
    "interleaved": Finds("", "interleaved", "moved"),
    "broken tar header": Finds("", "broken header", "broken header"),
    "truncated tar": Finds("", "cut member", "cut shard"),
    "missing shard": Finds("", "missing shard", "missing shard"),
    "empty shard": Finds("", "empty shard", "cut shard"),
    "unreadable shard": Finds("", "unreadable shard", "unreadable shard"),
    "shard written anew": Finds("", "", "moved"),
}
"""What the page says, too."""

SINE = np.sin(np.arange(FRAMES) / 20)
AUDIO: dict[str, tuple[str, bytes]] = {
    "truncated WAV": ("wav", audio_bytes(FRAMES)[:-600]),
    "truncated FLAC": ("flac", audio_bytes(FRAMES, "flac")[:-600]),
    "flipped bit in a FLAC": ("flac", flipped(audio_bytes(FRAMES, "flac"))),
    "flipped bit in a WAV": ("wav", flipped(audio_bytes(FRAMES))),
    "empty member": ("wav", b""),
    "HTML as audio": ("flac", b"<html>404 Not Found</html>" * 99),
    "samples that are NaN": ("wav", wav_bytes(np.where(np.arange(FRAMES) == 700, np.nan, SINE / 2))),
    "wrong sample rate": ("wav", audio_bytes(FRAMES, rate=16_000)),
    "wrong channels": ("wav", audio_bytes(FRAMES, channels=2)),
    "header of 1 Hz": ("wav", audio_bytes(FRAMES, rate=1)),
    "header of 200 hours": ("flac", claiming(audio_bytes(FRAMES, "flac"), 200 * 3600 * SAMPLE_RATE)),
    "silence": ("wav", wav_bytes(np.zeros(FRAMES), "PCM_16")),
    "offset": ("wav", wav_bytes(SINE / 4 + 0.2, "PCM_16")),
    "clipped": ("wav", wav_bytes(np.clip(1.5 * SINE, -1, 1), "PCM_16")),
    "beyond full scale": ("wav", wav_bytes(20_000 * SINE)),
    "channels that cancel": ("wav", wav_bytes(np.stack([SINE / 2, -0.9 * SINE / 2], axis=1))),
    "silent channel": ("wav", wav_bytes(np.stack([0 * SINE, SINE / 2], axis=1))),
    "narrow band": ("wav", wav_bytes(resample(noise(FRAMES / 4_000, 4_000), 4_000, 8_000))),
    "trimmed to a beep": ("wav", wav_bytes(np.where(np.arange(5_000) < 900, noise(5_000 / 16_000), 0))),
    "copy of another": ("wav", audio_bytes(FRAMES, seed=7)),
    "too short": ("wav", audio_bytes(40)),
}
"""Damage -> extension, and a file that has it."""
AFTER = ("flipped bit in a FLAC", "flipped bit in a WAV", "header of 200 hours")
"""What happens to a recording that was indexed while it was sound. The others were in an index that nobody checked."""
SHARDS: dict[str, Callable[[Path], set[str]]] = {
    "interleaved": damages.interleave,
    "broken tar header": damages.break_header,
    "truncated tar": damages.cut_payload,
    "missing shard": damages.remove,
    "empty shard": damages.empty,
    "unreadable shard": damages.replace_by_loop,
    "shard written anew": damages.write_backwards,
}
"""Damage -> what does it to a shard of four recordings, and tells which are lost."""
GOOD = metadata_bytes(speaker="anna")


def key_of(damage: str) -> str:
    return damage.replace(" ", "-")


def sound(extension: str, seed: int = 0) -> bytes:
    return audio_bytes(FRAMES, extension, seed=seed)


def write_shard(folder: Path, name: str, members: dict[str, bytes]) -> None:
    write_tar(folder / name, members.items())


def write_sound_shards(folder: Path) -> None:
    """Four recordings for each damage of a whole shard, and some to train on and to validate on."""
    for name in [*(f"train/{key_of(damage)}" for damage in SHARDS), "train/sound", "val/sound"]:
        members = {}
        for number in range(4):
            key = f"{name.replace('/', '-')}-{number}"
            members |= {f"{key}.flac": sound("flac", seed=number), f"{key}.json": GOOD}
        write_shard(folder, f"{name}.tar", members)


def write_audio_shard(folder: Path, *, damaged: Callable[[str], bool]) -> None:
    """One recording for each damage of an audio file, which has it or not yet."""
    members = {}
    for damage, (extension, content) in AUDIO.items():
        key = key_of(damage)
        members |= {
            f"{key}.{extension}": content if damaged(damage) else sound(extension),
            f"{key}.json": GOOD,
        }
    write_shard(folder, "train/audio.tar", members)


# --- prepare ---


def test_prepare_finds_what_is_wrong_with_audio(tmp_path: Path) -> None:
    source, out = make_corpus(tmp_path / "src"), tmp_path / "out"
    for damage, (extension, content) in AUDIO.items():
        (source / f"{key_of(damage)}.{extension}").write_bytes(content)
    (source / "another.wav").write_bytes(AUDIO["copy of another"][1])
    options = ("--sample-rate", 8_000, "--test-fraction", 0, "--val-fraction", 0.2, "--trim")
    assert prepare("folder", source, out, *options) == 0
    # The corpus has 12 sound recordings of 16,000 Hz.
    assert tally(out, "resample")["recordings_changed"] == 12 + 1
    assert tally(out, "mono")["recordings_changed"] == 3
    mended = {"wrong sample rate": "resample", "wrong channels": "mono"}
    flaws = {row[0]: row[2] for row in report_table((out / "report.md").read_text(), "Flaws")}
    rules = {source: rule for source, (rule, _) in dropped(out).items()}
    names = {damage: f"{key_of(damage)}.{extension}" for damage, (extension, _) in AUDIO.items()}
    found = {
        damage: rules.get(name) or flaws.get(name) or mended.get(damage, "") for damage, name in names.items()
    }
    assert found == {damage: TABLE[damage].prepare for damage in AUDIO}
    assert rules.keys() | flaws.keys() <= set(names.values())


# --- index ---


def test_index_finds_what_is_wrong_with_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It knows from an older index what there was; each damage has its key, or its shard where no key can be told."""
    write_sound_shards(tmp_path)
    write_audio_shard(
        tmp_path, damaged=lambda damage: not TABLE[damage].index
    )  # these are not for it to find
    assert run(capsys, tmp_path)[0] == 0
    write_audio_shard(tmp_path, damaged=lambda damage: True)
    wav = sound("wav")
    write_tar(
        tmp_path / "train/beside.tar",
        [
            ("missing-JSON.wav", wav),
            ("broken-JSON.wav", wav),
            ("broken-JSON.json", b'{"speaker": "an'),
            ("missing-speaker.wav", wav),
            ("missing-speaker.json", b"{}"),
            ("speaker-that-is-no-name.wav", wav),
            ("speaker-that-is-no-name.json", metadata_bytes(speaker=["anna"])),
            ("missing-audio.json", GOOD),
            ("key-with.a-dot.wav", wav),
            ("key-with.a-dot.json", GOOD),
            ("key with other signs.wav", wav),
            ("key with other signs.json", GOOD),
            ("duplicate-key.wav", wav),
            ("duplicate-key.json", GOOD),
            ("sound-beside.wav", wav),
            ("sound-beside.json", GOOD),
            ("duplicate-key.wav", wav),
            ("duplicate-key.json", GOOD),
        ],
    )
    lost = {
        f"train/{key_of(damage)}.tar": SHARDS[damage](tmp_path / f"train/{key_of(damage)}.tar")
        for damage in SHARDS
    }
    code, out, err = run(capsys, tmp_path)
    assert code == 2
    assert err.count("\n") == 1
    rows = table(out)
    audio = {key: kind for (shard, key), kind in rows.items() if shard == "train/audio.tar"}
    refused = {damage for damage in AUDIO if TABLE[damage].index in REMEDIES}
    assert audio == {key_of(damage): TABLE[damage].index for damage in refused}
    beside = {key: kind for (shard, key), kind in rows.items() if shard == "train/beside.tar"}
    renamed = {"key with a dot": "key-with.a-dot", "key with other signs": "key with other signs"}
    assert beside == {
        renamed.get(damage, key_of(damage)): finds.index
        for damage, finds in TABLE.items()
        if damage not in (*AUDIO, *SHARDS) and not finds.of_form
    }
    for damage in SHARDS:
        shard = f"train/{key_of(damage)}.tar"
        kinds = {kind for (where, _), kind in rows.items() if where == shard}
        named = {key for where, key in rows if where == shard} - {"?"}
        if TABLE[damage].index:
            assert TABLE[damage].index in kinds
            assert named == lost[shard], damage
        else:
            assert not kinds
    assert {shard for shard, _ in rows} <= {"train/audio.tar", "train/beside.tar", *lost}

    assert run(capsys, tmp_path, "--skip-damaged")[0] == 0
    data = data_of(tmp_path)
    for split in data.splits.values():
        assert not [
            position for position in range(len(split)) if isinstance(split.try_read(position), Damage)
        ]


# --- training ---


def data_of(folder: Path) -> AudioDataModule:
    config = DataConfig(path=str(folder), batch_size=4, crop_samples=1_000, num_workers=0)
    return AudioDataModule(config, receptive_field=33, seed=0)


Met = tuple[str, str, str, str]
"""Split, shard, key, kind."""


@pytest.fixture(scope="module")
def damaged_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[Met]]:
    """A set that was damaged in every way, before or after it was indexed, and what training has to meet in it."""
    folder = tmp_path_factory.mktemp("damaged") / "set"
    write_sound_shards(folder)
    write_audio_shard(folder, damaged=lambda damage: damage not in AFTER)
    write_unchecked_index(folder, FRAMES, **{"too-short": 40, "trimmed-to-a-beep": 5_000})
    for damage in AFTER:
        extension, content = AUDIO[damage]
        overwrite(folder / "train/audio.tar", f"{key_of(damage)}.{extension}", content)
    overwrite(folder / "val/sound.tar", "val-sound-1.flac", flipped(sound("flac", seed=1)))
    met = {("val", "val/sound.tar", "val-sound-1", "changed")}
    met |= {("train", "train/audio.tar", key_of(d), TABLE[d].training) for d in AUDIO if TABLE[d].training}
    for damage in SHARDS:
        shard = f"train/{key_of(damage)}.tar"
        lost = SHARDS[damage](folder / shard)
        if damage == "interleaved":
            lost -= {f"train-{key_of(damage)}-0"}  # the first member alone is where it was
        met |= {("train", shard, key, TABLE[damage].training) for key in lost}
    return folder, met


def test_batches_name_each_damaged_recording(damaged_set: tuple[Path, set[Met]]) -> None:
    folder, wanted = damaged_set
    data = data_of(folder)
    met: set[Met] = set()
    counted: Counter[str] = Counter()
    for split in ("train", "val"):
        plan = data.plan(split, 0)
        for batch in build_pipeline(data.conditions(split, 0), plan, Share(), receptive_field=33):
            assert all(isinstance(damage, Damage) and damage.found for damage in batch["bad"])
            met |= {(split, damage.shard, damage.key, damage.kind) for damage in batch["bad"]}
            for key, count in zip(batch["keys"], batch["counted"].sum(1), strict=True):
                counted[key] += int(count)
    assert met == wanted
    lost = {key: kind for _, _, key, kind in wanted}
    for split in data.splits.values():
        for position in range(len(split)):
            row = split[position]
            if row.key not in lost:
                assert counted[row.key] == row.frames
            elif lost[row.key] not in (
                "audio",
                "cut audio",
                "not finite",
            ):  # these may come late in a recording
                assert not counted[row.key]


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_training_counts_each_damaged_recording_and_goes_on(
    damaged_set: tuple[Path, set[Met]], tmp_path: Path, devices: int
) -> None:
    folder, wanted = damaged_set
    settings = ("trainer.max_epochs=1", "data.max_bad_fraction=1", "data.num_workers=1")
    text = train(folder, tmp_path, *settings, f"trainer.devices={devices}")
    assert "finished at step" in text
    assert len(losses(tmp_path)) == data_of(folder).plan("train", 0).num_batches
    lines = (the_run(tmp_path).path / "bad_recordings.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert all(row.keys() == {"step", "split", "shard", "key", "kind", "found"} for row in rows)
    assert len(rows) == len(wanted), "each once"
    assert {(row["split"], row["shard"], row["key"], row["kind"]) for row in rows} == wanted


def test_a_message_names_recording_finding_and_remedy(damaged_set: tuple[Path, set[Met]]) -> None:
    """Whoever reads one recording, as clips do for their prompts, gets one message with the remedy."""
    data = data_of(damaged_set[0])
    split = data.splits["train"]
    messages = {}
    for position in range(len(split)):
        try:
            split.read(position)
        except BadDataError as error:
            messages[split[position].key] = (error.kind, str(error))
    for _, shard, key, kind in damaged_set[1]:
        if shard.startswith("train/"):
            assert messages[key][0] == kind
            assert messages[key][1].startswith(f"{key} in {shard} ")
            assert messages[key][1].endswith(f"; {REMEDIES[kind]}")


# --- the page ---


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of the page, without its head."""
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines[2:]]


def test_the_page_has_every_kind_with_its_remedy() -> None:
    assert {kind: remedy for kind, *_, remedy in rows_of("Kinds")} == REMEDIES
    for who in ("index", "training"):
        said = {kind for kind, _, finders, _ in rows_of("Kinds") if who in finders}
        assert {getattr(finds, who) for finds in TABLE.values()} - {""} - ODDITIES.keys() <= said
    # Frames stand beside the audio, and this page's sets have none: tests/data/test_conditions.py damages them.
    assert said - {"bad features"} == {finds.training for finds in TABLE.values()} - {""}


def test_every_flaw_is_somebodys_finding() -> None:
    """A test of each reader has those of a file's form, test_midi.py those of notes."""
    assert {finds.prepare for finds in TABLE.values()} >= FLAWS.keys()


def test_the_page_says_who_finds_what() -> None:
    found = {
        damage: [cell.replace("–", "") for cell in cells] for damage, *cells in rows_of("Who finds what")
    }
    assert found == {damage: list(finds) for damage, finds in TABLE.items()}


def test_there_are_twenty_kinds_of_damage_and_more() -> None:
    assert len(TABLE) >= 20
    assert set(AUDIO) | set(SHARDS) <= TABLE.keys()


def test_the_page_says_what_each_flaw_of_an_audio_file_means() -> None:
    rows = rows_of("Audio files of any make")
    assert ODDITIES.items() <= {(row[0], row[1]) for row in rows if len(row) == 2}


def test_the_page_explains_where_another_decoder_differs() -> None:
    assert len(EXPLAINED) <= 15
    rows = rows_of("Audio files of any make")
    assert EXPLAINED.items() <= {(row[0], row[1]) for row in rows if len(row) == 2}
