"""Does the output predict the next sample as a sum of sines?"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wavenet_pl.analysis.bench import TRAINED, Bench
from wavenet_pl.analysis.charts import Series, bar_chart, line_chart
from wavenet_pl.analysis.claims import SINES, Verdict, decide
from wavenet_pl.analysis.extrapolation import (
    ORDERS,
    Pairs,
    estimated,
    fit_two,
    linear,
    persistence,
    random_pairs,
    strongest_pairs,
)
from wavenet_pl.analysis.material import usual_condition
from wavenet_pl.analysis.probes.probe import Figure, Numbers, Probe, by_kind, trained
from wavenet_pl.evaluation.scoring import OnProgress
from wavenet_pl.generation.draw import Draw
from wavenet_pl.model import Model
from wavenet_pl.network import WaveNet

Floats = npt.NDArray[np.float64]
_LENGTH, _BEFORE, _FREE = 128, 1024, 2048
_STRONGEST = f"linear prediction, {ORDERS[-1]}"
_SHIFTS = {"1 % higher": 1.01, "5 % higher": 1.05, "an octave higher": 2.0}
_NOISES_DB = (-60.0, -50.0, -40.0, -30.0, -20.0)


class SinesProbe(Probe):
    """Two sines, those of its recordings and any others; see `analysis.extrapolation`."""

    name = "sines"
    title = "Two sines"
    about = (
        "Pairs of sines with frequencies, levels and phases at random, rounded to the model's codes. The expected "
        "amplitude of the next sample is held against the sample, and so are other ways to say it: the sample before, "
        "weights of the last samples that fit the past, two sines that fit the past, and the very two sines, whose "
        "error is that of rounding. Then the same for the two strongest sines of real recordings, and for these moved "
        "up: a network that knows sines would not mind. Last, the network goes on alone after such a pair. A network "
        "with a condition is given the mean one of real audio."
    )  # fmt: skip

    def measure(self, bench: Bench, report: OnProgress) -> Numbers:
        """Errors of all networks and all other ways; shifts, noise and drift of the trained one."""
        model, options = bench.model, bench.options
        windows = bench.windows(options.fewer(32), 1)
        condition = usual_condition(windows)
        before = max(model.receptive_field, _BEFORE)

        def heard(pairs: Pairs, noise_db: float | None = None) -> tuple[Tensor, Floats, Floats]:
            """Codes, what they stand for, and the sines."""
            clean_MN = pairs.audio(before + _LENGTH + 1, options.seed)
            noisy_MN = (
                clean_MN if noise_db is None else pairs.audio(clean_MN.shape[1], options.seed, noise_db)
            )
            codes_MN = model.codec.encode(torch.from_numpy(noisy_MN))
            return codes_MN, model.codec.decode(codes_MN).double().numpy(), clean_MN

        codes_MN, heard_MN, clean_MN = heard(random_pairs(options.fewer(64), options.seed))
        others = {
            "the sample before": persistence(heard_MN, _LENGTH),
            **{f"linear prediction, {order}": linear(heard_MN, _LENGTH, order) for order in ORDERS},
            "two sines that fit": estimated(heard_MN, _LENGTH),
            "the very two": clean_MN[:, -_LENGTH:],
        }
        rows = []
        for number, specimen in enumerate(bench.specimens):
            made_ML = _expected(model, specimen.network, codes_MN, condition)
            rows.append({"kind": specimen.kind, "seed": specimen.seed, "error": _error(made_ML, heard_MN)})
            report(0.5 * (number + 1) / bench.num_specimens)
        own = strongest_pairs(model.codec.decode(windows.inputs_WT[:, -_BEFORE:]).double().numpy())
        shifts = []
        moved = {name: own.shifted(factor) for name, factor in _SHIFTS.items()}
        for name, pairs in {"as in its recordings": own, **moved}.items():
            if not len(pairs.frequencies_M2):
                continue  # so high that none is left below half of the sample rate
            codes, sounds, clean = heard(pairs)
            shifts.append({
                "name": name,
                "error": _error(_expected(model, model.network, codes, condition), sounds),
                "linear": _error(linear(sounds, _LENGTH, ORDERS[-1]), sounds),
                "floor": _error(clean[:, -_LENGTH:], sounds),
            })  # fmt: skip
        report(0.7)
        noises = []
        for level in _NOISES_DB:
            codes, sounds, clean = heard(random_pairs(options.fewer(32), options.seed), level)
            noises.append([
                level, _error(_expected(model, model.network, codes, condition), sounds),
                _error(linear(sounds, _LENGTH, ORDERS[-1]), sounds), _error(clean[:, -_LENGTH:], sounds),
            ])  # fmt: skip
        report(0.8)
        drift = _drift(model, own, before, options.seed, condition)
        report(1.0)
        return {
            "sample_rate": model.sample_rate, "rows": rows,
            "others": {name: _error(made_ML, heard_MN) for name, made_ML in others.items()},
            "signals": len(codes_MN), "shifts": shifts, "noises": noises, "drift": drift,
        }  # fmt: skip

    def verdicts(self, numbers: Numbers) -> list[Verdict]:
        """Of the claim SINES."""
        linear_error = numbers["others"][_STRONGEST]

        def under(row: Numbers) -> float:
            value = linear_error - row["error"]
            return float(value) if math.isfinite(value) else math.nan

        return [decide(SINES, under(trained(numbers["rows"])), by_kind(numbers["rows"], under))]

    def figures(self, numbers: Numbers) -> list[Figure]:
        """Errors side by side, of its own sines moved up, by noise."""
        own = trained(numbers["rows"])["error"]
        kinds: dict[str, list[float]] = {}
        for row in numbers["rows"]:
            kinds.setdefault("the network" if row["kind"] == TRAINED else row["kind"], []).append(
                row["error"]
            )
        errors = {**{kind: float(np.mean(values)) for kind, values in kinds.items()}, **numbers["others"]}
        others, shifts, noises, drift = (numbers[name] for name in ("others", "shifts", "noises", "drift"))
        by_prediction, by_fit, by_rounding = (
            f"{others[who]:.1f} dB" for who in (_STRONGEST, "two sines that fit", "the very two")
        )
        [verdict] = self.verdicts(numbers)
        (quiet, *quiet_errors), (loud, *loud_errors) = noises[0], noises[-1]
        seconds = _FREE / numbers["sample_rate"]
        return [
            Figure(
                "The error of the next sample",
                f"Mean error of the next sample over {numbers['signals']} random pairs of sines, in dB of the "
                f"signal; to predict silence always gives 0 dB. The network has {own:.1f} dB, linear prediction of "
                f"order {ORDERS[-1]} {by_prediction}, two sines fitted to the past {by_fit}. Continuing the very two "
                f"gives {by_rounding}, all of it rounding to codes. {verdict.conclusion}",
                bar_chart(list(errors), {"error": list(errors.values())}, "", "dB"),
            ),
            Figure(
                "Sines of recordings, moved up",
                "Error of the next sample, in dB of the signal, for the two strongest sines of each of "
                f"{drift['pairs']} pieces of recordings, and for both moved up. From {shifts[0]['name']} to "
                f"{shifts[-1]['name']} the network goes from {_from_to(shifts, 'error')}, linear prediction of order "
                f"{ORDERS[-1]} from {_from_to(shifts, 'linear')}, continuing the very two, which leaves the rounding "
                f"to codes, from {_from_to(shifts, 'floor')}. Whatever can continue any sine stays low everywhere; "
                "whatever learned only the sines of recordings starts low and rises.",
                bar_chart(
                    [each["name"] for each in shifts],
                    {
                        "the network": [each["error"] for each in shifts],
                        _STRONGEST: [each["linear"] for each in shifts],
                        "the very two": [each["floor"] for each in shifts],
                    },
                    "", "dB",
                ),
            ),
            Figure(
                "Sines in noise",
                "Error of the next sample, in dB of the signal, for random pairs of sines in white noise, by the "
                "noise's level in dB of the sines. Noise cannot be foreseen, so nothing can do better than "
                f"continuing the very two. With noise at {quiet:g} dB the network is "
                f"{quiet_errors[0] - quiet_errors[2]:.1f} dB worse than that, linear prediction of order "
                f"{ORDERS[-1]} {quiet_errors[1] - quiet_errors[2]:.1f} dB; at {loud:g} dB, where that limit is "
                f"higher, {loud_errors[0] - loud_errors[2]:.1f} and {loud_errors[1] - loud_errors[2]:.1f} dB.",
                line_chart(
                    [
                        Series(name, [each[0] for each in noises], [each[column] for each in noises])
                        for column, name in enumerate(("the network", _STRONGEST, "the very two"), start=1)
                    ],
                    "noise, dB of the sines", "dB",
                ),
            ),
            Figure(
                "Left to continue sines",
                f"What becomes of {drift['pairs']} pairs of sines, the strongest of pieces of recordings, when the "
                f"network continues them for {seconds:.2f} s from its own output, always with the most probable "
                "code. A predictor that sums sines would keep them. At the end two sines have at least half of the "
                f"power in {drift['kept']} of {drift['pairs']} cases{_moved(drift)}.",
                bar_chart(
                    ["still two sines", "something else"],
                    {"pairs": [drift["kept"], drift["pairs"] - drift["kept"]]}, "", "pairs",
                ),
            ),
        ]  # fmt: skip


def _from_to(shifts: list[Numbers], who: str) -> str:
    return f"{shifts[0][who]:.1f} to {shifts[-1][who]:.1f} dB"


def _moved(drift: Numbers) -> str:
    if not drift["kept"]:
        return ""
    return (
        f"; there they are {drift['level_db']:.1f} dB and {drift['cents']:,.0f} cents (1,200 are an octave) away from "
        "those given, on average"
    )  # fmt: skip


def _error(made_ML: Floats, heard_MN: Floats) -> float:
    """In dB of the signal's power: the mean over signals of the logarithm, so that each counts alike."""
    asked_ML = heard_MN[:, -made_ML.shape[1] :]
    errors = ((made_ML - asked_ML) ** 2).mean(axis=1) / (asked_ML**2).mean(axis=1)
    return float(10 * np.log10(errors + 1e-12).mean())


