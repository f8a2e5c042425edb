"""Labels: kept as plain values, read back with suspicion, and compared before numbers are used."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from wavenet_pl.errors import UserError
from wavenet_pl.shards.labels import Labels, is_name, spec_fingerprint

NAMES = {"speaker": ("anna", "ben"), "tags": ("calm",)}
F0 = {"hop_length": 80, "mean": [120.5], "std": [31.0]}
LABELS = Labels(NAMES, {"f0": F0, "notes": {"hop_length": 32}})


def test_they_come_back_from_what_a_checkpoint_keeps() -> None:
    assert Labels.read(LABELS.to_plain()) == LABELS
    assert Labels.read(json.loads(json.dumps(LABELS.to_plain()))) == LABELS
    assert Labels.read(Labels().to_plain()) == Labels()


def test_a_table_without_names_is_left_out() -> None:
    assert Labels.read({"tables": {"speaker": [], "tags": ["calm"]}, "frames": {}}) == Labels(
        {"tags": ("calm",)}
    )


def test_a_model_keeps_those_that_it_is_told() -> None:
    assert LABELS.of(["speaker"]) == Labels({"speaker": ("anna", "ben")})
    assert LABELS.of(["tags", "f0", "mel"]) == Labels({"tags": ("calm",)}, {"f0": F0})


@pytest.mark.parametrize(
    "changed",
    [
        None, 7, [], {"more": 1}, {"tables": []}, {"tables": {"speaker": "anna"}},
        {"tables": {"speaker": ["anna", "anna"]}}, {"tables": {"tags": [1]}}, {"tables": {"tags": {"calm": 0}}},
        {"tables": {"../tags": ["calm"]}}, {"tables": {7: ["calm"]}}, {"frames": []}, {"frames": {"": {}}},
        {"frames": {"a.b": {}}}, {"frames": {"mel": 3}}, {"tables": {f"t{n}": ["a"] for n in range(1001)}},
    ],
)  # fmt: skip
def test_anything_else_is_refused(changed: Any) -> None:
    plain = {**LABELS.to_plain(), **changed} if isinstance(changed, dict) else changed
    with pytest.raises(ValueError, match="its "):
        Labels.read(plain)


@pytest.mark.parametrize(
    "spec",
    [{"hop": "80"}, {"hop": True}, {"hop": None}, {7: 1}, {"mean": [1.0, "x"]}, {"mean": [1.0] * 4097}],
)
def test_settings_that_are_no_numbers_are_refused(spec: Any) -> None:
    with pytest.raises(ValueError, match="f0 has .*, expected numbers"):
        Labels.read({"tables": {}, "frames": {"f0": spec}})


def test_names_of_tables_and_frames_are_plain_words() -> None:
    assert all(map(is_name, ("accent", "F0", "native language", "a-b_2")))
    assert not any(map(is_name, ("", "0f", "a.b", "a/b", "ä", "a\n", "_a", "a" * 101)))


def test_equal_ones_may_be_used_for_one_another() -> None:
    LABELS.check_same(replace(LABELS), "the run", "the data")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {**NAMES, "speaker": ("anna", "cleo")},
            r"the run has the speaker names \(2, row 1 is 'ben'\), the data has \(2, row 1 is 'cleo'\)",
        ),
        (
            {**NAMES, "speaker": ("anna",)},
            r"the run has the speaker names \(2, row 1 is 'ben'\), the data has \(1, row 0",
        ),
        (
            {"speaker": ("anna", "ben")},
            r"the run has the tags names \(1, row 0 is 'calm'\), the data has \(none\)",
        ),
        (
            {**NAMES, "accent": ("scots",)},
            r"the run has the accent names \(none\), the data has \(1, row 0 is 'scots'\)",
        ),
    ],
)
def test_both_sides_are_named_where_names_differ(other: dict[str, tuple[str, ...]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        LABELS.check_same(Labels(other, LABELS.frames), "the run", "the data")


@pytest.mark.parametrize("theirs", [None, {**F0, "mean": [120.6]}, {**F0, "hop_length": 160}])
def test_both_sides_are_named_where_frames_differ(theirs: dict[str, Any] | None) -> None:
    others = {"notes": LABELS.frames["notes"], **({"f0": theirs} if theirs else {})}
    with pytest.raises(UserError) as caught:
        LABELS.check_same(Labels(NAMES, others), "the run", "the data")
    shown = "none" if theirs is None else f"{theirs} ({spec_fingerprint('f0', theirs)})"
    assert str(caught.value) == (
        f"the run has f0 frames {F0} ({spec_fingerprint('f0', F0)}), the data has {shown}, expected equal ones; "
        "prepare the data with the same settings"
    )
