"""What was read last is not read again, also while it is on its way; what failed is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from wavenet_pl.shards.kept import Kept


def test_the_last_are_kept_up_to_some_bytes_and_the_last_whatever_it_takes() -> None:
    kept, reads = Kept(10, len), []

    def get(key: str, size: int) -> None:
        assert kept.get(key, lambda: reads.append(key) or bytes(size)) == bytes(size)

    for key, size in (("a", 4), ("b", 4), ("a", 4), ("b", 4)):
        get(key, size)
    assert reads == ["a", "b"]
    get("c", 4)  # a goes, which was asked for least recently
    get("b", 4)
    get("a", 4)
    assert reads == ["a", "b", "c", "a"]
    get("large", 99)
    get("large", 99)
    get("b", 4)
    assert reads == ["a", "b", "c", "a", "large", "b"]


def test_who_asks_meanwhile_waits_for_the_same_answer() -> None:
    kept, begun, go, reads = Kept(10, len), threading.Event(), threading.Event(), []

    def read() -> bytes:
        reads.append(1)
        begun.set()
        assert go.wait(10)
        return b"x"

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(kept.get, "key", read) for _ in range(4)]
        assert begun.wait(10)
        go.set()
        assert [answer.result() for answer in answers] == [b"x"] * 4
    assert len(reads) == 1


def test_what_failed_is_asked_for_anew() -> None:
    kept = Kept(10, len)

    def fail() -> bytes:
        raise OSError("gone")

    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            kept.get("key", fail)
    assert kept.get("key", lambda: b"back") == b"back"
