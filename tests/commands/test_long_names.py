"""Names that no file system takes are refused before the work, for every file that comes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import wavenet_pl
from tests.evaluation.runs import write_run
from tests.small import small_model
from wavenet_pl import ClipRequest, cli
from wavenet_pl.commands.grammar import file_to_write
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.clip_files import write_clips
from wavenet_pl.files.durable import write_durably
from wavenet_pl.generation.draw import Draw
from wavenet_pl.runs import loading


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", small_model())


@pytest.mark.parametrize("name", ["n" * 300 + ".wav", "n" * 251 + ".wav", "n" * 300, "file/clip.flac"])
def test_generate_refuses_one_before_the_model_is_loaded(run, tmp_path, monkeypatch, capsys, name):
    """One with room for the audio alone, too: beside it lie its facts."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(loading, "load", None)
    assert cli.main(["generate", str(run), "--out", str(tmp_path / name), "--seconds", "0.02"]) == 2
    error = capsys.readouterr().err
    assert " cannot be used (" in error and "name another" in error and error.count("\n") == 1


def test_the_longest_name_with_room_for_all_is_taken(run, tmp_path):
    assert (
        cli.main(["generate", str(run), "--out", str(tmp_path / ("n" * 250 + ".wav")), "--seconds", "0.02"])
        == 0
    )
    assert {len(path.name) for path in tmp_path.glob("n*")} == {254, 255}


def test_what_a_clip_cannot_be_written_to_is_one_message(run, tmp_path):
    model, path = wavenet_pl.load(run), tmp_path / ("n" * 300 + ".wav")
    clips, engine = model.resolve([ClipRequest(seconds=0.01)]), model.build_engine()
    with pytest.raises(UserError, match="cannot be written .File name too long., expected a folder"):
        write_clips(model, clips, Draw(), engine, [path], replace=False)


@pytest.mark.parametrize("length", [250, 255, 300])
def test_a_file_that_could_not_be_written_durably_is_refused(tmp_path, length):
    with pytest.raises(
        UserError, match=r"--json .* cannot be written .File name too long., expected the name"
    ):
        file_to_write("--json", str(tmp_path / ("n" * (length - 5) + ".json")))
    write_durably(file_to_write("--json", str(tmp_path / ("n" * 200))), "numbers")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["numbers"]
