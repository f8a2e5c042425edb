"""What it is worth to begin with weights made elsewhere: bits before the first step and after some, beside a start from
nothing on the same data.

    python benchmarks/beginnings.py --corpora DIR --json beginnings.json --folder runs
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.corpora import prepared
from benchmarks.records import Records, build_parser, print_table, run, workplace
from wavenet_pl.config.tree import load_config, split_arguments
from wavenet_pl.evaluation.scoring import Score, grouped, score
from wavenet_pl.runs.checkpoints import validation_bits
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.shards.shard_set import open_set
from wavenet_pl.training.train import build_task

_THREE = ("allison_en", "june_fr", "carlo_it")
_MEL = ("speaker", "model.condition.inputs=[mel]")


@dataclass(frozen=True)
class Beginning:
    """One row: what is trained, then begun with."""

    kind: tuple[str, ...]
    """Arguments of the base's training, but for its size and data."""
    base: tuple[str, tuple[str, ...]]
    """Corpus and speakers of the base; none for all."""
    new: tuple[str, tuple[str, ...]]
    """The same of what begins with it."""
    new_kind: tuple[str, ...] = ()
    """Where that is another kind."""


BEGINNINGS = {
    "speaker, two more speakers": Beginning(
        ("speaker",), ("speech_multi", _THREE), ("speech_multi", (*_THREE, "nsh_ru", "ivrvoice_ru"))
    ),
    "speaker, another input beside it": Beginning(
        ("speaker",), ("speech_multi", _THREE), ("speech_multi", _THREE),
        ("speaker", "model.condition.inputs=[speaker,lang]"),
    ),
    "unconditional, another corpus": Beginning(
        ("unconditional",), ("speech_multi", _THREE), ("snap_librispeech", ())
    ),
    "vocoder, another voice": Beginning(
        _MEL, ("speech_multi", ("allison_en",)), ("speech_multi", ("nsh_ru",))
    ),
}  # fmt: skip
SIZE = (
    "small",
    "data.num_workers=0",
    "train.threads=1",
    "trainer.accelerator=cpu",
    "samples.every_n_steps=0",
    "wandb.mode=disabled",
)


def train(folder: Path, name: str, arguments: Sequence[str], steps: int) -> RunFolder:
    """A training that validates at its end; with other steps it is a run of another name, and goes on with none."""
    limits = (f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}")
    return command.train(folder, [f"name={name}-{steps}", *arguments, *limits])


def bits_before(arguments: Sequence[str], folder: Path) -> float:
    """Of the validation split, before the first step."""
    config = load_config(*split_arguments(arguments))
    task = build_task(config, open_set(config.data.path), folder / "none")
    task.module.eval()
    scores = score(task.module.model, task.data.splits["val"], lambda share: None)
    return grouped("all", [each for each in scores if isinstance(each, Score)]).bits.mean


def measure(name: str, args: Namespace, folder: Path) -> dict[str, Any]:
    """A base, and both starts on the new data: a flat record."""
    row, corpora = BEGINNINGS[name], args.corpora.resolve()
    slug, short, long = name.replace(",", "").replace(" ", "-"), args.steps, args.base_steps
    old, new = (prepared(corpora, corpus, folder, speakers) for corpus, speakers in (row.base, row.new))
    base_name = f"base-{row.kind[0]}-{len(row.kind)}"
    base = train(folder, base_name, [*row.kind, *SIZE, f"data.path={old}"], long)
    fresh = [*(row.new_kind or row.kind), *SIZE, f"data.path={new}"]
    begun = [*fresh, f"train.init_from={base.path}"]
    after_begun = train(folder, f"{slug}-begun", begun, short)
    after_fresh = train(folder, f"{slug}-fresh", fresh, short)
    return {
        "base_bits": validation_bits(base)[long],
        "bits_at_0": bits_before(begun, folder),
        "bits_at_0_from_nothing": bits_before(fresh, folder),
        f"bits_at_{short}": validation_bits(after_begun)[short],
        f"bits_at_{short}_from_nothing": validation_bits(after_fresh)[short],
    }


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it all."""
    if args.quick:
        args.steps, args.base_steps = 5, 5
    records = Records(args.json)
    with workplace(args.folder) as folder:
        for name in args.only:
            facts = {
                "benchmark": "beginnings",
                "begins": name,
                "base_steps": args.base_steps,
                "steps": args.steps,
            }
            records.measure(facts, lambda: measure(name, args, folder))  # noqa: B023
    print_table(records.of("beginnings"))
    return 0


if __name__ == "__main__":
    parser = build_parser("what is it worth to begin with weights made elsewhere?")
    parser.add_argument("--corpora", type=Path, required=True, metavar="DIR", help="folders of recordings")
    parser.add_argument(
        "--only", nargs="+", choices=BEGINNINGS, default=list(BEGINNINGS), help="these rows (all)"
    )
    parser.add_argument("--base-steps", type=int, default=600, metavar="N", help="of the bases (600)")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="of what begins with them (100)")
    run(main, parser.parse_args())
