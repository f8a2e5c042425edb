"""What a recipe gives: bits of small networks after the same steps, the same predictions and the same time.

All are trained on the same crops in the same order, and validated on every sample of the validation split: ours with
one recipe after another, and networks of public implementations with their settings and with ours.

    python benchmarks/recipe.py --corpora DIR --json recipe.json --folder runs --peer CHECKOUT --peer ANOTHER
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.command import wavenet_pl
from benchmarks.peer_networks import PeerNetwork, load_network
from benchmarks.records import Records, build_parser, run, workplace
from wavenet_pl.config.tree import Config, load_config
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.errors import UserError
from wavenet_pl.model import Model
from wavenet_pl.shards.index import INDEX_NAME
from wavenet_pl.training.optimizer import build_optimizer

CORPUS = "speech_multi"
CLIP = 1.0
"""Norm of the gradients that `trainer.gradient_clip_val` of the configs allows."""


@dataclass(frozen=True)
class Recipe:
    """What differs from the ones before: settings of a config, and what no setting says."""

    settings: str = ""
    change: Callable[[Model], None] | None = None


@dataclass(frozen=True)
class Size:
    """What all rows of one size have alike."""

    settings: str
    steps: int
    marks: tuple[int, ...]
    """Steps after which all of them are validated."""


SMALL = (
    "model.network.stacks=2 model.network.layers_per_stack=8 model.network.residual_channels=32 "
    "model.network.gate_channels=64 model.network.skip_channels=64"
)
"""The network of the `small` config."""
SIZES = {
    "demo": Size(
        f"{SMALL} data.batch_size=8 data.crop_samples=4000",
        600, (150, 300, 600),
    ),
    "quarter": Size(
        f"{SMALL} data.batch_size=5 data.crop_samples=2000",
        600, (150, 300, 600),
    ),
    "small": Size(
        f"{SMALL} data.batch_size=10 data.crop_samples=4000",
        600, (150, 300, 600),
    ),
    "medium": Size(
        "model.network.stacks=3 model.network.layers_per_stack=10 model.network.residual_channels=64 "
        "model.network.gate_channels=128 model.network.skip_channels=128 data.batch_size=10 data.crop_samples=4000",
        3000, (300, 600, 1000, 2000, 3000),
    ),
}  # fmt: skip
ADAMW = "optim.kind=adamw"
MUON = "optim.kind=muon"


@torch.no_grad()
def random_embedding(model: Model) -> None:
    """Embeddings that begin as noise."""
    assert model.network.embedding is not None
    nn.init.normal_(model.network.embedding.weight)


@torch.no_grad()
def zero_residuals(model: Model) -> None:
    """Layers that begin as if they were not there, but for their skips."""
    for layer in model.network.layers:
        if layer.residual is not None:
            nn.init.zeros_(layer.residual.weight)  # type: ignore[arg-type, union-attr]


RECIPES = {
    "adamw 4e-3, random": Recipe(f"{ADAMW} optim.lr=4e-3", random_embedding),
    "adamw 8e-3, random": Recipe(f"{ADAMW} optim.lr=8e-3", random_embedding),
    "adamw 16e-3, random": Recipe(f"{ADAMW} optim.lr=16e-3", random_embedding),
    "adamw 4e-3": Recipe(f"{ADAMW} optim.lr=4e-3"),
    "adamw 8e-3": Recipe(f"{ADAMW} optim.lr=8e-3"),
    "adamw 16e-3": Recipe(f"{ADAMW} optim.lr=16e-3"),
    "muon 4e-3": Recipe(f"{MUON} optim.lr=4e-3"),
    "muon 8e-3": Recipe(f"{MUON} optim.lr=8e-3"),
    "muon 16e-3": Recipe(f"{MUON} optim.lr=16e-3"),
    "muon 32e-3": Recipe(f"{MUON} optim.lr=32e-3"),
    "muon 8e-3, random": Recipe(f"{MUON} optim.lr=8e-3", random_embedding),
    "muon 16e-3, random": Recipe(f"{MUON} optim.lr=16e-3", random_embedding),
    "zero residuals": Recipe(f"{MUON} optim.lr=16e-3", zero_residuals),
    "cosine to 0": Recipe(f"{MUON} optim.lr=16e-3 optim.final_lr_fraction=0"),
    "warm-up of 10": Recipe(f"{MUON} optim.lr=16e-3 optim.warmup_steps=10"),
    "warm-up of 200": Recipe(f"{MUON} optim.lr=16e-3 optim.warmup_steps=200"),
    "weight decay 0.1": Recipe(f"{MUON} optim.lr=16e-3 optim.weight_decay=0.1"),
}
"""Those of the table, in its order; all end at a twentieth of their rate unless they say otherwise."""


def prepared(corpora: Path, folder: Path) -> Path:
    """The shard set, written once."""
    data = folder / "data" / CORPUS
    if not (data / INDEX_NAME).exists():  # which is written last
        wavenet_pl(folder, ["prepare", "folder", str(corpora / CORPUS), str(data), "--mel"])
    return data


@dataclass
class Training:
    """A network, how it is trained, and what its outputs cost."""

    network: nn.Module
    outputs: Callable[[dict[str, Any]], tuple[Tensor, Tensor, Tensor]]
    """Batch -> outputs (B, K, U), the codes (B, U) that they predict, and which of them count."""
    optimizer: torch.optim.Optimizer
    lr_factor: Callable[[int], float]
    clip: float | None

    def nats(self, model: Model, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Sum over the predictions that count, and how many these are."""
        outputs, codes, counts = self.outputs(batch)
        return model.head.nats(outputs, codes).where(counts, 0.0).sum(), counts.sum()

    def step(self, model: Model, batch: dict[str, Any]) -> float:
        """One optimizer step; its loss in bits."""
        nats, _ = self.nats(model, batch)
        (nats / max(batch["predictions"], 1)).backward()  # type: ignore[no-untyped-call]
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(nats) / max(batch["predictions"], 1) / math.log(2)


