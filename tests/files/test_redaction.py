"""Secrets go, and what only sounds like one stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.files.secrets_table import FORMS, HARMLESS, text
from wavenet_pl.config.training import DataConfig
from wavenet_pl.config.tree import Config, to_plain
from wavenet_pl.files.redaction import (
    REDACTED,
    is_secret_name,
    redact,
    redact_text,
    secret_values,
    shorten_paths,
)


@pytest.mark.parametrize(
    "name",
    [
        "WANDB_API_KEY", "api_key", "apiKey", "APIKEY", "hub-token", "HFToken", "hf_token", "Authorization",
        "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "db.password", "passwd", "secrets",
        "passphrase", "client_secret", "credentials", "private_key_file", "token", "key", "session_cookie",
    ],
)  # fmt: skip
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)
    assert redact({name: "planted-value"}, frozenset()) == {name: REDACTED}


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer", "token_count", "keyboard", "key_channels", "monkey", "keys_per_shard", "author",
        "stacks", "keep_last", "authority", "path", "SSH_AUTH_SOCK", "secretary",
    ],
)  # fmt: skip
def test_names_that_only_sound_like_it_stay(name: str) -> None:
    assert not is_secret_name(name)
    assert redact({name: "value"}, frozenset()) == {name: "value"}


@pytest.mark.parametrize("value", [0, 512, 0.5, True, None])
@pytest.mark.parametrize("name", ["num_tokens", "max_tokens", "pad_token", "num_keys"])
def test_counts_of_tokens_stay(name: str, value: object) -> None:
    assert redact({name: value}, frozenset()) == {name: value}


def test_passwords_of_digits_go() -> None:
    assert redact({"password": 1234567, "db_secret": 1.5}, frozenset()) == {
        "password": REDACTED,
        "db_secret": REDACTED,
    }
    assert redact({"password": None, "has_secret": True}, frozenset()) == {
        "password": None,
        "has_secret": True,
    }


def test_everything_below_a_secret_name_goes() -> None:
    tree = {"tokens": {"hub": "abc", "more": ["d", {"e": "f"}]}, "api_keys": ("g", "h"), "plain": ["i"]}
    assert redact(tree, frozenset()) == {
        "tokens": {"hub": REDACTED, "more": [REDACTED, {"e": REDACTED}]},
        "api_keys": (REDACTED, REDACTED),
        "plain": ["i"],
    }


def test_known_values_go_wherever_they_stand() -> None:
    secrets = frozenset({"hunter2hunter2", "hunter2hunter2-long"})
    tree = {"note": "--key=hunter2hunter2 -v", "list": ["hunter2hunter2-long"], "hunter2hunter2": 1}
    assert redact(tree, secrets) == {"note": f"--key={REDACTED} -v", "list": [REDACTED], REDACTED: 1}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://user:pass@host/data", f"https://{REDACTED}@host/data"),
        ("s3://bucket/x?X-Amz-Signature=abc&part=1", f"s3://bucket/x?X-Amz-Signature={REDACTED}&part=1"),
        ("https://host/x?v=2&token=abc#top", f"https://host/x?v=2&token={REDACTED}#top"),
        ("https://host/x?sig=abc", f"https://host/x?sig={REDACTED}"),
        ("https://host:8080/a@b?page=3", "https://host:8080/a@b?page=3"),
        ("mail me@host", "mail me@host"),
    ],
)
def test_urls_lose_their_secrets_only(text: str, left: str) -> None:
    assert redact(text, frozenset()) == left


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ('+API_KEY = "planted-value"', f'+API_KEY = "{REDACTED}"'),
        ("+export HF_TOKEN=planted-value", f"+export HF_TOKEN={REDACTED}"),
        ('+  {"password": "planted-value", "n": 1}', f'+  {{"password": "{REDACTED}", "n": 1}}'),
        ("-db_password: planted-value # old", f"-db_password: {REDACTED} # old"),
        (f"+note: hf_{'a1' * 12}", f"+note: {REDACTED}"),
        (f"+AKIA{'A1' * 8} is used", f"+{REDACTED} is used"),
        ("+url = https://user:pass@host/x", f"+url = https://{REDACTED}@host/x"),
        ("+known-value-of-the-environment", f"+{REDACTED}"),
    ],
)
def test_a_text_loses_its_secrets(line: str, left: str) -> None:
    assert redact_text(f" a\n{line}\n b", frozenset({"known-value-of-the-environment"})) == f" a\n{left}\n b"


@pytest.mark.parametrize(
    "line",
    ["+num_tokens = 512000", "+tokenizer = build_tokenizer()", "+for key in sorted(shards):", "+max_tokens: 1000000",
     "+keys = list(table)", "+index 0123456789abcdef0123456789abcdef01234567", "+monkey = 'capuchin'"],
)  # fmt: skip
def test_a_text_keeps_what_is_no_secret(line: str) -> None:
    assert redact_text(line, frozenset()) == line


@pytest.mark.parametrize("name", FORMS)
def test_a_secret_goes_and_all_around_it_stays(name: str) -> None:
    line, secret = FORMS[name]
    before, after = line.split("§")
    written = redact_text(f" a\n{before}{secret}{after}\n b", frozenset())
    assert written == f" a\n{before}{REDACTED}{after}\n b"


@pytest.mark.parametrize("line", HARMLESS)
def test_what_only_looks_like_a_secret_stays(line: str) -> None:
    assert redact_text(f" a\n{line}\n b", frozenset()) == f" a\n{line}\n b"


def test_the_tables_are_long_enough_to_say_something() -> None:
    assert len(FORMS) >= 60 and len(HARMLESS) >= 60


@pytest.mark.parametrize(
    "name", ["GitHub, fine-grained", "AWS, temporary id", "JWT", "PEM in JSON", "Slack, webhook"]
)
def test_keys_of_a_known_form_go_from_settings_and_messages_too(name: str) -> None:
    line, secret = FORMS[name]
    note = line.replace("§", secret)
    assert redact({"note": [note]}, frozenset()) == {"note": [line.replace("§", REDACTED)]}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("part", ["x", "-", "a.", "&a", "://", "curl ", "machine a+", "glpat-", "password='"])
def test_a_long_line_takes_no_longer_than_many_short_ones(part: str) -> None:
    assert redact_text(f"{part * 30_000} token: {text(40)}", frozenset()).endswith(f" token: {REDACTED}")


def test_the_environment_s_secrets_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "planted-token-value")
    monkeypatch.setenv("TINY_TOKEN", "true")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path))
    monkeypatch.setenv("PLAIN_NOTE", "not-a-secret-at-all")
    found = secret_values()
    assert "planted-token-value" in found
    assert found.isdisjoint({"true", str(tmp_path), "not-a-secret-at-all"})
    assert redact({"note": "planted-token-value", "path": str(tmp_path)}) == {
        "note": REDACTED,
        "path": str(tmp_path),
    }
    assert secret_values({"A_KEY": "12345678", "B": "87654321"}) == frozenset({"12345678"})


def test_nothing_given_is_changed() -> None:
    tree = {"api_key": "abc", "list": [{"token": "d"}]}
    redact(tree, frozenset())
    assert tree == {"api_key": "abc", "list": [{"token": "d"}]}


def test_our_own_config_passes_untouched() -> None:
    tree = to_plain(Config(name="demo", data=DataConfig(path=os.path.join("data", "demo"))))
    assert redact(tree, frozenset()) == tree


def test_of_an_absolute_path_and_of_a_url_the_last_name_is_left() -> None:
    tree = {
        "data": {"path": "/home/you/data/speech/", "batch_size": 8},
        "sets": ["s3://bucket/of/mine/piano?key=1", "~/speech", "https://host/"],
        "stay": ["data/speech", "../speech", "softmax", None, 0.5, "a/b"],
    }
    shares = {"/a/speech": 0.5, "s3://b/speech": 0.25, "data/piano": 0.25}
    assert shorten_paths({"path": shares}) == {"path": {"speech": 0.5, "speech 2": 0.25, "data/piano": 0.25}}
    assert redact({"https://me:pw@host/a?sig=1": 0.5, "data/secret": 0.5}, frozenset()) == {
        "https://[redacted]@host/a?sig=[redacted]": 0.5, "data/secret": 0.5
    }  # fmt: skip
    assert shorten_paths(tree) == {
        "data": {"path": "speech", "batch_size": 8},
        "sets": ["piano", "speech", "elsewhere"],
        "stay": tree["stay"],
    }
