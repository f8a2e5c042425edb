"""Reading below one place, by range, in any process."""

from __future__ import annotations

import copy
import os
import pickle
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tests.shards.http_server import Server, serving
from tests.shards.s3_server import KEY, SECRET, serving_s3
from wavenet_pl.errors import UserError
from wavenet_pl.files import open_files
from wavenet_pl.files.foreign import open_file
from wavenet_pl.shards import storage as storage_file
from wavenet_pl.shards.storage import Patience, Storage

FILES = {"a.tar": bytes(range(256)) * 8, "train/b.tar": b"b" * 100, "train/deep/c.tar": b"c", "empty": b""}


def write_files(folder: Path) -> None:
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.fixture(params=["folder", "memory", "http", "s3"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Storage]:
    """The same files in a folder, in a file system of fsspec, behind HTTP and in S3."""
    if request.param == "s3":
        write_files(tmp_path / "bucket/set")
        with serving_s3(tmp_path, monkeypatch):
            yield Storage("s3://bucket/set")
        return
    if request.param != "memory":
        write_files(tmp_path)
        if request.param == "folder":
            yield Storage(str(tmp_path))
        else:
            with serving(tmp_path) as server:
                yield Storage(server.url)
        return
    memory = fsspec.filesystem("memory")
    for name, data in FILES.items():
        memory.pipe(f"/storage/{name}", data)
    yield Storage("memory://storage")
    memory.rm("/storage", recursive=True)


def test_whole_files_and_ranges_are_read(storage: Storage) -> None:
    data = FILES["a.tar"]
    assert storage.read("a.tar", 10**6) == data
    for offset, size in ((0, 0), (0, 1), (255, 3), (1_000, 1_048), (0, 2_048)):
        assert storage.read_range("a.tar", offset, size) == data[offset : offset + size]
    assert storage.read_range("a.tar", 2_000, 500) == data[2_000:], (
        "a file that ends before gives what it has"
    )
    assert storage.read_range("a.tar", 2_048, 5) == b""
    assert storage.read_range("train/b.tar", 0, 5) == b"bbbbb"
    with storage.open("a.tar") as file:
        assert file.read() == data
        file.seek(700)
        assert file.read(9) == data[700:709]


def test_sizes_and_names_are_told(storage: Storage) -> None:
    assert storage.size("a.tar") == 2_048
    assert storage.size("empty") == 0
    assert storage.names() == ["a.tar", "empty", "train/b.tar"], "folders directly below, and no deeper"
    assert storage.exists("train/b.tar")
    assert not storage.exists("train/c.tar")


def test_what_is_not_there_is_an_os_error(storage: Storage) -> None:
    for call in (storage.size, storage.open):
        with pytest.raises(OSError, match="gone"):
            call("gone.tar")
    with pytest.raises(OSError, match="gone"):
        storage.read("gone.tar", 9)
    with pytest.raises(OSError, match="gone"):
        storage.read_range("gone.tar", 0, 1)


def test_a_file_larger_than_expected_is_not_read(storage: Storage) -> None:
    with pytest.raises(OSError, match="larger than 2047 bytes"):
        storage.read("a.tar", 2_047)
    assert len(storage.read("a.tar", 2_048)) == 2_048


def test_a_copy_for_another_process_reads_the_same(storage: Storage) -> None:
    storage.read_range("a.tar", 0, 4)
    for other in (copy.copy(storage), pickle.loads(pickle.dumps(storage))):
        assert other.read_range("a.tar", 4, 4) == FILES["a.tar"][4:8]
        del other
    assert storage.read_range("a.tar", 0, 4) == FILES["a.tar"][:4], "the copy closed only its own files"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("storage", ["folder", "memory", "http"], indirect=True)
def test_forked_processes_read_on_their_own(storage: Storage) -> None:
    storage.read_range("a.tar", 0, 4)
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            good = all(
                storage.read_range("a.tar", at, 8) == FILES["a.tar"][at : at + 8]
                for at in range(number, 2_000, 7)
            )
            os._exit(0 if good else 1)
        children.append(child)
    assert all(storage.read_range("a.tar", at, 8) == FILES["a.tar"][at : at + 8] for at in range(2_000))
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]


