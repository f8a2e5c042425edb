"""The kernel is one that a GPU's compiler takes, and tiles stay in the registers that they are loaded to."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="triton is not installed: pip install -e '.[kernels]'")


@pytest.mark.slow
@pytest.mark.cold("triton reads at import whether it is to interpret")
def test_it_is_compiled_for_a_gpu_that_is_not_there(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH", "")]))
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.generation.fused_gpu.compiling"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["bytes"] > 0 and made["barriers"] > 6
    assert made["shared"] < 48 * 1024, "more than a program may have without asking"
    assert made["converted tiles"] == 0
