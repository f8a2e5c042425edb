"""A spool gives back what was added, and holds none of it in memory."""

from __future__ import annotations

import pickle
import tempfile
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.full_disk import full_disk
from wavenet_pl.errors import UserError
from wavenet_pl.shards.lazily import picked
from wavenet_pl.shards.spool import Spool

ITEMS = st.lists(st.one_of(st.text(max_size=9), st.tuples(st.integers(), st.binary(max_size=9))), max_size=12)


@given(ITEMS, ITEMS, st.data())
def test_items_are_what_was_added_also_while_more_are(
    first: list[object], more: list[object], data: st.DataObject
) -> None:
    spool = Spool(first)
    assert spool == first
    for item in more:
        spool.add(item)
        assert spool[-1] == item
    items = first + more
    positions = data.draw(st.lists(st.sampled_from(range(len(items))), max_size=9)) if items else []
    assert list(picked(spool, positions)) == [items[position] for position in positions]


def test_another_process_is_handed_the_items_and_not_the_file() -> None:
    spool = Spool(["a", "b", "c"])
    for handed, expected in ((spool, ("a", "b", "c")), (picked(spool, [2, 0]), ("c", "a"))):
        assert pickle.loads(pickle.dumps(handed)) == expected


def test_what_is_kept_in_memory_of_an_item_is_its_place() -> None:
    tracemalloc.start()
    spool = Spool(number.to_bytes(4, "big") * 500 for number in range(2_000))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spool[1_999] == (1_999).to_bytes(4, "big") * 500
    assert most < 2_000 * 100


def test_a_full_disk_is_named_though_the_file_has_no_name() -> None:
    with full_disk(5_000), pytest.raises(UserError, match="File too large") as raised:
        Spool([bytes(9_000)] * 9)
    assert f"cannot be written to {tempfile.gettempdir()} " in str(raised.value)
