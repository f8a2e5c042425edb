"""Labels: kept as plain values, read back with suspicion, and compared before numbers are used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from wavenet_pl.errors import UserError
from wavenet_pl.shards.labels import Labels

LABELS = Labels(("anna", "ben"), ("calm",))


def test_they_come_back_from_what_a_checkpoint_keeps() -> None:
    assert Labels.read(LABELS.to_plain()) == LABELS
    assert Labels.read(Labels().to_plain()) == Labels()


def test_a_model_keeps_those_that_it_is_told() -> None:
    assert LABELS.of(["speaker"]) == Labels(speakers=("anna", "ben"))
    assert LABELS.of(["tags", "notes"]) == Labels(tags=("calm",))


@pytest.mark.parametrize(
    "changed",
    [
        None, 7, [], {"speakers": "anna"}, {"speakers": ["anna", "anna"]},
        {"tags": [1]}, {"tags": {"calm": 0}}, {"features": []}, {"features": {"smell": {}}}, {"more": 1},
    ],
)  # fmt: skip
def test_anything_else_is_refused(changed: Any) -> None:
    plain = {**LABELS.to_plain(), **changed} if isinstance(changed, dict) else changed
    with pytest.raises(ValueError, match="its "):
        Labels.read(plain)


def test_equal_ones_may_be_used_for_one_another() -> None:
    LABELS.check_same(replace(LABELS), "the run", "the data")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            Labels(("anna", "cleo"), ("calm",)),
            r"the run has the speakers \(2, row 1 is 'ben'\), the data has \(2, row 1 is 'cleo'\)",
        ),
        (
            Labels(("anna",), ("calm",)),
            r"the run has the speakers \(2, row 1 is 'ben'\), the data has \(1, row 0",
        ),
        (Labels(("anna", "ben")), r"the run has the tags \(1, row 0 is 'calm'\), the data has \(none\)"),
    ],
)
def test_both_sides_are_named_where_they_differ(other: Labels, said: str) -> None:
    with pytest.raises(UserError, match=said):
        LABELS.check_same(other, "the run", "the data")