def _expected(model: Model, network: WaveNet, codes_MN: Tensor, condition: Tensor | None) -> Floats:
    """Expected amplitudes (M, L) of the last samples."""
    rows = []
    for codes_N in codes_MN:
        with torch.inference_mode():
            outputs_1KL, _ = network(codes_N[None, :-1], condition, last=_LENGTH)
            rows.append(model.head.expect(outputs_1KL, model.codec)[0].double().numpy())
    return np.array(rows)


def _drift(model: Model, pairs: Pairs, before: int, seed: int, condition: Tensor | None) -> Numbers:
    """What becomes of pairs when the network goes on alone."""
    prompts_MN = model.codec.encode(torch.from_numpy(pairs.audio(before, seed)))
    count = len(prompts_MN)
    given = None if condition is None else condition.expand(count, -1, -1)
    pieces = list(
        model.stream_codes(
            _FREE, Draw(temperature=0, seed=seed, clips=tuple(range(count))), prompts_MN, given
        )
    )
    audio_MN = model.codec.decode(torch.cat(pieces, dim=1)).double().numpy()[:, -_BEFORE:]
    levels, cents, kept = [], [], 0
    for audio_N, frequencies, amplitudes in zip(
        audio_MN, pairs.frequencies_M2, pairs.amplitudes_M2, strict=True
    ):
        fitted, weights = fit_two(audio_N)
        sines = np.hypot(weights[0::2], weights[1::2])
        power = float((sines**2).sum() / 2)
        if power < 0.5 * float((audio_N**2).mean()) or not power:
            continue
        kept += 1
        order, known = np.argsort(fitted), np.argsort(frequencies)
        moved = np.array(fitted)[order] / frequencies[known]
        levels.append(np.abs(20 * np.log10(np.maximum(sines[order], 1e-6) / amplitudes[known])).mean())
        cents.append(np.abs(1200 * np.log2(moved)).mean())
    mean = [float(np.mean(values)) if values else math.nan for values in (levels, cents)]
    return {"pairs": count, "kept": kept, "level_db": mean[0], "cents": mean[1]}
