"""What a recipe gives: bits of small networks after the same steps, the same predictions and the same time.

All are trained on the same crops in the same order, and validated on every sample of the validation split: ours with
one recipe after another, and networks of public implementations with their settings and with ours.

    python benchmarks/recipe.py --corpora DIR --json recipe.json --folder runs --peer CHECKOUT --peer ANOTHER
"""

from __future__ import annotations

import contextlib
import itertools
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.corpora import OWN_SPLITS, name_of_set, prepared_folder
from benchmarks.loop import CLIP, Training, of_ours, train
from benchmarks.peer_networks import PeerNetwork, load_network
from benchmarks.recipes import CHOSEN, RECIPES, SIZES, Recipe
from benchmarks.records import Records, build_parser, run, workplace
from wavenet_pl.config.tree import Config, load_config
from wavenet_pl.errors import UserError
from wavenet_pl.model import Model
from wavenet_pl.training.optimizer import Muon

CORPUS = "speech_multi"


def prepared(corpora: Path, folder: Path) -> Path:
    """The shard set, written once."""
    options = ["--mel", *OWN_SPLITS]
    return prepared_folder(corpora / CORPUS, folder, name_of_set(CORPUS, options), options)


def of_peer(peer: PeerNetwork, model: Model, config: Config | None) -> Training:
    """Another's network, with the settings of a config or with its own."""

    def outputs(batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        codes, counted = model.codec.encode(batch["audio"]), batch["counted"]
        last = counted.shape[1]
        made = peer.outputs(codes[:, :-1])[..., -last:]
        return made, codes[:, -last:], counted

    if config is None:
        optimizer = peer.optimizer(peer.module.parameters(), lr=peer.lr)
        return Training(peer.module, outputs, optimizer, lambda step: 1.0, None)
    optim, inside = config.optim, [each for layer in peer.layers for each in layer.parameters()]
    # As with ours; a weight norm's lengths are no matrices.
    matrices = {each: None for each in inside if each[0].numel() > 1}
    others = [each for each in peer.module.parameters() if each not in matrices]
    optimizer = Muon(others, matrices, lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay)
    return Training(peer.module, outputs, optimizer, config.lr_factor, CLIP)


def measure(
    who: str,
    build: Callable[[Model, Config], Training],
    config: Config,
    precision: str,
    marks: Sequence[int],
    kept: Path,
) -> dict[str, Any]:
    """Trains to the last mark; bits at each, and the seconds of the processor until then.

    Args:
        who: its name, for the progress.
        build: makes what is trained.
        config: of the row.
        precision: bfloat16, or float32.
        marks: steps after which it is validated.
        kept: a file from which it goes on when it was interrupted.
    """
    for going in train(who, build, config, precision, kept, lambda going: going.step / marks[-1]):
        if going.step in marks:
            going.record[f"bits_{going.step}"] = going.validated()
            going.record[f"trained_s_{going.step}"] = round(going.trained, 1)
    return going.record


def config_of(args: Namespace, data: Path, seed: int, settings: str, steps: int) -> Config:
    """The config of a row."""
    schedule = (
        f"optim.schedule=cosine optim.decay_steps={steps} optim.final_lr_fraction=0.05 "
        f"optim.warmup_steps={min(50, steps // 2)}"
    )
    told = "model.kind=speaker model.condition.inputs=[mel]" if args.mel else ""
    given = f"{SIZES[args.size].settings} {schedule} {told} {settings}".split()
    return load_config([], [*given, f"seed={seed}", f"data.path={data}"])


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it all."""
    if args.corpora is None:
        raise UserError("no corpora are named, expected the folder of them; name it with --corpora")
    records, size = Records(args.json), SIZES[args.size]
    if args.threads:
        torch.set_num_threads(args.threads)
    with workplace(args.folder) as folder:
        data = prepared(args.corpora.resolve(), folder)
        for seed, (who, recipe, build) in itertools.product(args.seed, rows_of(args)):
            steps = 5 if args.quick else round(size.steps * recipe.steps)
            marks = [steps] if args.quick else [round(steps * share) for share in size.marks]
            facts = {
                "benchmark": "recipe", "size": args.size, "precision": args.precision, "mel": args.mel, "seed": seed,
                "who": who, "steps": steps, "quick": args.quick,
            }  # fmt: skip
            kept = folder / ("-".join(str(fact) for fact in facts.values()) + ".pt")
            config = config_of(args, data, seed, recipe.settings, steps)
            records.measure(
                facts, lambda: measure(who, build, config, args.precision, marks, kept)  # noqa: B023
            )  # fmt: skip
    show(records, args)
    return 0


def rows_of(args: Namespace) -> list[tuple[str, Recipe, Callable[[Model, Config], Training]]]:
    """Name, recipe, and how it is built, of each row that is asked for."""
    rows: list[tuple[str, Recipe, Callable[[Model, Config], Training]]] = []
    for name, recipe in RECIPES.items():
        if args.only and name not in args.only:
            continue

        def build(model: Model, config: Config, recipe: Recipe = recipe) -> Training:
            if recipe.change is not None:
                recipe.change(model)
            return of_ours(model, config)

        rows.append((name, recipe, build))
    for checkout in args.peer:
        for whose, ours in (("its own settings", False), ("our settings", True)):

            def build_peer(
                model: Model, config: Config, checkout: Path = checkout, ours: bool = ours
            ) -> Training:
                peer = load_network(checkout.resolve(), config.model.network)
                return of_peer(peer, model, config if ours else None)

            rows.append((f"{checkout.name}, {whose}", RECIPES[CHOSEN], build_peer))
    return rows


def show(records: Records, args: Namespace) -> None:
    """A line for each row: bits under the first recipe's of the same seed."""
    asked = {"size": args.size, "mel": args.mel, "precision": args.precision, "quick": args.quick}
    rows = [row for row in records.of("recipe") if asked.items() <= row.items()]
    for row in rows:
        marks = sorted(int(name.removeprefix("bits_")) for name in row if name.startswith("bits_"))
        cells = [f"{row[f'bits_{mark}']:6.3f} at {mark} ({row[f'trained_s_{mark}']:.0f} s)" for mark in marks]
        with contextlib.suppress(StopIteration):
            first = next(one for one in rows if one["seed"] == row["seed"])
            more = row[f"bits_{marks[-1]}"] - first[f"bits_{first['steps']}"]
            cells.append(f"{more:+.3f}")
        print(f"{row['who']:32s} {row['precision']} seed {row['seed']}  " + "  ".join(cells))


if __name__ == "__main__":
    parser = build_parser("bits of recipes, and of other networks, on the same crops in the same order")
    parser.add_argument("--corpora", type=Path, metavar="DIR", help="a folder with the corpora")
    parser.add_argument("--size", choices=sorted(SIZES), default="small", help="of the network (%(default)s)")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="(%(default)s)"
    )
    parser.add_argument("--mel", action="store_true", help="given mel frames, so a vocoder")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], metavar="N", help="one or more")
    parser.add_argument("--only", nargs="+", choices=sorted(RECIPES), help="some of the recipes")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch")
    parser.add_argument(
        "--peer", type=Path, action="append", default=[], metavar="CHECKOUT", help="of another implementation"
    )
    run(main, parser.parse_args())