def test_many_files_stay_open_and_do_not_use_up_the_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        (tmp_path / f"{number}.tar").write_bytes(b"%d" % number)
    storage, opened = Storage(str(tmp_path)), []
    monkeypatch.setattr(open_files, "open_file", lambda path: opened.append(path) or open_file(path))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for number in range(300):
            assert storage.read_range(f"{number}.tar", 0, 9) == b"%d" % number
    assert len(opened) == 300, "each once"
    assert len(os.listdir("/proc/self/fd")) - before == 300
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 400, hard))
    few = Storage(str(tmp_path))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number in (*range(300), *range(299, 200, -1)):
        assert few.read_range(f"{number}.tar", 0, 9) == b"%d" % number
    assert len(opened) == 600, "those that were read last"
    assert len(os.listdir("/proc/self/fd")) - before <= 300 + (before + 400) // 2
    del few
    del storage
    assert len(os.listdir("/proc/self/fd")) == before


def test_threads_may_share_it_while_files_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_files, "_MOST", 2)
    for number in range(9):
        (tmp_path / f"{number}.tar").write_bytes(b"%d" % number)
    storage, wrong = Storage(str(tmp_path)), []

    def read(first: int) -> None:
        for step in range(300):
            number = first * step % 9
            if storage.read_range(f"{number}.tar", 0, 9) != b"%d" % number:
                wrong.append(number)

    threads = [threading.Thread(target=read, args=(first,)) for first in (1, 2, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_written_later_is_seen(storage: Storage, tmp_path: Path) -> None:
    """Clients of networks keep listings, if they are let."""
    assert "later.tar" not in storage.names()
    if storage.location.startswith("memory"):
        fsspec.filesystem("memory").pipe("/storage/later.tar", b"x")
    else:
        folder = tmp_path / "bucket/set" if storage.location.startswith("s3") else tmp_path
        (folder / "later.tar").write_bytes(b"x")
    assert "later.tar" in storage.names()


@pytest.mark.parametrize("location", ["pipe:touch {}/x", "pipe:cat a |"])
def test_a_pipe_is_refused_and_starts_nothing(tmp_path: Path, location: str) -> None:
    with pytest.raises(UserError, match="would run a program, expected a folder or a URL"):
        Storage(location.format(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_of_url_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="nosuch://x cannot be opened: .*expected a folder or a URL"):
        Storage("nosuch://x").read("a", 9)


def test_paths_are_below_the_location() -> None:
    assert Storage("/").path("a") == "/a"
    assert Storage("data/").path("train/a.tar") == "data/train/a.tar"
    assert Storage("s3://bucket/set/").path("a") == "s3://bucket/set/a"


# --- servers that misbehave ---

A = FILES["a.tar"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    write_files(tmp_path)
    with serving(tmp_path) as server:
        yield server


def hasty(server: Server, request: float = 0.25, total: float = 1.0) -> Storage:
    """A storage that gives up within a second, or later on a machine that may be busy."""
    return Storage(server.url, Patience(request=request, total=total, pause=0.02))


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["500", "503", "429", "408", "drop", "hang"])
def test_what_passes_is_waited_for(server: Server, trouble: str) -> None:
    server.troubles = [trouble] * 2
    assert hasty(server, total=60.0).read_range("a.tar", 100, 1_000) == A[100:1_100]
    assert server.asked.count("GET /a.tar") >= 3
    server.troubles = [trouble] * 2
    assert hasty(server, total=60.0).size("a.tar") == 2_048
    server.troubles = [trouble] * 2
    assert hasty(server, total=60.0).read("a.tar", 10**6) == A


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "said"), [("503", "503"), ("429", "429"), ("drop", ""), ("hang", "no answer")]
)
def test_what_does_not_pass_is_an_os_error_within_bounds(server: Server, trouble: str, said: str) -> None:
    server.always = trouble
    with pytest.raises(OSError, match=f"a.tar: .*{said}.*, after repeated requests for 1 s"):
        hasty(server, 0.25 if trouble == "hang" else 10.0).read_range("a.tar", 0, 10)
    assert 3 <= len(server.asked) <= 16, "pauses grow: 0.02 s and its doubles fit into a second six times"


def test_nobody_there_is_an_os_error(server: Server) -> None:
    storage = hasty(server)
    server.server_close()
    with pytest.raises(OSError, match="after repeated requests for 1 s"):
        storage.size("a.tar")


@pytest.mark.parametrize("trouble", ["400", "401", "403", "404", "410"])
def test_what_no_time_mends_is_asked_for_once(server: Server, trouble: str) -> None:
    server.always = trouble
    with pytest.raises(OSError, match="a.tar") as caught:
        hasty(server).read_range("a.tar", 0, 10)
    assert isinstance(caught.value, FileNotFoundError) == (trouble == "404")
    assert server.asked == ["GET /a.tar"]


def test_a_short_answer_is_asked_for_once_more(server: Server) -> None:
    server.troubles = ["short"]
    assert hasty(server).read_range("a.tar", 7, 1_000) == A[7:1_007]
    assert len(server.asked) == 2
    server.always = "short"
    assert hasty(server).read_range("a.tar", 7, 1_000) == A[7:507]
    assert len(server.asked) == 4


def test_a_server_without_ranges_is_said_so(server: Server) -> None:
    server.always = "whole"
    with pytest.raises(OSError, match="sends all of http.*a.tar, expected one that answers range requests"):
        hasty(server).read_range("a.tar", 7, 1_000)


def test_large_ranges_are_asked_for_in_pieces(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_file, "CHUNK", 300)
    assert hasty(server).read_range("a.tar", 100, 1_000) == A[100:1_100]
    assert len(server.asked) == 4
    assert hasty(server).read_range("a.tar", 100, 9_000) == A[100:]
    assert hasty(server).read("a.tar", 10**6) == A


# --- S3 and TLS ---


@pytest.mark.parametrize(
    ("trouble", "kind"), [("403", OSError), ("404", FileNotFoundError), ("400", OSError)]
)
def test_what_s3_refuses_is_asked_for_once_and_no_key_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str, kind: type[OSError]
) -> None:
    write_files(tmp_path / "bucket")
    with serving_s3(tmp_path, monkeypatch) as server:
        server.always = trouble
        with pytest.raises(kind, match="s3://bucket/a.tar|No such file") as caught:
            Storage("s3://bucket").read_range("a.tar", 0, 10)
        assert server.asked == ["GET /bucket/a.tar"]
        assert all(KEY in headers["Authorization"] for headers in server.headers), "they are signed"
        assert SECRET not in repr(caught.value) and KEY not in repr(caught.value)


