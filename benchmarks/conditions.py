"""Does a model use what it is told? Each kind is trained for some minutes and told the truth, and something else.

Beside each is what simple models reach on the same recordings. A model of mel frames reads the same shards as one
that is told nothing, and each training is begun once more on two ranks.

    python benchmarks/conditions.py --corpora DIR --json conditions.json --folder runs
"""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.command import train, wavenet_pl
from benchmarks.corpora import OWN_SPLITS, name_of_set, prepared_folder
from benchmarks.records import Records, build_parser, print_table, run, workplace
from wavenet_pl.errors import UserError
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.tracking.rows import read_metrics
from wavenet_pl.tracking.wandb_log import read_log

SIXTEEN_BITS = (
    "model.head.kind=logistics",
    "model.codec.kind=linear",
    "model.codec.quantization_channels=65536",
)
CAPTIONS = ["val/clips/free-running", "captions"]
"""Where W&B keeps them."""


@dataclass(frozen=True)
class Model:
    """One row: what is trained on what."""

    told: str
    """What the model is told."""
    corpus: str
    """A folder below --corpora."""
    prepare: str
    """Options of `wavenet-pl prepare`."""
    train: str
    """Arguments of `wavenet-pl train`, but for the data."""


FEW = "--val-fraction 0.2 --test-fraction 0"
"""For a corpus of so few recordings that a twentieth of them would say nothing."""
MODELS = {
    "speaker": Model("speaker", "speech_multi", "--mel", "speaker small"),
    "notes": Model("notes", "piano", f"--notes {FEW}", "music small"),
    "tags": Model(
        "tags", "music_real", f"--tag-columns genre,mood {FEW}", "music small model.condition.inputs=[tags]"
    ),
    "mel": Model("mel", "speech_multi", "--mel", "vocoder small"),
    "no-mel": Model("nothing", "speech_multi", "--mel", " ".join(["unconditional small", *SIXTEEN_BITS])),
    "mel-8": Model("mel", "speech_multi", "--mel", "speaker small model.condition.inputs=[mel]"),
    "no-mel-8": Model("nothing", "speech_multi", "--mel", "unconditional small"),
}
"""What runs are called -> the model."""


@dataclass(frozen=True)
class Trained:
    """What came of it."""

    data: Path
    """The shard set."""
    arguments: list[str]
    """Of `wavenet-pl train`."""
    run: RunFolder


def trained(name: str, corpora: Path, folder: Path, steps: int | None) -> Trained:
    """Prepares and trains, or goes on with both."""
    model = MODELS[name]
    options = [*OWN_SPLITS, *model.prepare.split()]
    set_name = name_of_set(model.corpus, options)
    data = prepared_folder(corpora / model.corpus, folder, set_name, options)
    arguments = [
        *model.train.split(),
        f"name={name}",
        f"data.path={data}",
        "trainer.accelerator=cpu",
    ]
    if steps is not None:
        arguments += [f"trainer.max_steps={steps}", f"optim.decay_steps={steps}"]
    return Trained(data, arguments, train(folder, arguments))


def measure(name: str, corpora: Path, folder: Path, steps: int | None) -> dict[str, Any]:
    """Prepare, train, evaluate: a flat record."""
    made = trained(name, corpora, folder, steps)
    of_one = made.run
    wavenet_pl(folder, ["evaluate", str(of_one.path), "--json", str(folder / f"{name}.json")])
    ranks = "samples.every_n_steps=0 trainer.devices=2 trainer.max_steps=50 trainer.limit_val_batches=0"
    of_two = train(folder, [*made.arguments, "--runs", "two", *ranks.split()])
    found = json.loads((folder / f"{name}.json").read_text())
    overall, order1 = found["overall"], found["baselines"]["order1"]
    bits = overall["comparable_bits"][0]
    said = captions(of_one)
    return {
        "steps": max(losses(of_one)),
        "recordings": found["scored_recordings"],
        "codes": found["subject"]["codes"],
        "own_bits": overall["bits"][0],
        "bits": bits,
        "order1_bits": order1,
        "under_order1": order1 - bits,
        **dict(
            zip(("gap", "gap_low", "gap_high"), found["gaps"].get(MODELS[name].told, [None] * 3), strict=True)
        ),
        "effective_context": found["effective_receptive_field"],
        "ranks_differ": difference(losses(of_one), losses(of_two)),
        "clips_tracked": len(said),
        "caption": said[-1],
        "clips_with_faults": sum(bool(clip["faults"]) for clip in found["clips"]),
    }


def losses(folder: RunFolder) -> dict[int, float]:
    """Step -> loss."""
    return {row["step"]: row["train/loss"] for row in read_metrics(folder.metrics) if "train/loss" in row}


def difference(one: dict[int, float], two: dict[int, float]) -> float:
    """The largest relative difference between two runs, over the steps that both have."""
    return max(abs(two[step] / one[step] - 1) for step in one.keys() & two.keys())


def captions(folder: RunFolder) -> list[str]:
    """Those of the clips that W&B was given last."""
    texts: list[str] = []
    for start in sorted(folder.path.glob("wandb/offline-run-*")):
        for record in read_log(start):
            for item in record.history.item if record.HasField("history") else ():
                if list(item.nested_key) == CAPTIONS:
                    texts = json.loads(item.value_json)
    return texts


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it."""
    records, steps = Records(args.json), 60 if args.quick else args.steps
    for name in args.only:
        if not (args.corpora / MODELS[name].corpus).is_dir():
            raise UserError(
                f"{args.corpora / MODELS[name].corpus} is no folder; say with --corpora where it is"
            )
    with workplace(args.folder) as folder:
        for name in args.only:
            facts = {
                "benchmark": "conditions",
                "told": name,
                "train": MODELS[name].train,
                "quick": args.quick,
                "max_steps": steps,
            }
            records.measure(facts, partial(measure, name, args.corpora.resolve(), folder, steps))
    print_table(records.of("conditions"))
    return 0


if __name__ == "__main__":
    parser = build_parser("does a model use what it is told?")
    parser.add_argument("--corpora", type=Path, required=True, metavar="DIR", help="folders of recordings")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS), help="these models (all)")
    parser.add_argument("--steps", type=int, metavar="N", help="train for so many (those of the configs)")
    run(main, parser.parse_args())