def of_ours(model: Model, config: Config) -> Training:
    """Ours, by the config."""
    return Training(
        model, lambda batch: tuple(model.predict(batch)), build_optimizer(model, config.optim), config.optim.lr_factor,
        CLIP,
    )  # fmt: skip


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
    optim = config.optim
    optimizer = torch.optim.AdamW(
        peer.module.parameters(), lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay
    )
    return Training(peer.module, outputs, optimizer, optim.lr_factor, CLIP)


def endless(data: AudioDataModule) -> Iterator[dict[str, Any]]:
    """Batches of one epoch after another."""
    loader = data.train_dataloader()
    while True:
        yield from loader


@torch.no_grad()
def validated(training: Training, model: Model, data: AudioDataModule) -> float:
    """Bits per sample of the validation split."""
    training.network.eval()
    nats, count = 0.0, 0
    for batch in data.val_dataloader():
        more, counted = training.nats(model, batch)
        nats, count = nats + float(more), count + int(counted)
    training.network.train()
    return nats / count / math.log(2)


def measure(
    who: str,
    build: Callable[[Model, Config], Training],
    config: Config,
    marks: Sequence[int],
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Trains to the last mark; bits at each, and the seconds of training until then."""
    data = AudioDataModule.from_config(config)
    torch.manual_seed(config.seed)
    model = Model(config, sample_rate=data.sample_rate, labels=data.labels)
    training = build(model, config)
    record: dict[str, Any] = {}
    trained = 0.0
    rates = [group["lr"] for group in training.optimizer.param_groups]
    batches = endless(data)
    for step in range(marks[-1]):
        batch = next(batches)
        began = time.perf_counter()
        for group, rate in zip(training.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * training.lr_factor(step)
        bits = training.step(model, batch)
        trained += time.perf_counter() - began
        if step + 1 in marks:
            record[f"bits_{step + 1}"] = validated(training, model, data)
            record[f"trained_s_{step + 1}"] = round(trained, 1)
        if step % 50 == 49:
            left = trained / (step + 1) * (marks[-1] - step - 1)
            progress(f"{who}: step {step + 1} of {marks[-1]}, {bits:.3f} bits, {left / 60:.1f} min left")
    return record


def config_of(size: Size, data: Path, seed: int, settings: str, steps: int, mel: bool) -> Config:
    """The config of a row."""
    schedule = (
        f"optim.schedule=cosine optim.decay_steps={steps} optim.final_lr_fraction=0.05 "
        f"optim.warmup_steps={min(50, steps // 2)}"
    )
    given = [
        *size.settings.split(),
        *schedule.split(),
        f"seed={seed}",
        f"data.path={data}",
        *settings.split(),
    ]
    if mel:
        given += ["model.kind=speaker", "model.condition.inputs=[mel]"]
    return load_config([], given)


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it all."""
    if args.corpora is None:
        raise UserError("no corpora are named, expected the folder of them; name it with --corpora")
    records, size = Records(args.json), SIZES[args.size]
    marks = tuple(mark for mark in size.marks if args.steps is None or mark <= args.steps) or (args.steps,)
    marks = (5,) if args.quick else marks
    if args.threads:
        torch.set_num_threads(args.threads)
    with workplace(args.folder) as folder:
        data = prepared(args.corpora.resolve(), folder)
        for seed in args.seed:
            for who, settings, build in rows_of(args):
                facts = {
                    "benchmark": "recipe", "size": args.size, "steps": marks[-1], "mel": args.mel, "seed": seed,
                    "who": who,
                }  # fmt: skip
                config = config_of(size, data, seed, settings, marks[-1], args.mel)
                records.measure(
                    facts, lambda: measure(who, build, config, marks, say)  # noqa: B023
                )  # fmt: skip
    show(records, args)
    return 0


def rows_of(args: Namespace) -> Iterator[tuple[str, str, Callable[[Model, Config], Training]]]:
    """Name, settings, and how it is built, of each row that is asked for."""
    for name, recipe in RECIPES.items():
        if args.only and name not in args.only:
            continue

        def build(model: Model, config: Config, recipe: Recipe = recipe) -> Training:
            if recipe.change is not None:
                recipe.change(model)
            return of_ours(model, config)

        yield name, recipe.settings, build
    for checkout in args.peer:
        for whose, ours in (("its own settings", False), ("our settings", True)):

            def build_peer(
                model: Model, config: Config, checkout: Path = checkout, ours: bool = ours
            ) -> Training:
                peer = load_network(checkout.resolve(), config.model.network)
                return of_peer(peer, model, config if ours else None)

            yield f"{checkout.name}, {whose}", "optim.lr=8e-3", build_peer


def say(text: str) -> None:
    """On stderr."""
    print(text, file=sys.stderr, flush=True)


def show(records: Records, args: Namespace) -> None:
    """A line for each row: bits under the first recipe's of the same seed."""
    rows = [row for row in records.of("recipe") if row["size"] == args.size and row["mel"] == args.mel]
    for row in rows:
        marks = sorted(int(name.removeprefix("bits_")) for name in row if name.startswith("bits_"))
        cells = [f"{row[f'bits_{mark}']:6.3f} at {mark} ({row[f'trained_s_{mark}']:.0f} s)" for mark in marks]
        with contextlib.suppress(StopIteration):
            first = next(one for one in rows if one["seed"] == row["seed"] and one["steps"] == row["steps"])
            cells.append(f"{row[f'bits_{marks[-1]}'] - first[f'bits_{marks[-1]}']:+.3f}")
        print(f"{row['who']:32s} seed {row['seed']}  " + "  ".join(cells))


if __name__ == "__main__":
    parser = build_parser("bits of recipes, and of other networks, on the same crops in the same order")
    parser.add_argument("--corpora", type=Path, metavar="DIR", help="a folder with the corpora")
    parser.add_argument("--size", choices=sorted(SIZES), default="small", help="of the network (%(default)s)")
    parser.add_argument("--steps", type=int, metavar="N", help="fewer than the size has")
    parser.add_argument("--mel", action="store_true", help="given mel frames, so a vocoder")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], metavar="N", help="one or more")
    parser.add_argument("--only", nargs="+", choices=sorted(RECIPES), help="some of the recipes")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch")
    parser.add_argument(
        "--peer", type=Path, action="append", default=[], metavar="CHECKOUT", help="of another implementation"
    )
    run(main, parser.parse_args())
