"""Taking keys, tokens and passwords out of whatever is written where others may read it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from wavenet_pl.files.secret_forms import without_known

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

_QUOTED = r"""[fFrRbBuU]{0,2}(?P<quote>["'])(?P<quoted>(?:(?!(?P=quote))[^\\\n]|\\.)*)(?P=quote)"""
_WORD = rf"""(?:{_QUOTED}|(?P<bare>[^\s"',;(){{}}\[\]<>]+))"""
"""What stands for a value: text in quotes, or a word."""
_NAME = r"(?<![\w.-])(?P<name>[\w.-]{1,100})"
_ASSIGNED = (
    rf"""{_NAME}["']?\]?(?:\s*:\s*[\w.\[\] |]+=|\s*!?[:=]{{1,3}}>?|>)[ \t]*{_WORD}""",
    rf"(?<!\S)(?P<name>--[\w-]+)[ \t]+{_WORD}",
    rf"(?<![\w.-])(?:ENV|setenv|set -\w+)[ \t]+{_NAME}[ \t]+{_WORD}",
    rf"""env(?:iron\.\w+)?\(\s*["']{_NAME}["']\s*,\s*{_QUOTED}(?P<bare>)""",
)
"""`name = value`, `"name": "value"`, `environ["NAME"] = "value"`; an option; a line of a Dockerfile; `setenv(...)`."""
_OF_NETRC = r"\b(?:machine[ \t]+\S{1,200}|default)[\s+-]{1,20}"
_ALWAYS = (
    r"(?i:\b(?:proxy-)?authorization[\"']?\]?\s*[:=]\s*[\"']?(?:bearer|basic|token|digest)\s+)(?P<value>[^\s\"'{}<>$]{6,})",
    r"(?i:\b(?:set-)?cookie[\"']?\s*:\s*[\"']?)(?P<value>[\w.-]+=[^\"'\n]+)",
    r"\b[Bb]earer\s+(?P<value>(?=[\w.~+/-]*\d)[\w.~+/-]{8,}=*)",
    rf"{_OF_NETRC}(?:login[ \t]+\S{{1,200}}[\s+-]{{1,20}})?password[ \t]+(?P<value>[^\s{{]\S*)",
    r"\bcurl\b[^\n]{0,200}?\s(?:-u|--user)[ =][\"']?[^\s:\"']+:(?P<value>[^\s\"']+)",
    r"\bwandb login\s+(?:--\S+\s+)*(?P<value>[\w-]{20,})",
)
"""Where a secret follows, whatever it looks like: headers of HTTP, lines of .netrc, options of programs."""
_ASSIGNMENTS, _CERTAIN = (tuple(map(re.compile, patterns)) for patterns in (_ASSIGNED, _ALWAYS))
_REFERENCE = re.compile(
    r"\$.*|%\w+%|\{.*\}|<.*>|\[.*\]|\*+|\.\.\.|None|null|[Tt]rue|[Ff]alse|str|bytes|bool|int|string|Optional"
)
"""Instead of a secret: where it comes from, that there is none, or its type."""
_RANDOM = re.compile(
    r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9+/=]{16,}|[0-9a-f]{32,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
"""What no person would call anything."""

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


def shorten_paths(value: Any, *, relative: bool = False) -> Any:
    """A copy of nested dicts, lists and scalars in which an absolute path or a URL is its last name.

    What stands above it, a URL's host included, says whose machine it is. Other text, as `pretrained:speaker`, stays.

    Args:
        value: the tree.
        relative: whether a path that begins anywhere is shortened, too.
    """
    if isinstance(value, Mapping):
        shortened: dict[Any, Any] = {}
        for key, item in value.items():
            short = unique = shorten_paths(key, relative=relative)
            while unique in shortened:  # two paths may end alike
                unique = f"{short} {len(shortened) + 1}"
            shortened[unique] = shorten_paths(item, relative=relative)
        return shortened
    if isinstance(value, (list, tuple)):
        return [shorten_paths(item, relative=relative) for item in value]
    if not isinstance(value, str) or not value:
        return value
    path, hosts = re.subn(r"^[\w+.-]+://[^/]*", "", value)
    if hosts:
        path = re.split(r"[?#]", path)[0]
    elif not relative and not value.startswith(("/", "~")):
        return value
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or "elsewhere"


def redact_text(text: str, secrets: frozenset[str] | None = None) -> str:
    """As `redact`, for a text such as a diff: also what is assigned to a secret's name, or follows it in a header.

    Args:
        text: what is about to be written.
        secrets: texts to look for; the environment's `secret_values` by default.
    """
    text = _text(text, secret_values() if secrets is None else secrets)
    for pattern in _CERTAIN:
        text = pattern.sub(lambda match: _without(match, "value"), text)
    for pattern in _ASSIGNMENTS:
        text = pattern.sub(_assignment, text)
    return text


def _without(match: re.Match[str], group: str) -> str:
    """The match, with one of its groups taken out."""
    begin, end = (edge - match.start() for edge in match.span(group))
    return f"{match[0][:begin]}{REDACTED}{match[0][end:]}"


def _assignment(match: re.Match[str]) -> str:
    name, quoted, bare = match["name"], match["quoted"], match["bare"]
    value = bare if quoted is None else quoted
    if not is_secret_name(name) or not value or _REFERENCE.fullmatch(value):
        return match[0]
    after = match.string[match.end() :][:20]
    secret = (
        _is_secret(name, value)
        if quoted is not None
        else not _is_code(name, value, after) and _is_secret(name, value)
    )
    return _without(match, "bare" if quoted is None else "quoted") if secret else match[0]


def _is_secret(name: str, value: str) -> bool:
    """Whether a value can be what a secret's name says: a password is any, and other keys are not words or counts."""
    words = _words(name)
    if not _ANYWHERE.isdisjoint(words):
        return len(value) >= 3
    if len(words) == 1 or (words[-1] in ("key", "keys") and _PAIRS.isdisjoint(pairwise(words))):
        return _RANDOM.fullmatch(value) is not None  # what is sorted by, or found in a table
    return len(value) >= 6 and not re.fullmatch(r"[\d.,_eE+-]+(?:\\\\n)?", value)


def _is_code(name: str, value: str, after: str) -> bool:
    """Whether a word without quotes is a name or a call of a program, or begins a sentence."""
    if after[:1] in ("(", "[") or (is_secret_name(value) and not re.search(r"\d", value)):
        return True
    if re.fullmatch(r"[A-Za-z_]+", value) and re.match(r" [a-z]", after):
        return True
    strong = not _ANYWHERE.isdisjoint(_words(name))
    return not strong and name.islower() and re.fullmatch(r"[A-Za-z_.]+", value) is not None


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
    if number and "/" not in name and not _ANYWHERE.isdisjoint(_words(name)):
        # A password may be made of digits. The number of tokens is no token, nor is the share of a set at a path.
        return REDACTED
    return value


def _text(text: str, secrets: frozenset[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):  # the longest first: one may contain another
        text = text.replace(secret, REDACTED)
    text = re.sub(r"(?<=://)[^/?#\s]+(?=@)", REDACTED, text)
    text = re.sub(r"([?&])([^?=&#\s]+)=([^&#\s\"'<>]+)", _query, text)
    return without_known(text, REDACTED)


def _query(match: re.Match[str]) -> str:
    separator, name, _ = match.groups()
    if is_secret_name(name) or not _SIGNATURES.isdisjoint(_words(name)):
        return f"{separator}{name}={REDACTED}"
    return match.group()


def _words(name: str) -> list[str]:
    """API_KEY, apiKey, api-key, optim.apiKey -> [..., "api", "key"]"""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
