"""report.md: hours, speakers, levels, lengths, and what was dropped and why; the same bytes for the same corpus."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from data_prep.flaws import FLAWS
from data_prep.plan import Plan
from data_prep.results import Result, Row
from data_prep.rules import FILE_RULES, RULES
from data_prep.sources import printable
from wavenet_pl.files import foreign
from wavenet_pl.files.markdown import cell, table
from wavenet_pl.shards.index import SPLITS
from wavenet_pl.shards.spool import Spool

_MOST_KINDS = 12
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
        f"# Prepared corpus: {cell(result.plan.options['corpus'])}",
        _summary(result),
        f"![lengths, speakers, levels and rules]({PLOT_NAME})",
        "## Splits\n\n" + _splits(result),
        *(["## Sources\n\n" + sources] if (sources := _sources(result)) else []),
        "## Rules\n\n" + _rules(result),
        "## Lengths and levels\n\n" + _distributions(result),
        "## Speakers\n\n" + _speakers(result),
        *(["## Tags\n\n" + tags] if (tags := _names(result, "tag", lambda row: list(row["tags"]))) else []),
        *(
            f"## {cell(name)}\n\n" + _names(result, name, partial(_name, name))
            for name in result.plan.options.get("tables", ())
        ),
        *(["## Frames\n\n" + frames] if (frames := _frames(result)) else []),
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
        or (rule in FILE_RULES and rule not in {each.rule for each in result.frames})
        or (rule == "level" and rules["loudness"] is None and rules["rms"] is None)
    )


def _summary(result: Result) -> str:
    lines = [
        f"{result.count()} recordings, {hours(result.seconds())} at {result.sample_rate} Hz.",
        f"{len(result.dropped)} of {result.plan.num_sources} sources were dropped.",
    ]
    lines += [f"{cell(note[:1].upper() + note[1:])}." for note in result.plan.notes]
    lines += [f"{cell(line)}." for line in left_alone(result.plan)]
    return " ".join(lines)


def left_alone(plan: Plan) -> list[str]:
    """What was not read, by the ends of the files' names: a line, or none."""
    kinds = sorted(plan.left_alone.items(), key=lambda item: (-item[1], item[0]))
    counts = [f"{count} {foreign.printable(printable(kind))}" for kind, count in kinds[:_MOST_KINDS]]
    if more := sum(count for _, count in kinds[_MOST_KINDS:]):
        counts.append(f"{more} of {len(kinds) - _MOST_KINDS} more kinds")
    return [f"Files of other kinds were left alone: {', '.join(counts)}"] if counts else []


def _splits(result: Result) -> str:
    lines = [
        [
            split,
            str(result.plan.num_of(split)),
            str(result.count(split)),
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
    return table(["split", "sources", "recordings", "length", "speakers", "shards"], lines)


def _sources(result: Result) -> str:
    """A table for each property of the files that were read; empty where none were."""
    return "\n\n".join(
        table(
            [name, "sources", "length"],
            [[value, str(n), hours(length)] for value, (n, length) in values.items()],
        )
        for name, values in result.properties.items()
        if values
    )


def _rules(result: Result) -> str:
    lines = []
    for rule, tally in result.rules.items():
        lines.append(
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
    return table(heads, lines) + note


def _distributions(result: Result) -> str:
    rows = result.measures()
    if not len(rows):
        return "Nothing is left."
    values = {
        "length, s": rows["frames"] / result.sample_rate,
        "peak, dBFS": decibels(rows["peak"]),
        "RMS, dBFS": decibels(rows["rms"]),
    }
    shares = (0, 5, 50, 95, 100)
    lines = [
        [name, *(f"{np.percentile(numbers, share):.2f}" for share in shares)]
        for name, numbers in values.items()
    ]
    return table(["", "least", "5 %", "median", "95 %", "most"], lines)


def _speakers(result: Result) -> str:
    lines = [
        [
            name,
            str(sum(count for count, _ in splits.values())),
            _minutes(sum(frames for _, frames in splits.values()), result),
            *(_minutes(splits[split][1], result) for split in SPLITS),
        ]
        for name, splits in result.speakers.items()
    ]
    heads = ["speaker", "recordings", "minutes", *(f"minutes {split}" for split in SPLITS)]
    return table(heads, lines) if lines else "Nothing is left."


def _names(result: Result, head: str, names_of: Callable[[Row], Sequence[str]]) -> str:
    """Recordings and minutes of each name; empty where there is none."""
    counts: Counter[str] = Counter()
    frames: Counter[str] = Counter()
    for row in result.rows():
        for name in names_of(row):
            counts[name] += 1
            frames[name] += row["frames"]
    lines = [[name, str(count), _minutes(frames[name], result)] for name, count in sorted(counts.items())]
    return table([head, "recordings", "minutes"], lines) if lines else ""


def _name(of: str, row: Row) -> Sequence[str]:
    return [row["tables"].get(of, "(none)")]


def _frames(result: Result) -> str:
    lines = []
    for each in result.frames:
        settings = ", ".join(f"{key} {_setting(value)}" for key, value in each.spec.items())
        # What version 0.1.0 tallied stands in the rows themselves.
        tallies = Spool(
            {
                **{name: value for name, value in row.items() if isinstance(value, (int, float))},
                **row.get("arrays", {}).get(each.name, {}),
            }
            for row in result.rows()
        )
        summary = each.report(tallies, result.sample_rate)
        lines.append("- " + cell(f"{each.name}: {hours(result.seconds())}, {summary} ({settings})."))
    return "\n".join(lines)


def _dropped(result: Result) -> str:
    lines = [
        [row["source"], row["split"], row["rule"], row["reason"], f"{row['seconds']:.2f}"]
        for row in result.dropped
    ]
    return table(["source", "split", "rule", "reason", "seconds"], lines) if lines else "Nothing was dropped."


def _flaws(result: Result) -> str:
    """What was kept as it is, and may have to be looked at."""
    counts = flaw_counts(result)
    if not counts:
        return "No source has one."
    meanings = "\n".join(f"- {count} x {flaw}: {FLAWS[flaw]}." for flaw, count in counts.items())
    lines = [[row["source"], row["split"], row["flaw"], row["found"]] for row in result.flaws]
    return f"These are kept.\n\n{meanings}\n\n" + table(["source", "split", "flaw", "found"], lines)


def _settings(result: Result) -> str:
    lines = []
    for group, value in result.plan.options.items():
        if isinstance(value, Mapping):
            lines += [[f"{group}.{name}", _setting(item)] for name, item in value.items()]
        else:
            lines.append([group, _setting(value)])
    return table(["setting", "value"], sorted(lines))


def _setting(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)


def _minutes(frames: int, result: Result) -> str:
    return f"{frames / result.sample_rate / 60:.2f}"


def count_of(recordings: float) -> str:
    """How many recordings, in words: ``1 recording``, ``2 recordings``."""
    return f"{int(recordings)} recording{'' if recordings == 1 else 's'}"


def hours(seconds: float) -> str:
    """A length in words: ``1.25 h``, below an hour ``7.50 min``."""
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.2f} min"


def decibels(amplitudes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of full scale 1; -100 for nothing at all."""
    levels = (max(20 * math.log10(each), -100.0) if each > 0 else -100.0 for each in amplitudes)
    return np.fromiter(levels, np.float64, len(amplitudes))
