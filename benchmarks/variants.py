"""Networks with something else in place of what the essay says is all they do: bits at equal steps, and in equal time.

A long convolution by FFT in place of each dilated one; no nonlinearity at all, which is what a decomposition into
frequencies would need; a front end of Haar wavelets, frozen or learned on from there. All train as many weights, but
for one in a hundred.

    python benchmarks/variants.py --corpora DIR --json variants.json --folder runs --seed 0 1 2
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.loop import Training, of_ours, train
from benchmarks.recipe import prepared
from benchmarks.recipes import CHOSEN, RECIPES, SIZES
from benchmarks.records import Records, build_parser, run, workplace
from wavenet_pl.analysis.long_convolution import LongConvolutions
from wavenet_pl.config.tree import Config, load_config
from wavenet_pl.errors import UserError
from wavenet_pl.layers.columns import as_BCT
from wavenet_pl.layers.residual import ResidualLayer
from wavenet_pl.model import Model
from wavenet_pl.network import WaveNet

SIZE = "quarter"
EPSILON = 0.1
"""Of a Haar front end's filters: so small that their tanh is nearly a straight line."""


class LinearLayer(ResidualLayer):
    """Filter and gate are added up, and neither is bent: as many weights, and all linear."""

    @property
    def is_plain(self) -> bool:
        """Never: others would compute a gate."""
        return False

    def _gate(self, z_TBG: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        filter_TBG, gate_TBG = z_TBG.chunk(2, dim=2)
        return filter_TBG, gate_TBG, filter_TBG + gate_TBG


class LinearWaveNet(WaveNet):
    """One whose outputs are sums of what the embeddings of past codes say."""

    def project_output(self, skips_UBS: Tensor) -> Tensor:
        """Without its rectifiers."""
        return as_BCT(self.output(self.hidden(skips_UBS)))


def linear(model: Model) -> None:
    """No tanh, sigmoid or rectifier."""
    model.network.__class__ = LinearWaveNet
    for layer in model.network.layers:
        layer.__class__ = LinearLayer


def by_fft(length: int, *, decaying: bool = False) -> Callable[[Model], None]:
    """A convolution with a long kernel in place of each dilated one."""

    def change(model: Model) -> None:
        network = model.network
        made = WaveNet(
            network.config, quantization_channels=network.quantization_channels,
            num_parameters=network.num_parameters, condition_channels=network.condition_channels,
            convolution=LongConvolutions(length, decaying),
        )  # fmt: skip
        if made.receptive_field > network.receptive_field:
            raise UserError(
                f"kernels of {length} samples see {made.receptive_field} samples, expected at most "
                f"{network.receptive_field}; take shorter ones"
            )
        model.network = made

    return change


@torch.no_grad()
def haar_front(model: Model, *, frozen: bool) -> None:
    """The first stack begins as Haar wavelets: differences of every channel, and their means down the residual path."""
    config = model.network.config
    layers: list[Any] = list(model.network.layers)
    half, channels = config.gate_channels // 2, config.residual_channels
    one = torch.eye(half, channels)
    for layer in layers[: config.layers_per_stack]:
        layer.dilated.weight.zero_()
        layer.dilated.weight[:half, :, 0], layer.dilated.weight[:half, :, 1] = -EPSILON * one, EPSILON * one
        layer.dilated.bias.zero_()
        layer.dilated.bias[half:] = 8.0  # open
        layer.residual.weight.zero_()
        layer.residual.weight[:, :, 0] = -0.5 / EPSILON * one.t()
        if frozen:
            for part in (layer.dilated, layer.residual):
                part.requires_grad_(requires_grad=False)


@dataclass(frozen=True)
class Variant:
    """What differs from the network of the others."""

    change: Callable[[Model], None]
    settings: str = ""
    """As many channels as it takes to train as many weights as all."""
    timed: bool = False
    """Whether it is trained in the time of the first one, too."""


FIRST = "dilated"
VARIANTS = {
    FIRST: Variant(lambda model: None),
    "FFT, kernels of 32": Variant(by_fft(32), "model.network.residual_channels=39", timed=True),
    "FFT, decaying waves of 32": Variant(
        by_fft(32, decaying=True), "model.network.residual_channels=47", timed=True
    ),
    "linear": Variant(linear, timed=True),
    "Haar front end, frozen": Variant(
        lambda model: haar_front(model, frozen=True),
        "model.network.residual_channels=42 model.network.gate_channels=84",
    ),
    "Haar front end, learned on": Variant(lambda model: haar_front(model, frozen=False)),
}


def measure(who: str, config: Config, steps: int, kept: Path, quick: bool) -> dict[str, Any]:
    """Trains, and validates in the end; quickly only a little."""

    def build(model: Model, config: Config) -> Training:
        VARIANTS[who].change(model)
        return of_ours(model, config)

    record: dict[str, Any] = {}
    for going in train(who, build, config, "float32", kept, lambda going: going.step / steps):
        if going.step == steps:
            trained = sum(each.numel() for each in going.model.parameters() if each.requires_grad)
            record = {
                "trained_weights": trained, "trained_s": round(going.trained, 1),
                "bits": going.validated(3 if quick else None),
            }  # fmt: skip
    return record


def config_of(who: str, steps: int, seed: int, data: Path) -> Config:
    """The recipe that `benchmarks/recipe.py` chose, down its cosine."""
    size = SIZES[SIZE]
    schedule = f"optim.schedule=cosine optim.decay_steps={steps} optim.final_lr_fraction=0.05"
    settings = (
        f"{size.settings} {schedule} optim.warmup_steps={min(50, steps // 2)} {RECIPES[CHOSEN].settings}"
    )
    return load_config(
        [], [*settings.split(), *VARIANTS[who].settings.split(), f"seed={seed}", f"data.path={data}"]
    )


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it all."""
    if args.corpora is None:
        raise UserError("no corpora are named, expected the folder of them; name it with --corpora")
    records = Records(args.json)
    torch.set_num_threads(args.threads)
    with workplace(args.folder) as folder:
        data = prepared(args.corpora.resolve(), folder)

        def row_of(who: str, seed: int, steps: int) -> dict[str, Any]:
            facts = {"benchmark": "variants", "who": who, "seed": seed, "steps": steps, "quick": args.quick}
            kept = folder / ("-".join(str(fact) for fact in facts.values()).replace(" ", "_") + ".pt")
            config = config_of(who, steps, seed, data)
            return records.measure(facts, lambda: measure(who, config, steps, kept, args.quick))

        steps = 8 if args.quick else SIZES[SIZE].steps
        for seed in args.seed:
            first = row_of(FIRST, seed, steps)
            for who in args.only or VARIANTS:
                row = row_of(who, seed, steps)
                if VARIANTS[who].timed:
                    row_of(who, seed, round(steps * first["trained_s"] / row["trained_s"]))
    for row in records.of("variants"):
        print(
            f"{row['who']:28s} seed {row['seed']}  {row['steps']:5,} steps  {row['trained_weights']:,} weights  "
            f"{row['trained_s']:5.0f} s  {row['bits']:.3f} bits"
        )
    return 0


if __name__ == "__main__":
    parser = build_parser("bits of networks with something else inside")
    parser.add_argument("--corpora", type=Path, metavar="DIR", help="a folder with the corpora")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], metavar="N", help="one or more")
    parser.add_argument(
        "--only", nargs="+", choices=sorted(VARIANTS), help="some of the rows, beside the first"
    )
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of torch (%(default)s)")
    run(main, parser.parse_args())
