"""docs/formats.md as a test: each piece of Python on it reads real files, and prints what the page says."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.small import small_config, small_model
from wavenet_pl.config.training import SamplesConfig
from wavenet_pl.model import Model
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.runs.weights import encode_weights
from wavenet_pl.shards.labels import Labels
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.training.callbacks.clip_sets import write_clips
from wavenet_pl.training.callbacks.clips import ClipPair, Prompt
from wavenet_pl.training.callbacks.samples import describe_clips
from wavenet_pl.training.module import checkpoint_of

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "tests/stored"
PAGE = (ROOT / "docs/formats.md").read_text()
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", PAGE, flags=re.MULTILINE | re.DOTALL
)
RATE = 8_000
LABELS = Labels({"speaker": ("anna", "ben")})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page reads, under the names that it has there."""
    folder = tmp_path_factory.mktemp("formats")
    for stored, name in (
        ("set", "data/mine"),
        ("runs", "runs"),
        ("exports/speaker", "shared"),
        ("delta", "runs/dora-embedding-4d5e6f"),
    ):
        shutil.copytree(STORED / stored, folder / name)
    write_some_clips(folder / "runs/speaker-affaaa/clips")
    return folder


def write_some_clips(folder: Path) -> None:
    """A set of clips of noise, written as a training does it."""
    random = np.random.default_rng(0)
    recorded, free, forced = (random.uniform(-0.5, 0.5, 400).astype(np.float32) for _ in range(3))
    prompt = Prompt("rec-00004", 0, recorded, {})
    pair = ClipPair(free, forced, bits=8.0, entropy=7.9, real_time_factor=2.0, engine="reference")
    config = SamplesConfig(count=1, seconds=0.05, prompt_seconds=0.01)
    rows = describe_clips(2, [prompt], ["speaker anna"], [pair], config, RATE)
    write_clips(folder, 2, rows, RATE)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset closes no file
@pytest.mark.parametrize(
    ("program", "printed"), EXAMPLES, ids=[str(number) for number in range(len(EXAMPLES))]
)
def test_each_example_prints_what_the_page_says(
    program: str, printed: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "docs/formats.md", "exec"), {"__name__": "example"})
    assert out.getvalue() == printed


def test_there_is_an_example_for_every_file_of_the_table() -> None:
    """Each section that the first table leads to has one, but for that of the run folder, which is a list."""
    table = PAGE.split("\n## ")[0]
    for anchor in re.findall(r"\]\(#([\w-]+)\)", table):
        [section] = [each for each in PAGE.split("\n## ")[1:] if _anchor(each) == anchor]
        assert ("```python" in section) != (anchor == "the-run-folder"), anchor


def _anchor(section: str) -> str:
    return section.splitlines()[0].lower().replace(" ", "-")


def section_of(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def new_model() -> Model:
    config = small_config("nowhere", "model.kind=speaker")
    return Model(config, sample_rate=RATE, index_fingerprint="0" * 64, labels=LABELS)


def test_what_is_written_today_has_the_names_of_the_page() -> None:
    """The examples read what an earlier version wrote; its labels had other names."""
    checkpoint = checkpoint_of(new_model(), step=3)
    ours = checkpoint["wavenet_pl"]
    said = section_of("A checkpoint")
    assert {"state_dict", "global_step", "wavenet_pl"} <= set(checkpoint)
    for name in (*ours, *ours["labels"]):
        assert f"`{name}`" in said, name
    assert ours["labels"] == {"tables": {"speaker": ["anna", "ben"]}, "frames": {}}


def test_the_header_of_an_export_has_the_fields_of_the_page(tmp_path: Path) -> None:
    content = encode_weights(new_model(), step=3)
    size = int.from_bytes(content[:8], "little")  # as the format of safetensors has it
    header = json.loads(content[8 : 8 + size])["__metadata__"]
    assert set(header) == {"wavenet_pl"}
    said = section_of("An export")
    for name in json.loads(header["wavenet_pl"]):
        assert f"`{name}`" in said, name


def test_everything_in_a_run_folder_is_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunFolder(tmp_path / "runs/small-1a2b3c")
    run.lock().close()
    run.create(small_config("nowhere"))
    there = {path.name for path in (*run.path.iterdir(), *(STORED / "runs/speaker-affaaa").iterdir())}
    said = set(re.findall(r"`([\w.]+?)/?`", section_of("The run folder")))
    assert there <= said, there - said


def test_every_number_of_a_stored_run_is_on_the_page() -> None:
    said = section_of("Numbers of a run")
    for path in STORED.glob("runs/*/metrics.jsonl"):
        for name in {name for row in read_metrics(path) for name in row}:
            general = re.sub(r"^(val/bits_shuffled|val/gap)/.*", r"\1/NAME", name)
            assert f"`{general}`" in said, name


def test_clips_have_the_fields_of_the_page(files: Path) -> None:
    [first, *others] = read_metrics(files / "runs/speaker-affaaa/clips/step-000000002/clips.jsonl")
    said = section_of("Clips").split("A field that does not apply")[0]
    assert all(set(row) == set(first) for row in others)
    assert set(first) == {
        name
        for row in re.findall(r"^\| (`.*?) \|", said, re.MULTILINE)
        for name in re.findall("`(.*?)`", row)
    }


def test_a_checksum_is_of_the_form_that_sha256sum_reads() -> None:
    for path in STORED.glob("runs/*/checkpoints/*.sha256"):
        digest, name = path.read_text().rstrip("\n").split("  ")
        assert name == path.name.removesuffix(".sha256")
        assert digest == hashlib.sha256(path.with_name(name).read_bytes()).hexdigest()


def test_weights_are_named_as_the_page_says() -> None:
    assert {name.split(".")[0] for name in new_model().state_dict()} == {"network", "conditioner"}
    assert {name.split(".")[0] for name in small_model().state_dict()} == {"network"}
