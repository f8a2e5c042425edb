"""Whether the weights of a module say all that it computes: then others may compute it from them."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn


def what_is_changed(module: nn.Module, known: tuple[type[nn.Module], ...]) -> str:
    """What makes a module compute something else than its weights say, for after its name; nothing if they say it all.

    Args:
        module: by itself, without those inside of it.
        known: classes that compute what their weights say.
    """
    kind: Any = type(module)
    if kind not in known:  # a subclass computes what it likes, and a parametrised layer is one
        return f"is a {kind.__name__}, which it does not know"
    if not _methods(kind).isdisjoint(vars(module)):
        return f"has a {min(_methods(kind) & vars(module).keys())} of its own"
    if module._forward_pre_hooks or module._forward_hooks:
        return "has a hook, which may change what it computes"
    return ""


@cache
def _methods(kind: Any) -> frozenset[str]:
    return frozenset(name for name in dir(kind) if callable(getattr(kind, name)))
