"""How far back the network listens, beside how far it could."""

from __future__ import annotations

import math

import numpy as np
import torch

from wavenet_pl.analysis.bench import Bench
from wavenet_pl.analysis.charts import Series, line_chart
from wavenet_pl.analysis.claims import FIELD, Verdict, decide
from wavenet_pl.analysis.material import TooShort, Windows
from wavenet_pl.analysis.probes.probe import Figure, Numbers, Probe
from wavenet_pl.evaluation.context import effective_receptive_field, measure_context
from wavenet_pl.evaluation.scoring import OnProgress
from wavenet_pl.network import WaveNet

_SHARE = 0.99


class ContextProbe(Probe):
    """Bits by context, as `evaluate` has them, and gradients by lag."""

    name = "context"
    title = "How far back it listens"
    about = (
        "The bits of the same predictions when only the last samples before them are given, as `evaluate` measures "
        "them; and how much the outputs change with what came in at each lag, by their gradients."
    )  # fmt: skip

    def measure(self, bench: Bench, report: OnProgress) -> Numbers:
        """Both curves of the trained network."""
        options, model = bench.options, bench.model
        points = measure_context(
            model, bench.split, predictions=options.fewer(256), seed=options.seed,
            progress=lambda share: report(0.8 * share),
        )  # fmt: skip
        if not points:
            raise TooShort(
                f"no recording is longer than the receptive field of {model.receptive_field:,} samples"
            )
        windows = bench.windows(options.fewer(16), 1)
        gradients = gradient_by_lag(model.network, windows)
        report(1.0)
        reached = np.cumsum(gradients) / np.sum(gradients)
        return {
            "sample_rate": model.sample_rate,
            "receptive_field": model.receptive_field,
            "contexts": [point.context for point in points],
            "bits": [point.bits.mean for point in points],
            "lost": [point.lost.mean for point in points],
            "effective": effective_receptive_field(points),
            "gradient_field": int(np.searchsorted(reached, _SHARE)) + 1,
            "gradients": [float(gradients[2**power - 1 : 2 ** (power + 1) - 1].sum() / gradients.sum())
                          for power in range(int(math.log2(model.receptive_field)) + 1)],
        }  # fmt: skip

    def verdicts(self, numbers: Numbers) -> list[Verdict]:
        """Of the claim FIELD."""
        return [decide(FIELD, numbers["effective"] / numbers["receptive_field"], {})]

    def figures(self, numbers: Numbers) -> list[Figure]:
        """Bits and gradients over the lag."""
        rate, field, effective = numbers["sample_rate"], numbers["receptive_field"], numbers["effective"]
        [verdict] = self.verdicts(numbers)
        by_context = sorted(zip(numbers["contexts"], numbers["bits"], strict=True))
        (fewest, worst), (_, best) = by_context[0], by_context[-1]
        lags = [2**power for power in range(len(numbers["gradients"]))]
        return [
            Figure(
                "Bits by context",
                "Bits per sample when the network is given only that many of the samples before the one that it "
                f"predicts. It could listen to {field} ({1000 * field / rate:.1f} ms). The last {effective} "
                f"({1000 * effective / rate:.1f} ms) are enough to be within 0.01 bits of what it needs with all, "
                f"which is {best:.2f}; with {fewest} it needs {worst:.2f}. {verdict.conclusion}",
                line_chart(
                    [Series("bits", numbers["contexts"], numbers["bits"])], "samples", "bits per sample",
                    log_across=True,
                ),
            ),
            Figure(
                "Gradients by lag",
                "How much the network's outputs change with each earlier sample: shares of the absolute gradient, "
                f"from lags of 1, of 2 and 3, of 4 to 7 samples, and so on. {_SHARE:.0%} of it lies within "
                f"{numbers['gradient_field']} samples; to predict within 0.01 bits of what it does with all, the "
                f"network needs the last {effective}. Gradients say how sensitive outputs are, not what a prediction "
                "needs.",
                line_chart([Series("gradients", lags, numbers["gradients"])], "lag, samples", "share", log_across=True),
            ),
        ]  # fmt: skip


def gradient_by_lag(network: WaveNet, windows: Windows) -> np.ndarray:
    """Mean size of the gradient of the last outputs by what came in 1, 2, ... samples before the predicted one."""
    sizes = np.zeros(network.receptive_field)
    for codes_1T, condition in windows.each():
        entered: list[torch.Tensor] = []

        def keep(
            module: object, inputs: tuple[torch.Tensor, ...], entered: list[torch.Tensor] = entered
        ) -> None:
            x_TBC = inputs[0]
            if not x_TBC.requires_grad:  # amplitudes have no weights before them
                x_TBC.requires_grad_()
            x_TBC.retain_grad()
            entered.append(x_TBC)

        with network.first.register_forward_pre_hook(keep), torch.enable_grad():
            condition = None if condition is None else condition.clone()
            outputs_1K1, _ = network(codes_1T, condition, last=1)
            # Not the plain sum: a softmax would not see a change that is the same for all codes.
            outputs_1K1.square().sum().backward()
        gradient = entered[0].grad
        assert gradient is not None
        sizes += gradient.abs().sum(dim=(1, 2)).flip(0)[: len(sizes)].double().numpy()
    network.zero_grad(set_to_none=True)
    return sizes
