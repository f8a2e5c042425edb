"""One set or several: what they are together, and which do not go together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.shards.made import write_shard_set
from wavenet_pl.config.tree import from_plain, load_config, to_plain, to_yaml
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.known import check_set
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.runs.folder import signature
from wavenet_pl.shards.damage import Damage
from wavenet_pl.shards.index import load_index
from wavenet_pl.shards.shard_set import open_set


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """With equal keys and shards' names, and ben in both."""
    folder = tmp_path_factory.mktemp("two")
    ours = write_shard_set(folder / "ours", train=5, val=2, speakers=("ben", "zoe"))
    theirs = write_shard_set(folder / "theirs", train=3, val=1, test=1, speakers=("anna", "ben"), seed=1)
    return ours, theirs


def shares(*paths: Path, **more: float) -> dict[str, float]:
    return dict(zip(map(str, paths), more.values(), strict=True))


def test_a_share_of_one_set_is_the_set(two: tuple[Path, Path]) -> None:
    alone, share = open_set(two[0]), open_set({str(two[0]): 0.3})
    assert alone.fingerprint == share.fingerprint == load_index(two[0]).fingerprint
    assert alone.labels == share.labels == load_index(two[0]).labels
    assert [row.key for row in share.split("train")] == [f"rec-{number:05d}" for number in range(5)]
    config = load_config(overrides=["data.path=x"])
    assert signature(config, alone.fingerprint) == signature(config, share.fingerprint)


def test_sets_shares_and_their_order_make_the_fingerprint(two: tuple[Path, Path]) -> None:
    ours, theirs = two

    def fingerprint(*pairs: tuple[Path, float]) -> str:
        return open_set({str(path): share for path, share in pairs}).fingerprint

    first = fingerprint((ours, 0.7), (theirs, 0.3))
    assert first == fingerprint((ours, 7), (theirs, 3)) == fingerprint((ours / "../ours", 70), (theirs, 30))
    others = {
        fingerprint((ours, 0.6), (theirs, 0.4)),
        fingerprint((theirs, 0.3), (ours, 0.7)),
        fingerprint((ours, 1)),
        fingerprint((theirs, 1)),
    }
    assert len(others) == 4 and first not in others and all(len(each) == 64 for each in others)


def test_tables_are_joined_by_name_and_keys_stay_apart(two: tuple[Path, Path]) -> None:
    both = open_set(shares(*two, a=2, b=1))
    assert both.labels.tables == {"speaker": ("ben", "zoe", "anna")}
    assert both.name == f"{two[0]} + {two[1]}" and both.parts == (2, 1)
    assert set(both.splits) == {"train", "val", "test"}
    split = both.split("train")
    names = [both.labels.tables["speaker"][row] for (row,) in (each.rows["speaker"] for each in split)]
    assert names == ["ben", "zoe", "ben", "zoe", "ben", "anna", "ben", "anna"]
    assert names == [both.labels.tables["speaker"][row] for row in split.table_rows("speaker")[0]]
    keys = [each.key for each in split]
    assert (
        keys == list(split.all_keys()) and len(set(keys)) == 8 and keys[4:6] == ["1/rec-00004", "2/rec-00000"]
    )
    for position in range(8):
        path, row = (two[0], position) if position < 5 else (two[1], position - 5)
        assert np.array_equal(split.read(position), open_set(path).split("train").read(row))
    assert [len(each) for each in split.sets] == [5, 3]
    assert [each.key[0] for each in split.spread()] == ["1", "2", "1", "2", "1", "1", "2", "1"]
    assert sorted(each.key for each in split.spread()) == sorted(keys)
    alone = open_set(two[0]).split("train")
    assert alone.spread() is alone
    assert [len(both.split(name)) for name in ("val", "test")] == [3, 1]
    assert both.seconds("val") == sum(open_set(path).seconds("val") for path in two)


