"""Walking through a tar that may be damaged or hostile."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shards.damages import BLOCK, headers, write_tar
from wavenet_pl.shards.members import Fault, Member, read_members

CONTENTS = [(f"d/key-{n}.wav", bytes([n + 1]) * (300 * n + 5)) for n in range(5)]


def walk(data: bytes) -> list[Member | Fault]:
    return list(read_members(io.BytesIO(data), len(data)))


def contents(data: bytes) -> list[tuple[str, bytes]]:
    """Names and contents of the members found."""
    found = [item for item in walk(data) if isinstance(item, Member)]
    return [(item.name, data[item.offset : item.offset + item.size]) for item in found]


def faults(data: bytes) -> list[Fault]:
    return [item for item in walk(data) if isinstance(item, Fault)]


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    return write_tar(tmp_path / "a.tar", CONTENTS)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_sound_tar_is_read_as_tarfile_reads_it(tmp_path: Path, format: int) -> None:
    long = "d/" + "x" * 150 + ("" if format == tarfile.USTAR_FORMAT else "/" + "y" * 200)
    members = [*CONTENTS, (f"{long.replace('xxxxxxxx', 'xxxxxxx/')}.wav", b"long"), ("last.json", b"")]
    data = write_tar(tmp_path / "a.tar", members, format).read_bytes()
    assert walk(data)
    assert contents(data) == members
    assert not faults(data)


def test_pax_records_of_one_member_do_not_reach_the_next(tmp_path: Path) -> None:
    header = tarfile.TarInfo("short.wav")
    header.size = 3
    header.pax_headers = {"path": "renamed.wav", "mtime": "1.5", "comment": "a=b"}
    data = write_tar(tmp_path / "a.tar", [(header, b"abc"), ("b.wav", b"d")], tarfile.PAX_FORMAT).read_bytes()
    assert contents(data) == [("renamed.wav", b"abc"), ("b.wav", b"d")]


def test_leading_dot_folder_is_no_part_of_a_name(tmp_path: Path) -> None:
    folder = tarfile.TarInfo(".")
    folder.type = tarfile.DIRTYPE
    data = write_tar(
        tmp_path / "a.tar", [(folder, b""), ("./a.wav", b"1"), (".//./b.wav", b"2")]
    ).read_bytes()
    assert contents(data) == [("a.wav", b"1"), ("b.wav", b"2")]
    assert not faults(data)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("junk", [b"\xff" * BLOCK, bytes(BLOCK), b"\0" * 10 + b"a" * (BLOCK - 10)])
def test_broken_header_loses_its_own_member_only(tar: Path, number: int, junk: bytes) -> None:
    data = bytearray(tar.read_bytes())
    at = headers(tar)[CONTENTS[number][0]]
    data[at : at + BLOCK] = junk
    assert contents(bytes(data)) == CONTENTS[:number] + CONTENTS[number + 1 :]
    assert len(faults(bytes(data))) == 1
    assert faults(bytes(data))[0].kind == ("broken header" if junk.strip(b"\0") else "hidden")


def test_broken_header_with_a_readable_name_is_named(tar: Path) -> None:
    data = bytearray(tar.read_bytes())
    data[headers(tar)["d/key-2.wav"] + 130] ^= 1
    (fault,) = faults(bytes(data))
    assert (fault.kind, fault.name) == ("broken header", "d/key-2.wav")
    assert (fault.start, fault.stop) == (headers(tar)["d/key-2.wav"], headers(tar)["d/key-3.wav"])


@pytest.mark.parametrize("shift", [-512, -3, 1, 300])
def test_bytes_lost_or_added_in_the_middle_lose_that_member_only(tar: Path, shift: int) -> None:
    data = tar.read_bytes()
    at = headers(tar)["d/key-3.wav"] + BLOCK + 10
    data = data[:at] + b"\x07" * shift + data[at:] if shift > 0 else data[:at] + data[at - shift :]
    assert contents(data) == CONTENTS[:3] + CONTENTS[4:]
    assert (faults(data)[0].kind, faults(data)[0].name) == ("cut member", "d/key-3.wav")


def test_bytes_lost_in_the_last_member_are_noticed(tar: Path) -> None:
    data = tar.read_bytes()
    at = headers(tar)["d/key-4.wav"] + BLOCK + 10
    data = data[:at] + data[at + 3 :]
    assert contents(data) == CONTENTS[:4]
    assert [(fault.kind, fault.name) for fault in faults(data)] == [("cut member", "d/key-4.wav")]


def test_cut_at_any_byte_is_noticed_and_keeps_what_is_whole(tar: Path) -> None:
    data = tar.read_bytes()
    end = headers(tar)["d/key-4.wav"] + BLOCK + -(-len(CONTENTS[4][1]) // BLOCK) * BLOCK
    for cut in range(0, end + BLOCK, 37):
        found = contents(data[:cut])
        assert found == CONTENTS[: len(found)]
        assert (cut < end + BLOCK) == bool(faults(data[:cut]))
    assert not faults(data[: end + BLOCK]), "one zero block is an end mark"


@pytest.mark.parametrize("cut", [0, 1, 511])
def test_no_whole_block_is_no_shard(tar: Path, cut: int) -> None:
    (fault,) = faults(tar.read_bytes()[:cut])
    assert fault.kind == ("cut shard" if cut else "empty shard")


def test_member_cut_short_is_no_member(tar: Path) -> None:
    data = tar.read_bytes()[: headers(tar)["d/key-3.wav"] + BLOCK + 100]
    (fault,) = faults(data)
    assert (fault.kind, fault.name) == ("cut member", "d/key-3.wav")
    assert "100 of its 905 bytes" in fault.description


def test_two_archives_in_one_file_show_the_second_as_hidden(tar: Path) -> None:
    data = tar.read_bytes()
    assert contents(data + data) == CONTENTS * 2
    assert [fault.kind for fault in faults(data + data)] == ["hidden"]
    assert [fault.kind for fault in faults(data + b"\0" * 508 + b"tail")] == ["hidden"]
    assert contents(data + b"tail") == CONTENTS[:4], "bytes were added somewhere: the last one is not trusted"


@pytest.mark.parametrize(
    "data", [b"<html>not found</html>" * 100, b"\x1f\x8b" + b"\x01" * 3000, b"\x01" * 512]
)
def test_what_is_no_tar_is_one_fault(data: bytes) -> None:
    assert [fault.kind for fault in faults(data)] == ["broken header"]


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.GNUTYPE_SPARSE,
        b"V",
    ],
)
def test_links_devices_and_sparse_files_are_faults(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("evil.wav")
    header.type, header.linkname = kind, "/etc/passwd"
    data = write_tar(tmp_path / "a.tar", [*CONTENTS[:2], (header, b""), *CONTENTS[2:]]).read_bytes()
    assert contents(data) == CONTENTS
    assert [(fault.kind, fault.name) for fault in faults(data)] == [("link", "evil.wav")]


@pytest.mark.parametrize("name", ["/etc/passwd.wav", "../a.wav", "d/../../a.wav", ".//../a.wav"])
def test_paths_that_lead_outside_are_faults(tmp_path: Path, name: str) -> None:
    data = write_tar(tmp_path / "a.tar", [(name, b"x" * 2000), *CONTENTS]).read_bytes()
    assert contents(data) == CONTENTS
    assert [fault.kind for fault in faults(data)] == ["outside"]


@pytest.mark.parametrize("size", [2**33, 2**62, -512])
def test_absurd_size_loses_its_own_member_only(tmp_path: Path, size: int) -> None:
    header = tarfile.TarInfo("giant.wav")
    data = write_tar(tmp_path / "a.tar", [*CONTENTS[:2], (header, b""), *CONTENTS[2:]], tarfile.GNU_FORMAT)
    raw = bytearray(data.read_bytes())
    header.size = size
    at = headers(data)["giant.wav"]
    raw[at : at + BLOCK] = header.tobuf(tarfile.GNU_FORMAT)
    assert contents(bytes(raw)) == CONTENTS
    assert [(fault.kind, fault.name) for fault in faults(bytes(raw))] == [("cut member", "giant.wav")]


@pytest.mark.parametrize(
    "records",
    [
        b"99 path=a.wav\n",
        b"0 path=a\n",
        b"x path=a\n",
        b"12 nothing\n\n\n",
        b"17 size=minus1\n\n\n\n",
        b"9 size=x\n",
        b"40 size=" + b"9" * 31 + b"\n",
        b"\xff" * 30,
    ],
)
def test_extended_header_that_makes_no_sense_is_a_fault(tmp_path: Path, records: bytes) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    data = write_tar(tmp_path / "a.tar", [(header, records), *CONTENTS]).read_bytes()
    assert contents(data) == CONTENTS
    assert [fault.kind for fault in faults(data)] == ["broken header"]


def test_giant_extended_header_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 200_000
    data = write_tar(tmp_path / "a.tar", [(header, b"x" * 200_000), *CONTENTS]).read_bytes()
    assert contents(data) == CONTENTS
    assert "200000 bytes" in faults(data)[0].description


def test_sparse_by_pax_is_a_fault(tmp_path: Path) -> None:
    header = tarfile.TarInfo("hole.wav")
    header.size, header.pax_headers = 3, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    data = write_tar(tmp_path / "a.tar", [(header, b"abc"), *CONTENTS], tarfile.PAX_FORMAT).read_bytes()
    assert contents(data) == CONTENTS
    assert [fault.kind for fault in faults(data)] == ["link"]


def test_one_path_for_all_members_is_a_fault(tmp_path: Path) -> None:
    records = b"14 path=a.wav\n"
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XGLTYPE, len(records)
    data = write_tar(tmp_path / "a.tar", [(header, records), *CONTENTS]).read_bytes()
    assert contents(data) == CONTENTS
    assert "gives all members one path" in faults(data)[0].description


@given(st.data())
def test_any_damage_is_survived_and_members_lie_inside(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in (*CONTENTS[:3], ("é" * 120 + ".wav", b"q" * 700)):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    raw = bytearray(buffer.getvalue()[: 512 * 16])
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    for item in walk(bytes(raw)):
        if isinstance(item, Member):
            assert 0 <= item.offset <= item.offset + item.size <= len(raw)
        else:
            assert 0 <= item.start <= item.stop <= len(raw)
