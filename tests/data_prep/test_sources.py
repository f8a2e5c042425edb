"""Keys: plain where they can be, always legal, never twice."""

from __future__ import annotations

import string
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from data_prep.sources import Source, printable, with_keys
from wavenet_pl.shards.format import check_key
from wavenet_pl.shards.keys import part_key, source_key


def keys_of(*names: str) -> dict[str, str]:
    return {source.name: source.key for source in with_keys([Source(name=name) for name in names])}


def test_a_plain_path_is_its_own_key() -> None:
    assert keys_of("p225/utt_003-a.wav") == {"p225/utt_003-a.wav": "p225/utt_003-a"}


def test_extensions_and_letter_case_do_not_bring_two_together() -> None:
    keys = keys_of("a.wav", "a.flac", "A.wav", "b.wav")
    assert len({key.lower() for key in keys.values()}) == 4
    assert keys["b.wav"] == "b"


def test_a_key_does_not_depend_on_the_order_of_the_corpus() -> None:
    names = ["é.wav", "a b.wav", "a.b.wav", "x/y.mp3"]
    assert keys_of(*names) == keys_of(*reversed(names))


def test_no_source_has_the_key_of_a_part() -> None:
    keys = keys_of("long.wav", "long--001.wav")
    parts = {part_key(keys["long.wav"], number, 3) for number in range(3)}
    assert parts == {"long--000", "long--001", "long--002"}
    assert keys["long--001.wav"] not in parts


path_names = st.lists(
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
    ).filter(lambda part: part not in (".", "..")),
    min_size=1,
    max_size=4,
).map("/".join)
tricky = st.text(string.ascii_letters + ".-_ /é", min_size=1, max_size=8).map(
    lambda text: text.strip("/") or "x"
)


@given(st.lists(st.one_of(path_names, tricky), unique=True, max_size=12))
def test_every_name_gets_a_legal_key_of_its_own(names: list[str]) -> None:
    keys = keys_of(*names)
    assert len({key.lower() for key in keys.values()}) == len(names)
    for key in keys.values():
        check_key(part_key(key, 0, 2))
        assert (
            source_key(key) == source_key(part_key(key, 0, 2)) == source_key(part_key(key, 1234, 2000)) == key
        )
        assert len(key) <= 80


@given(st.lists(st.one_of(path_names, st.text("abc-/", min_size=60, max_size=90)), unique=True, max_size=6),
       st.lists(st.integers(1, 40), max_size=3))  # fmt: skip
def test_every_member_of_every_part_has_room_for_its_name(names: list[str], lengths: list[int]) -> None:
    sources = [Source(name=name) for name in names]
    extensions = ["flac", "json", *(f"{'f' * length}.npy" for length in lengths)]
    for source in with_keys(sources, ["f" * length for length in lengths]):
        for extension in extensions:
            tarfile.TarInfo(f"{part_key(source.key, 239, 240)}.{extension}").tobuf(tarfile.USTAR_FORMAT)


def test_frames_with_a_short_name_leave_keys_as_they_are() -> None:
    sources = [Source(name=f"{'a' * length}.wav") for length in range(70, 90)]
    assert with_keys(sources, ["mel", "notes", "f" * 10]) == with_keys(sources)


def test_the_order_is_the_hash_of_the_name() -> None:
    ordered = with_keys([Source(name=f"{number}.wav") for number in range(50)])
    assert [source.order for source in ordered] == sorted(source.order for source in ordered)


def test_names_that_are_no_utf8_can_be_printed() -> None:
    assert printable("caf\udce9.wav") == "caf\\xe9.wav"
    assert printable("café.wav") == "café.wav"
