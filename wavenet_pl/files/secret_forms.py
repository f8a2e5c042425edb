"""Keys that are known by their form alone, whatever they are called and wherever they stand."""

from __future__ import annotations

import re

_LETTERS = r"[A-Za-z0-9]"
_SERVICES = (
    r"A(?:KI|SI|BI|CC)A[0-9A-Z]{16}",  # AWS, for good and for a while
    rf"gh[oprsu]_{_LETTERS}{{30,}}", r"github_pat_\w{30,}",
    r"gl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|ffct|wt)-[\w.-]{20,}",
    r"xox[a-z](?:\.xox[a-z])?-[\w-]{10,}", r"xapp-\d-[\w-]{10,}",
    r"AIza[\w-]{30,}", r"ya29\.[\w-]{20,}", r"GOCSPX-[\w-]{20,}",
    r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}(?:\.[\w-]+)*",  # JSON web tokens
    rf"hf_{_LETTERS}{{20,}}", rf"npm_{_LETTERS}{{30,}}", r"pypi-AgE[\w-]{30,}", r"wandb_v1_\w{20,}",
    rf"sk-(?:(?:proj|ant|svcacct|admin|or-v1)-[\w-]{{20,}}|{_LETTERS}{{32,}})",
    rf"[rs]k_(?:live|test)_{_LETTERS}{{16,}}", r"SG\.[\w-]{16,}\.[\w-]{16,}",
    r"dckr_pat_[\w-]{20,}", r"do[opr]_v1_[0-9a-f]{40,}", r"dapi[0-9a-f]{32}", r"AGE-SECRET-KEY-1[0-9A-Z]{50,}",
    r"\d{8,10}:AA[\w-]{30,}",
)  # fmt: skip
"""Of services that mark their keys, so that they are found where they should not be."""
_PATHS = r"hooks\.slack\.com/services/", r"discord\.com/api/webhooks/"
"""Who knows what follows may write there."""
_PRIVATE = r"-----{} [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----"
_BEGIN, _END = _PRIVATE.format("BEGIN"), _PRIVATE.format("END")
_KNOWN = re.compile(
    rf"(?<![A-Za-z0-9])(?:{'|'.join(_SERVICES)})"
    + "".join(rf"|(?<={path})[\w/-]{{20,}}" for path in _PATHS)
    # A private key in PEM; where a diff shows only how it begins, the lines that can be no words.
    + rf"|{_BEGIN}(?:(?:(?!-----BEGIN)[\s\S])*?{_END}|(?:\s[ +-]?[\w+/=]{{16,}}(?!\S))*)"
)


def without_known(text: str, instead: str) -> str:
    """The text, with something else in place of each key that is known by its form."""
    return _KNOWN.sub(instead, text)
