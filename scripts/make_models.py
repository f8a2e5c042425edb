"""Trains the models that come with the project again, and writes what is said of them: models/.

    python -m scripts.make_models --corpora DIR --folder work [NAME ...]

It runs the project's own commands, and prints each. Stopped, the same command goes on where it was. Where a training's
run is gone, `wavenet-pl train models/NAME/recipe.yaml train.init_from=pretrained:NAME ...` goes on from what is there.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command import wavenet_pl
from benchmarks.corpora import VOICES, prepared_of

MODELS = Path(__file__).resolve().parent.parent / "models"


@dataclass(frozen=True)
class Plan:
    """What a model is made of."""

    what: str
    """In a sentence."""
    data: str
    """What it was trained on, in words."""
    licence: str
    """Of the weights."""
    data_licence: str
    """Of the recordings."""
    parts: Mapping[str, Sequence[str]]
    """Corpus -> speakers of it, or none for all."""
    temperature: float
    """Of the clips that are judged."""
    prepare: Sequence[str] = ()
    """More options of `wavenet-pl prepare`."""


_VOICES = (
    "40 minutes of Allison Smith (English), June Wallack (French), Carlo Flora (Italian), Nickolay V. Shmyrev's corpus "
    "(Russian) and LJ Speech (English)"
)
_VOICES_LICENCE = "CC BY-SA 3.0, CC BY 3.0, festvox-ru's and public domain; see NOTICE"
PLANS = {
    "vocoder": Plan(
        "Mel frames to speech, whoever speaks.", _VOICES, "CC BY-SA 3.0", _VOICES_LICENCE, VOICES, 0.8
    ),
}  # fmt: skip


def make(name: str, corpora: Path, folder: Path, settings: Sequence[str]) -> None:
    """Data, training, export, evaluation, and the facts."""
    plan = PLANS[name]
    data = prepared_of(corpora, plan.parts, folder, name, plan.prepare)
    runs, out = folder / "runs" / name, folder / "exports" / name
    recipe = MODELS / name / "recipe.yaml"
    wavenet_pl(folder, ["train", str(recipe), f"data.path={data}", "--runs", str(runs), *settings])
    run = max(runs.iterdir(), key=lambda path: path.stat().st_mtime)
    shutil.rmtree(out, ignore_errors=True)
    wavenet_pl(folder, [
        "export", str(run), "--out", str(out), "--half", "--licence", plan.licence,
        "--data-licence", plan.data_licence,
    ])  # fmt: skip
    numbers = folder / f"{name}.json"
    wavenet_pl(folder, [
        "evaluate", str(out), "--out", str(folder / "pages" / name), "--data", str(data), "--split", "test",
        "--count", "16", "--seconds", "4", "--temperature", str(plan.temperature), "--json", str(numbers),
    ])  # fmt: skip
    for path in out.iterdir():
        shutil.copy(path, MODELS / name / path.name)
    facts = {
        "what": plan.what, "data": plan.data, "licence": plan.licence,
        "scores": scores_of(json.loads(numbers.read_text())),
    }  # fmt: skip
    (MODELS / name / "released.json").write_text(json.dumps(facts, indent=1) + "\n")


def scores_of(results: dict[str, Any]) -> dict[str, str]:
    """What `wavenet-pl models` shows of an evaluation: on recordings that were kept for it."""
    scores = {"bits per sample": _interval(results["overall"]["comparable_bits"])}
    for judgement in results["judgements"]:
        for measure in judgement["measures"]:
            scores[measure["name"]] = _interval(measure["generated"])
    return scores


def _interval(values: Sequence[float | None]) -> str:
    mean, low, high = values
    return f"{mean:.3f}" if low is None or high is None else f"{mean:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="train the models that come with the project")
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"of {', '.join(PLANS)} (all)")
    parser.add_argument(
        "--corpora", type=Path, required=True, metavar="DIR", help="a folder with the corpora"
    )
    parser.add_argument("--folder", type=Path, default=Path("build/models"), help="(%(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="other settings, to try it")
    given = parser.parse_args()
    for each in given.name or PLANS:
        make(each, given.corpora.resolve(), given.folder.resolve(), given.set)
