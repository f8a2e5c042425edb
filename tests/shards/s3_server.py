"""A real server on this machine that answers as S3 does, as far as clients that read ask it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest

from tests.shards.http_server import Handler, Server, serving

KEY, SECRET = "an-access-key-id", "a-secret-access-key-0123456789"


class _S3(Handler):
    """Folders directly below the served one are buckets, addressed by path."""

    def send_trouble(self, status: int) -> None:
        codes = {
            400: "InvalidRequest",
            403: "AccessDenied",
            404: "NoSuchKey",
            416: "InvalidRange",
            503: "SlowDown",
        }
        code = codes.get(status, "InternalError")
        self.send(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode(), "text/xml")

    def send_folder(self, bucket: Path) -> None:
        """What is in a bucket below a prefix, with the folders directly below it as one line each."""
        query = parse_qs(urlsplit(self.path).query)
        prefix = query.get("prefix", [""])[0]
        keys = [path.relative_to(bucket).as_posix() for path in sorted(bucket.rglob("*")) if path.is_file()]
        keys = [key for key in keys if key.startswith(prefix)]
        folded = {
            prefix + key[len(prefix) :].partition("/")[0] + "/"
            for key in keys
            if "delimiter" in query and "/" in key[len(prefix) :]
        }
        files = [key for key in keys if not key.startswith(tuple(folded))]
        text = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{(bucket / key).stat().st_size}</Size>"
            '<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"0"</ETag></Contents>'
            for key in files
        )
        text += "".join(
            f"<CommonPrefixes><Prefix>{each}</Prefix></CommonPrefixes>" for each in sorted(folded)
        )
        page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{text}</ListBucketResult>"
        self.send(200, page.encode(), "text/xml")


@contextmanager
def serving_s3(
    folder: Path, monkeypatch: pytest.MonkeyPatch, certificate: Path | None = None
) -> Iterator[Server]:
    """A server of the buckets in this folder, which is S3 for this process meanwhile."""
    s3fs = pytest.importorskip("s3fs")
    with serving(folder, _S3, certificate) as server:
        for name, value in (
            ("AWS_ENDPOINT_URL", server.url),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ):
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield server
        s3fs.S3FileSystem.clear_instance_cache()