@pytest.mark.slow
def test_what_passes_in_s3_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path / "bucket")
    with serving_s3(tmp_path, monkeypatch) as server:
        for trouble in ("503", "500", "drop"):
            server.troubles = [trouble] * 2
            assert Storage("s3://bucket").read_range("a.tar", 100, 1_000) == A[100:1_100]


def test_without_credentials_s3_is_not_asked_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_s3(tmp_path, monkeypatch) as server:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        with pytest.raises(OSError, match="s3://bucket/a.tar: Unable to locate credentials$"):
            Storage("s3://bucket").read_range("a.tar", 0, 10)
        assert server.asked == []


@pytest.mark.parametrize(
    ("location", "advice"),
    [("s3a://bucket/set", r"run `pip install 'wavenet-pl\[s3\]'`$"), ("gcs://bucket/set", "install it$")],
)
def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, location: str, advice: str
) -> None:
    for name in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(UserError, match=f"{location} takes a package that is not installed .*; {advice}"):
        Storage(location).exists("a")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a server on this machine, made for it by itself, with its key."""
    folder = tmp_path_factory.mktemp("tls")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    names = "-subj /CN=here -addext subjectAltName=IP:127.0.0.1 -days 2 -keyout key -out crt"
    kind = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    command = f"openssl req -x509 {kind} {names}".split()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "both").write_bytes((folder / "key").read_bytes() + (folder / "crt").read_bytes())
    return folder / "both"


def test_a_server_that_nobody_vouches_for_is_refused_at_once(tmp_path: Path, certificate: Path) -> None:
    write_files(tmp_path)
    with serving(tmp_path, certificate=certificate) as server:
        with pytest.raises(
            OSError,
            match="certificate verify failed: self-signed .*; name who is to be trusted in SSL_CERT_FILE",
        ):
            Storage(server.url).read_range("a.tar", 0, 10)
        assert server.asked == []


@pytest.mark.slow
@pytest.mark.cold("clients read the names of certificates as they are imported")
def test_a_certificate_that_is_named_is_trusted(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind https and in S3, with requests by range."""
    write_files(tmp_path / "bucket")
    program = (
        "import sys; from wavenet_pl.shards.storage import Storage; "
        "print([Storage(location).read_range('a.tar', 5, 3).hex() for location in sys.argv[1:]])"
    )
    with serving_s3(tmp_path, monkeypatch, certificate) as server:
        command = [sys.executable, "-c", program, f"{server.url}/bucket", "s3://bucket"]
        trusted = {**os.environ, "SSL_CERT_FILE": str(certificate), "AWS_CA_BUNDLE": str(certificate)}
        done = subprocess.run(command, env=trusted, capture_output=True, text=True)
    assert done.stdout.strip() == "['050607', '050607']", done.stderr
    assert server.asked == ["GET /bucket/a.tar"] * 2
    assert all(headers["Range"] == "bytes=5-7" for headers in server.headers)
