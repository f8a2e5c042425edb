"""What a GPU shows is kept row by row, goes on where it was, and stands in docs/gpu.md as it was seen."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu, gpu_page, gpu_speed
from benchmarks.generation import SIZES
from benchmarks.gpu_checks import BROKEN, PARTS, Bench
from benchmarks.gpu_parts import WORK
from benchmarks.records import Records
from tests.warm import OrdinaryPopen
from wavenet_pl.errors import UserError
from wavenet_pl.generation.engines import build_engine

ROOT = Path(__file__).resolve().parents[2]
CHECKS = [check.name for part in PARTS.values() for check in part]


def bench(path: Path | None = None, until: float = float("inf")) -> Bench:
    return Bench(Records(path), "cpu", until, Path())


def begin(folder: Path, part: str = "engines", until: float = float("inf")) -> gpu.PartProcess:
    args = Namespace(json=folder / "gpu.json", device="cpu", peer=[])
    return gpu.PartProcess(part, args, folder, {}, until)


def do_parts(folder: Path, at_once: int, seconds: float = 60.0) -> list[str]:
    """What is left to do of all parts."""
    until = time.time() + seconds
    return gpu.do_parts(lambda part: begin(folder, part, until), at_once, until)


def row(check: str, device: str = "cuda: NVIDIA H200", **facts: Any) -> dict[str, Any]:
    known = {
        "benchmark": "gpu",
        "check": check,
        "device": device,
        "versions": "torch 2",
        "date": "2026-01-01",
    }
    return {"passed": True, "seen": "as it should be", **known, **facts}


def part_of_page(name: str) -> str:
    found = re.search(
        f"<!-- {name} -->\n(.*?)\n<!-- end of {name} -->", gpu_page.PAGE.read_text(), flags=re.DOTALL
    )
    assert found, name
    return found[1]


def test_every_part_has_its_work() -> None:
    assert list(WORK) == list(PARTS)


def test_the_page_has_a_line_for_each_check_whether_it_was_run_or_not() -> None:
    lines = part_of_page("checks").splitlines()[2:]
    assert [line.split(" | ")[0].removeprefix("| ").replace("\\", "") for line in lines] == CHECKS


def test_the_page_says_what_fits_as_the_network_counts_it() -> None:
    assert part_of_page("memory") == gpu_page.crops_that_fit()


def test_what_a_cpu_shows_is_nothing_of_a_gpu() -> None:
    parts = gpu_page.parts_of([row(name, "cpu: x86_64") for name in CHECKS])
    assert parts == gpu_page.parts_of([])
    assert parts["checks"].count(gpu_page.NOT_RUN) == len(CHECKS)
    assert parts["machine"] == "Nothing has been seen on a GPU yet."
    assert parts["generation"] == parts["training"] == "*not run*"


def test_what_a_gpu_shows_stands_in_the_page(tmp_path: Path) -> None:
    page = shutil.copy(gpu_page.PAGE, tmp_path / "gpu.md")
    generated = {"samples_per_second": 12_345.6, "roof_fraction": 0.314}
    trained = {
        "crops": 16, "crop_samples": 16_000, "predictions_per_second": 1e6, "mfu": 0.123, "roof_fraction": 0.5,
        "memory_gib": 3.21, "estimated_gib": 3.0,
    }  # fmt: skip
    rows = [
        row("float32", passed=False, seen="off by 0.5"), row("bf16-mixed"), row("roofs", seen="copy 4,000 GB/s"),
        row("engines are exact", engine="a"), row("engines are exact", engine="b", seen="3 are ties"),
        row("generation", size="30/64/128", engine="b", batch=64, **generated),
        row("training", size="30/64/128", way="bfloat16", who="ours", **trained),
    ]  # fmt: skip
    gpu_page.write(page, rows)
    text = page.read_text()
    for line in (
        "Seen on NVIDIA H200, torch 2, on 2026-01-01.", "| FAILED: off by 0.5 |", "Roofs: copy 4,000 GB/s.",
        "| a: as it should be; b: 3 are ties |", "| 30/64/128 | b | not run | not run | 12,346 (31%) | not run |",
        "| 30/64/128 | ours | bfloat16 | 16 x 16,000 | 1,000,000 | 12.3% | 50% | 3.2 (3.0) |",
    ):  # fmt: skip
        assert line in text, line
    gpu_page.write(page, [])
    assert page.read_text() == gpu_page.PAGE.read_text()


def test_a_page_without_its_markers_is_one_message(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- end of machine --> <!-- machine -->")
    with pytest.raises(UserError, match=r"has no <!-- machine --> with <!-- end of machine --> behind it"):
        gpu_page.write(page, [])


def test_what_fails_is_a_row_and_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"

    def fails() -> dict[str, Any]:
        raise RuntimeError("CUDA error:\n an illegal memory access")

    failed = bench(path).row("float32", fails)
    assert not failed["passed"] and failed["seen"] == "RuntimeError: CUDA error: an illegal memory access"
    bench(path).row("bf16-mixed", lambda: {"passed": True, "seen": "good"})
    records = Records(path)
    records.drop(lambda row: not row["passed"])
    assert [row["check"] for row in Records(path).rows] == ["bf16-mixed"]
    again = Bench(records, "cpu", 0.0, Path())
    assert again.row("bf16-mixed", lambda: pytest.fail("measured again"))["seen"] == "good"


def test_a_device_that_an_error_broke_ends_the_process_and_the_next_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    broken = bench(path)
    broken.is_usable = lambda: False  # type: ignore[method-assign]
    assert bench().is_usable()
    with pytest.raises(SystemExit) as stop:
        broken.row("generation", lambda: {"passed": False, "seen": "CUDA error"}, batch=1)
    assert stop.value.code == BROKEN
    after = bench(path)
    assert not after.row("generation", lambda: pytest.fail("measured again"), batch=1)["passed"]
    assert after.row("generation", lambda: {"passed": True, "seen": "good"}, batch=8)["passed"]


def starts(monkeypatch: pytest.MonkeyPatch, scripts: Mapping[str, list[str]]) -> list[str]:
    """Let the parts be these scripts, one for each start; the parts in the order of their starts."""
    left, began = copy.deepcopy(dict(scripts)), list[str]()

    def start(command: list[str], **options: Any) -> Any:
        part = command[command.index("--part") + 1]
        began.append(part)
        return OrdinaryPopen(["sh", "-c", left[part].pop(0) if part in left else "exit 0"], **options)

    monkeypatch.setattr(gpu.subprocess, "Popen", start)
    return began


@pytest.mark.parametrize(("codes", "done"), [([0], True), ([75], False), ([76, 76, 0], True), ([1], False)])
def test_a_part_goes_on_in_a_new_process_where_its_device_broke(
    codes: list[int], done: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = starts(monkeypatch, {"engines": [f"exit {code}" for code in codes]})
    assert do_parts(tmp_path, 1) == ([] if done else ["engines"])
    assert began.count("engines") == len(codes)


def test_parts_run_one_after_the_other_or_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    scripts = {
        part: [f"echo begin {part} >> {log}; sleep 0.2; echo end {part} >> {log}"] * 2 for part in PARTS
    }
    starts(monkeypatch, scripts)
    assert not do_parts(tmp_path, 1)
    one_by_one = log.read_text().splitlines()
    assert one_by_one == [f"{what} {part}" for part in PARTS for what in ("begin", "end")]
    log.unlink()
    all_begun = f"until [ $(grep -c begin {log}) = {len(PARTS)} ]; do sleep 0.05; done"
    starts(monkeypatch, {part: [f"echo begin {part} >> {log}; {all_begun}"] for part in PARTS})
    assert not do_parts(tmp_path, len(PARTS)), "each ends once all have begun"


def test_no_part_begins_where_no_time_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = starts(monkeypatch, {})
    assert do_parts(tmp_path, 1, seconds=gpu.LEAST / 2) == list(PARTS)
    assert began == []


def test_a_part_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    starts(monkeypatch, {"engines": ["sleep 60"]})
    part = begin(tmp_path)
    assert not part.is_over()
    time.sleep(0.1)
    assert part.is_over(patience=0.05) and not part.is_done
    assert "engines: no row for" in capfd.readouterr().err


def test_an_error_while_parts_run_ends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts(monkeypatch, {part: ["sleep 60"] for part in PARTS})
    begun: list[gpu.PartProcess] = []

    def one(part: str) -> gpu.PartProcess:
        if part == [*PARTS][-1]:
            raise KeyboardInterrupt
        begun.append(begin(tmp_path, part))
        return begun[-1]

    with pytest.raises(KeyboardInterrupt):
        gpu.do_parts(one, len(PARTS), time.time() + 60)
    assert len(begun) == len(PARTS) - 1 and all(part.is_over() for part in begun)


def test_what_there_is_no_time_for_is_named_and_not_begun() -> None:
    late = bench(until=time.time() - 1)
    assert not late.row("generation", lambda: pytest.fail("begun"), engine="reference", batch=8)
    assert late.left == ["generation reference 8"]


def test_a_code_that_no_tie_explains_is_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(gpu_speed.networks("cpu"))
    monkeypatch.setattr(gpu_speed, "networks", lambda device: [first])
    assert gpu_speed.exact(bench(), "reference")["passed"]

    def other(network: torch.nn.Module, *rest: Any) -> Any:
        changed = copy.deepcopy(network)
        changed.output.bias.data[100] += 2.0
        return build_engine(changed, *rest)

    monkeypatch.setattr(gpu_speed, "build_engine", other)
    found = gpu_speed.exact(bench(), "reference")
    assert not found["passed"] and "SoftmaxHead, no condition" in found["seen"]


def test_an_engine_that_cannot_run_on_a_device_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> Any:
        raise UserError("the network is on cuda:0")

    monkeypatch.setattr(gpu_speed, "build_engine", refuse)
    assert gpu_speed.exact(bench(), "fused-cpu") == {
        "passed": True, "seen": "not here: the network is on cuda:0", "runs": False,
    }  # fmt: skip


def test_the_least_that_a_prediction_moves_is_each_layers_activations_once() -> None:
    config = SIZES["30/64/128"].config
    assert gpu_speed.least_bytes(config, 2) == 2 * 30 * (5 * 64 + 2 * 128 + 3 * 128)


def test_wheels_of_packages_that_are_here_are_passed_over(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no wheels, expected those of `sh scripts/wheels\.sh"):
        gpu.lacking(tmp_path, {})
    for name in ("numpy-2.0.0", "ruamel.yaml-1.0", "markdown_it_py-4.3.0"):
        (tmp_path / f"{name}-py3-none-any.whl").touch()
    here = gpu.installed_packages()
    assert "numpy" in here
    assert [path.name.split("-")[0] for path in gpu.lacking(tmp_path, {"markdown-it-py": "1"})] == [
        "numpy", "ruamel.yaml",
    ]  # fmt: skip


def test_the_script_that_collects_wheels_wants_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "numpy-1.whl").touch()
    for arguments, message in (
        ([], "usage: sh scripts/wheels.sh DIR"),
        ([tmp_path], "is not empty, expected"),
    ):
        done = subprocess.run(
            ["sh", ROOT / "scripts/wheels.sh", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2 and message in done.stderr
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", ROOT / "scripts/wheels.sh"], check=True)