def test_damage_names_the_set(two: tuple[Path, Path], tmp_path: Path) -> None:
    broken = write_shard_set(tmp_path / "broken", train=4, val=1, seed=2)
    path = broken / "train/shard-000000.tar"
    path.write_bytes(path.read_bytes()[:600])
    damage = open_set(shares(two[0], broken, a=1, b=1)).split("train").try_read(5)
    assert isinstance(damage, Damage)
    assert (damage.shard, damage.key) == (f"{broken}/train/shard-000000.tar", "2/rec-00000")
    alone = open_set(broken).split("train").try_read(0)
    assert isinstance(alone, Damage)
    assert (alone.shard, alone.key) == ("train/shard-000000.tar", "rec-00000")


def test_what_does_not_go_together_is_refused_with_both_names(two: tuple[Path, Path], tmp_path: Path) -> None:
    ours, theirs = two
    fast = write_shard_set(tmp_path / "fast", train=1, val=1, sample_rate=16_000, seed=3)
    with pytest.raises(
        UserError,
        match=f"{ours} has sample rate 8000 and {fast} has 16000, expected the same in all sets of data.path; .*"
        "--sample-rate",
    ):
        open_set(shares(ours, fast, a=1, b=1))
    with pytest.raises(
        UserError, match=f"{ours} and {ours}/. hold the same recordings, expected different sets"
    ):
        open_set({str(ours): 1.0, f"{ours}/.": 1.0})
    with pytest.raises(UserError, match="gone/index.safetensors cannot be read"):
        open_set(shares(ours, tmp_path / "gone", a=1, b=1))
    nameless = write_shard_set(tmp_path / "nameless", train=1, val=1, speakers=(), seed=4)
    both = open_set(shares(ours, nameless, a=1, b=1))
    check_set(both, ())
    with pytest.raises(UserError, match=f"{nameless} has 2 of 2 recordings without a speaker"):
        check_set(both, ("speaker",))


def test_frames_are_those_of_all_sets_or_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    facts = {"window_length": 200, "num_mels": 12, "lowest_hz": 50.0, "highest_hz": 3800.0, "floor_db": -80.0}
    mels = [Mel(hop_length=hop, **facts) for hop in (50, 50, 100)]  # type: ignore[arg-type]
    folders = [
        write_shard_set(tmp_path / f"{number}", train=1, val=1, frames_beside=(mel,), seed=number)
        for number, mel in enumerate(mels)
    ]
    same = open_set(shares(folders[0], folders[1], a=1, b=1))
    assert list(same.labels.frames) == ["mel"]
    check_set(same, ("mel",))
    other = open_set(shares(folders[0], folders[2], a=1, b=1))
    assert not other.labels.frames
    check_set(other, ("speaker",))
    with pytest.raises(
        UserError, match=f"{folders[0]} has mel frames .*, {folders[2]} has .*, expected equal ones"
    ):
        check_set(other, ("mel",))
    with pytest.raises(UserError, match=f"{two[0]} has no mel frames, expected some"):
        check_set(open_set(shares(folders[0], two[0], a=1, b=1)), ("mel",))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{a: 0.7, b: 0.3}", {"a": 0.7, "b": 0.3}),
        ("{'https://host:8/a': 1, s3://b/c: 2}", {"https://host:8/a": 1.0, "s3://b/c": 2.0}),
        ("{data/x.y: 1e-1}", {"data/x.y": 0.1}),
        ("plain", "plain"),
    ],
)
def test_a_config_keeps_paths_and_shares(tmp_path: Path, text: str, path: object) -> None:
    config = load_config(overrides=[f"data.path={text}"])
    assert config.data.path == path
    assert from_plain(to_plain(config)).data.path == path
    for name, content in (("stored", to_yaml(config)), ("written", f"data:\n  path: {text}\n")):
        file = tmp_path / f"{name}.yaml"
        file.write_text(content)
        assert load_config([file]).data.path == path
    again = load_config([file], ["data.path={other: 1}"])
    assert again.data.path == {"other": 1.0}, "one mapping takes the place of another"
