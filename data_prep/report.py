"""report.md: hours, speakers, levels, lengths, and what was dropped and why; the same bytes for the same corpus."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from data_prep.results import Result
from data_prep.rules import FLAWS, RULES
from wavenet_pl.shards.index import SPLITS

REPORT_NAME, PLOT_NAME = "report.md", "report.png"

_DEMO_LICENCES = """\
Recorded speech under Creative Commons licences, which go wherever these shards go; each recording's JSON names its own.

- `allison_en`: © 2003-2010 Allison Smith (http://www.theivrvoice.com), [CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/)
- `carlo_it`: © 2012 Carlo Flora (http://www.carloflora.com), [CC BY 3.0](https://creativecommons.org/licenses/by/3.0/)
- `ivrvoice_ru`: © 2010 Maxim Topal (http://www.ivrvoice.ru), [CC BY 3.0](https://creativecommons.org/licenses/by/3.0/)
- `june_fr`: © 2006-2008 June Wallack (http://www.junewallack.com), [CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/)

Sources, credits in full and changes: `data_prep/demo/LICENSES.md` in the source of wavenet-pl."""


def write_report(result: Result) -> str:
    """The report as Markdown."""
    sections = [
        f"# Prepared corpus: {result.plan.options['corpus']}",
        _summary(result),
        f"![lengths, speakers, levels and rules]({PLOT_NAME})",
        "## Splits\n\n" + _splits(result),
        "## Rules\n\n" + _rules(result),
        "## Lengths and levels\n\n" + _distributions(result),
        "## Speakers\n\n" + _speakers(result),
        *(["## Tags\n\n" + tags] if (tags := _tags(result)) else []),
        *(["## Features\n\n" + features] if (features := _features(result)) else []),
        "## Dropped\n\n" + _dropped(result),
        "## Flaws\n\n" + _flaws(result),
        "## Settings\n\n" + _settings(result),
        *(["## Licences\n\n" + _DEMO_LICENCES] if result.plan.options["corpus"] == "demo" else []),
    ]
    return "\n\n".join(sections) + "\n"


def rule_lines(result: Result) -> Iterator[str]:
    """One line a rule, for the terminal."""
    for rule, tally in result.rules.items():
        effects = [
            f"{count_of(tally['recordings_dropped'])} dropped" if tally["recordings_dropped"] else "",
            f"{count_of(tally['recordings_changed'])} changed" if tally["recordings_changed"] else "",
            f"{count_of(tally['recordings_limited'])} limited by peaks"
            if tally["recordings_limited"]
            else "",
        ]
        note = ", ".join(effect for effect in effects if effect) or (
            "off" if _off(result, rule) else "nothing to do"
        )
        yield f"  {rule:9} kept {tally['kept']:10.1f} s  dropped {tally['dropped']:8.1f} s  {note}"


def flaw_counts(result: Result) -> dict[str, int]:
    """Flaw -> how many sources have it, of those that some have."""
    counts = Counter(row["flaw"] for row in result.flaws)
    return {flaw: counts[flaw] for flaw in FLAWS if counts[flaw]}


def _off(result: Result, rule: str) -> bool:
    rules = result.plan.options["rules"]
    return (
        (rule == "trim" and rules["trim"] is None)
        or (rule == "notes" and "notes" not in rules)
        or (rule == "level" and rules["loudness"] is None and rules["rms"] is None)
    )


def _summary(result: Result) -> str:
    count = sum(1 for _ in result.rows())
    lines = [
        f"{count} recordings, {hours(result.seconds())} at {result.sample_rate} Hz.",
        f"{len(result.dropped)} of {result.plan.num_sources} sources were dropped.",
    ]
    if result.plan.unlisted:
        lines.append(f"{result.plan.unlisted} sources are not in metadata.csv.")
    if result.plan.left_alone:
        kinds = ", ".join(f"{n} {_cell(kind)}" for kind, n in sorted(result.plan.left_alone.items()))
        lines.append(f"Files of other kinds were left alone: {kinds}.")
    return " ".join(lines)


def _splits(result: Result) -> str:
    table = [
        [
            split,
            str(result.plan.num_of(split)),
            str(sum(1 for _ in result.rows(split))),
            hours(result.seconds(split)),
            str(len({row["speaker"] for row in result.rows(split)} - {None})),
            str(
                sum(
                    1
                    for s, r in zip(result.plan.shards, result.records, strict=True)
                    if s.split == split and r["bytes"]
                )
            ),
        ]
        for split in SPLITS
    ]
    return _table(["split", "sources", "recordings", "length", "speakers", "shards"], table)


def _rules(result: Result) -> str:
    table = []
    for rule, tally in result.rules.items():
        table.append(
            [
                rule,
                "off" if _off(result, rule) else RULES[rule],
                f"{tally['kept']:.2f}",
                f"{tally['dropped']:.2f}",
                str(int(tally["recordings_dropped"])),
                str(int(tally["recordings_changed"])),
            ]
        )
    heads = [
        "rule",
        "what it does",
        "seconds kept",
        "seconds dropped",
        "recordings dropped",
        "recordings changed",
    ]
    note = "\n\nWhat cannot be decoded has the seconds that were read of it until then."
    if limited := result.rules["level"]["recordings_limited"]:
        note += f" {count_of(limited)} stayed below the wanted level, because peaks would have been clipped."
    return _table(heads, table) + note


def _distributions(result: Result) -> str:
    rows = list(result.rows())
    if not rows:
        return "Nothing is left."
    values = {
        "length, s": [row["frames"] / result.sample_rate for row in rows],
        "peak, dBFS": [decibels(row["peak"]) for row in rows],
        "RMS, dBFS": [decibels(row["rms"]) for row in rows],
    }
    shares = (0, 5, 50, 95, 100)
    table = [
        [name, *(f"{np.percentile(numbers, share):.2f}" for share in shares)]
        for name, numbers in values.items()
    ]
    return _table(["", "least", "5 %", "median", "95 %", "most"], table)


def _speakers(result: Result) -> str:
    table = [
        [
            _cell(name),
            str(sum(count for count, _ in splits.values())),
            _minutes(sum(frames for _, frames in splits.values()), result),
            *(_minutes(splits[split][1], result) for split in SPLITS),
        ]
        for name, splits in result.speakers.items()
    ]
    heads = ["speaker", "recordings", "minutes", *(f"minutes {split}" for split in SPLITS)]
    return _table(heads, table) if table else "Nothing is left."


def _tags(result: Result) -> str:
    found: dict[str, list[int]] = {}
    for row in result.rows():
        for tag in row["tags"]:
            found.setdefault(tag, []).append(row["frames"])
    table = [
        [_cell(tag), str(len(frames)), _minutes(sum(frames), result)] for tag, frames in sorted(found.items())
    ]
    return _table(["tag", "recordings", "minutes"], table) if table else ""


def _features(result: Result) -> str:
    lines = []
    rows = list(result.rows())
    for name, spec in result.features.items():
        seconds = result.seconds() or 1.0
        if name == "notes":
            count, frames = (
                sum(row["notes"] for row in rows),
                sum(row["pedal"] * row["frames"] for row in rows),
            )
            pedal = frames / result.sample_rate / seconds
            told = f"{count / seconds:.2f} notes a second, the pedal down in {pedal:.1%} of the frames"
        else:
            told = (
                f"mean {sum(row['mel'] * row['frames'] for row in rows) / result.sample_rate / seconds:.3f}"
            )
        settings = ", ".join(f"{key} {value:g}" for key, value in spec.to_plain().items())
        lines.append(f"- {name}: {hours(result.seconds())}, {told} ({settings}).")
    return "\n".join(lines)


def _dropped(result: Result) -> str:
    table = [
        [_cell(row["source"]), row["split"], row["rule"], _cell(row["reason"]), f"{row['seconds']:.2f}"]
        for row in result.dropped
    ]
    return (
        _table(["source", "split", "rule", "reason", "seconds"], table) if table else "Nothing was dropped."
    )


def _flaws(result: Result) -> str:
    """What was kept as it is, and may have to be looked at."""
    counts = flaw_counts(result)
    if not counts:
        return "No source has one."
    told = [f"{count} x {flaw}: {FLAWS[flaw]}." for flaw, count in counts.items()]
    table = [[_cell(row["source"]), row["split"], row["flaw"], _cell(row["found"])] for row in result.flaws]
    return f"Kept as they are. {' '.join(told)}\n\n" + _table(["source", "split", "flaw", "found"], table)


def _settings(result: Result) -> str:
    table = []
    for group, value in result.plan.options.items():
        if isinstance(value, Mapping):
            table += [[f"{group}.{name}", _setting(item)] for name, item in value.items()]
        else:
            table.append([group, _setting(value)])
    return _table(["setting", "value"], sorted(table))


def _setting(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return _cell(", ".join(map(str, value)) or "-")
    return "-" if value is None else _cell(str(value))


def _minutes(frames: int, result: Result) -> str:
    return f"{frames / result.sample_rate / 60:.2f}"


def count_of(recordings: float) -> str:
    """A number of recordings, for people."""
    return f"{int(recordings)} recording{'' if recordings == 1 else 's'}"


def hours(seconds: float) -> str:
    """A length, for people."""
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.2f} min"


def decibels(amplitude: float) -> float:
    """Of full scale 1; -100 for nothing at all."""
    return max(20 * math.log10(amplitude), -100.0) if amplitude > 0 else -100.0


def _cell(text: str) -> str:
    """Text from a file name or a table, so that it stays text in a table of Markdown."""
    plain = re.sub(r"[\x00-\x1f\x7f]", "?", text)
    return re.sub(r"([\\`*{}\[\]<>|#])", r"\\\1", plain)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
