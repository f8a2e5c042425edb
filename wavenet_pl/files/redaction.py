"""Taking keys, tokens and passwords out of whatever is written where others may read it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

REDACTED = "[redacted]"

# Words that mean a secret wherever they stand in a name, and those that do so only at its end:
# monitor_key_steps and token_count are harmless.
_ANYWHERE = {
    "apikey", "accesskey", "accesstoken", "authtoken", "credential", "credentials", "passphrase", "passwd",
    "password", "passwords", "privatekey", "secret", "secretkey", "secrets",
}  # fmt: skip
_AT_END = {"auth", "authorization", "cookie", "key", "keys", "token", "tokens"}
_PAIRS = {("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("auth", "token")}
_SIGNATURES = {"sig", "signature"}  # of a URL that was signed for whoever has it

_ASSIGNMENT = re.compile(r"""([A-Za-z_][\w.-]*)(["']?\s*[:=]\s*["']?)([^\s"',;(){}\[\]]{6,})""")
"""`name = value`, `"name": "value"`, `NAME=value`; a call such as `key=find(x)` has its bracket too early."""
_KNOWN = re.compile(r"\b(?:hf_\w{20,}|AKIA[0-9A-Z]{16}|gh[opsu]_\w{30,}|sk-[\w-]{20,})")
"""Keys of services that mark their keys."""

_SHORTEST_SECRET = 8  # a shorter value, such as "1" or "true", stands in too many texts by chance


def is_secret_name(name: str) -> bool:
    """Whether text under this name is a secret: API_KEY, hfToken, db-password. For numbers see `redact`."""
    words = _words(name)
    return (
        not _ANYWHERE.isdisjoint(words)
        or not _PAIRS.isdisjoint(pairwise(words))
        or (bool(words) and words[-1] in _AT_END)
    )


def secret_values(environment: Mapping[str, str] | None = None) -> frozenset[str]:
    """Values, from 8 characters on, of the environment variables whose names say that they are secret.

    To look for them in what is about to be written; they go nowhere else.
    """
    variables = os.environ if environment is None else environment
    return frozenset(
        value
        for name, value in variables.items()
        if len(value) >= _SHORTEST_SECRET and is_secret_name(name) and not os.path.exists(value)
    )


def redact(value: Any, secrets: frozenset[str] | None = None) -> Any:
    """A copy of nested dicts, lists and scalars with every secret replaced by ``[redacted]``.

    Replaced are: text below a name that says secret (numbers, such as ``num_tokens: 512``, stay, but for
    passwords and the like); any text that contains one of ``secrets``; user and password in URLs, and their
    signatures and keys.

    Args:
        value: what is about to be written; it is not changed.
        secrets: texts to look for; the environment's `secret_values` by default.
    """
    return _redact(value, secret_values() if secrets is None else secrets, name="")


def shorten_paths(value: Any) -> Any:
    """A copy of nested dicts, lists and scalars in which an absolute path or a URL is its last name.

    What stands above it says whose machine it is.
    """
    if isinstance(value, Mapping):
        return {key: shorten_paths(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shorten_paths(item) for item in value]
    if isinstance(value, str) and (value.startswith(("/", "~")) or "://" in value):
        return re.split(r"[?#]", value)[0].rstrip("/").rpartition("/")[2]
    return value


def redact_text(text: str, secrets: frozenset[str] | None = None) -> str:
    """As `redact`, for a text such as a diff: also what is assigned to a secret's name, and keys known by their form.

    Args:
        text: what is about to be written.
        secrets: texts to look for; the environment's `secret_values` by default.
    """
    text = _text(text, secret_values() if secrets is None else secrets)
    return _KNOWN.sub(REDACTED, _ASSIGNMENT.sub(_assignment, text))


def _assignment(match: re.Match[str]) -> str:
    name, between, value = match.groups()
    return f"{name}{between}{REDACTED}" if is_secret_name(name) and not value.isdecimal() else match.group()


def _redact(value: Any, secrets: frozenset[str], name: str) -> Any:
    if isinstance(value, Mapping):
        # A group under a secret's name (tokens: {hub: ...}) makes its members secret.
        below = name if is_secret_name(name) else ""
        return {
            _text(key, secrets) if isinstance(key, str) else key: _redact(item, secrets, below or str(key))
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        items = [_redact(item, secrets, name) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, str):
        return REDACTED if value and is_secret_name(name) else _text(value, secrets)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and not _ANYWHERE.isdisjoint(_words(name)):
        return REDACTED  # a password may be made of digits; the number of tokens is no token
    return value


def _text(text: str, secrets: frozenset[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):  # the longest first: one may contain another
        text = text.replace(secret, REDACTED)
    text = re.sub(r"(?<=://)[^/?#@\s]+(?=@)", REDACTED, text)
    return re.sub(r"([?&])([^=&#\s]+)=([^&#\s]+)", _query, text)


def _query(match: re.Match[str]) -> str:
    separator, name, _ = match.groups()
    if is_secret_name(name) or not _SIGNATURES.isdisjoint(_words(name)):
        return f"{separator}{name}={REDACTED}"
    return match.group()


def _words(name: str) -> list[str]:
    """API_KEY, apiKey, api-key, optim.apiKey -> [..., "api", "key"]"""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
