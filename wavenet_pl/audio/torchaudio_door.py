"""The one door to torchaudio, which knows how it fails to load beside a CPU build of torch."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn

_EXTENSION = "torchaudio._extension"
_LOAD_FAILED = "Could not load this library"


@lru_cache(maxsize=1)
def torchaudio() -> types.ModuleType:
    """The module torchaudio, also where its CUDA-linked wheel stands beside a CPU build of torch.

    Its x86-64 Linux wheel then raises OSError for its compiled extension, of which nothing is used here: a stub takes
    its place.

    Raises:
        ImportError: it cannot be loaded for another reason. The message says what to install.
    """
    import torch

    try:
        import torchaudio as module
    except OSError as error:
        if _LOAD_FAILED not in str(error) or torch.version.cuda is not None:
            raise _mismatch(torch.__version__, error) from error
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]  # the half that was imported before the error
        sys.modules[_EXTENSION] = _stub()
        try:
            import torchaudio as module
        except (ImportError, OSError, RuntimeError) as second:
            del sys.modules[_EXTENSION]
            raise _mismatch(torch.__version__, second) from second
    except (ImportError, RuntimeError) as error:  # not installed, or it refuses this release of torch
        raise _mismatch(torch.__version__, error) from error
    return module


def _mismatch(torch_version: str, error: Exception) -> ImportError:
    return ImportError(
        f"torchaudio cannot be loaded beside torch {torch_version} ({error}), expected a matching pair; "
        "run `pip install 'torchaudio>=2.11,<2.12'` and see `wavenet-pl doctor`"
    )


def _stub() -> types.ModuleType:
    """What torchaudio asks of its compiled half, answered with no."""

    def fail_if_no_align(function: Callable[..., Any]) -> Callable[..., NoReturn]:
        def fail(*args: Any, **kwargs: Any) -> NoReturn:
            raise RuntimeError(
                f"torchaudio's {function.__name__} needs its compiled extension, which is not loaded"
            )

        return fail

    stub: Any = types.ModuleType(_EXTENSION)
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = stub._IS_ALIGN_AVAILABLE = False
    stub.fail_if_no_align = fail_if_no_align
    return stub
