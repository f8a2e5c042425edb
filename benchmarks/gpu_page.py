"""What docs/gpu.md shows of the rows, between its markers: so that nobody copies numbers by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.generation import SIZES, network_of
from benchmarks.gpu_checks import PARTS
from benchmarks.gpu_speed import BATCHES, TRAINED
from wavenet_pl.errors import UserError
from wavenet_pl.files.markdown import table
from wavenet_pl.training.memory import network_gib

Row = Mapping[str, Any]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "gpu.md"
NOT_RUN = "not run"
MEMORIES = (16, 24, 40, 80, 141)
"""GiB of the devices in the table of crops."""
CROP_SAMPLES = (4_000, 8_000, 16_000)
SHARE = 0.8
"""Of the memory that a step may take: weights, optimizer and what lies between pieces have the rest."""


def write(path: Path, rows: Iterable[Row]) -> None:
    """Put what there is between the markers of a page.

    Raises:
        UserError: it has no such markers.
    """
    text = path.read_text(encoding="utf-8")
    for name, content in parts_of([*rows]).items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if not 0 <= text.find(begin) < text.find(end):
            raise UserError(f"{path} has no {begin} with {end} behind it, expected both; put them back")
        text = re.sub(
            f"{re.escape(begin)}.*{re.escape(end)}", lambda _: f"{begin}\n{content}\n{end}", text, flags=re.DOTALL  # noqa: B023
        )  # fmt: skip
    path.write_text(text, encoding="utf-8")


def parts_of(rows: Sequence[Row]) -> dict[str, str]:
    """Name of a marker -> what stands there, of the rows that a GPU made."""
    seen = [row for row in rows if str(row["device"]).startswith("cuda")]
    return {
        "machine": machine(seen),
        "checks": checks(seen),
        "generation": generation(seen),
        "training": training(seen),
        "memory": crops_that_fit(),
    }


def machine(rows: Sequence[Row]) -> str:
    """What they were seen on."""
    if not rows:
        return "Nothing has been seen on a GPU yet."
    each = {(str(row["device"]).removeprefix("cuda: "), row["versions"], row["date"]) for row in rows}
    return "\n".join(f"Seen on {device}, {versions}, on {date}." for device, versions, date in sorted(each))


def checks(rows: Sequence[Row]) -> str:
    """A line for each check."""
    lines = []
    for part in PARTS.values():
        for check in part:
            of_it = [row for row in rows if row["check"] == check.name]
            engines = [f"{row['engine']}: " if len(of_it) > 1 and "engine" in row else "" for row in of_it]
            seen = [
                f"{engine}{'' if row['passed'] else 'FAILED: '}{row['seen']}"
                for engine, row in zip(engines, of_it, strict=True)
            ]
            if check.name in ("generation", "training"):
                seen = ["see below"] if of_it else []
            missing = NOT_RUN + (f": it takes {check.devices} devices" if check.devices > 1 else "")
            lines.append((check.name, check.expected, "; ".join(seen) or missing))
    return table(("what", "expected", "seen"), lines)


def generation(rows: Sequence[Row]) -> str:
    """Samples a second by size, engine and batch."""
    roofs = [row["seen"] for row in rows if row["check"] == "roofs"][:1]
    measured = {
        (row["size"], row["engine"], row["batch"]): row
        for row in rows
        if row["check"] == "generation" and row["passed"]
    }
    if not measured:
        return "*not run*"
    lines = []
    for size in SIZES:
        for engine in dict.fromkeys(engine for _, engine, _ in measured):
            cells = [measured.get((size, engine, batch)) for batch in BATCHES]
            shown = [
                f"{row['samples_per_second']:,.0f} ({row['roof_fraction']:.0%})" if row else NOT_RUN for row in cells
            ]  # fmt: skip
            lines.append((size, engine, *shown))
    heads = ("size", "engine", *(f"{batch} clip{'s' * (batch > 1)}" for batch in BATCHES))
    return "\n\n".join([*(f"Roofs: {text}." for text in roofs), table(heads, lines)])


def training(rows: Sequence[Row]) -> str:
    """Predictions a second by size and way."""
    measured = [row for row in rows if row["check"] == "training" and row["passed"]]
    if not measured:
        return "*not run*"
    measured.sort(key=lambda row: TRAINED.index(row["size"]) if row["size"] in TRAINED else len(TRAINED))
    lines = [
        (
            row["size"], row["who"], row["way"], f"{row['crops']} x {row['crop_samples']:,}",
            f"{row['predictions_per_second']:,.0f}", f"{row['mfu']:.1%}", f"{row['roof_fraction']:.0%}",
            f"{row['memory_gib']:.1f}" + (f" ({row['estimated_gib']:.1f})" if "estimated_gib" in row else ""),
        )
        for row in measured
    ]  # fmt: skip
    return table(
        ("size", "who", "way", "crops", "predictions/s", "MFU", "of the roof", "GiB (estimated)"), lines
    )


def crops_that_fit() -> str:
    """How many crops a step has room for, by what `train` estimates, in bf16-mixed."""
    lines = []
    for name in TRAINED:
        network = network_of(SIZES[name])
        for crop_samples in CROP_SAMPLES:
            one = network_gib(network, crop_samples, 1, "bf16-mixed")
            fits = [f"{int(SHARE * memory / one):,}" for memory in MEMORIES]
            lines.append((name, f"{crop_samples:,}", f"{1024 * one:,.0f}", *fits))
    return table(("size", "crop", "MiB a crop", *(f"{memory} GiB" for memory in MEMORIES)), lines)
