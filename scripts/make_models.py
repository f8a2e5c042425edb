"""Trains the models that come with the project again, and writes what is said of them: models/.

    python -m scripts.make_models --corpora DIR --folder work [NAME ...]

It runs the project's own commands, and prints each. Stopped, the same command goes on where it was. Where a training's
run is gone, `--set train.init_from=pretrained:NAME` begins with what is there.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command import wavenet_pl
from benchmarks.corpora import prepared_piano, prepared_voices
from benchmarks.records import run
from scripts.draw_demo import write_pair
from wavenet_pl.commands.export import CARD_NAME
from wavenet_pl.errors import UserError
from wavenet_pl.runs.loading import load
from wavenet_pl.runs.released import FACTS_NAME

MODELS = Path(__file__).resolve().parent.parent / "models"
COUNT, SECONDS = 16, 4.0
"""Clips that are judged, and how long each is at most."""


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
    prepared: Callable[[Path, Path], Path]
    """Corpora, and a folder to write to -> the shard set."""
    temperature: float
    """Of the clips that are judged."""
    shows_recording: bool = False
    """Whether the recording is beside the clip that can be listened to; its licence has to allow it."""


_VOICES = (
    "36 minutes of Allison Smith (English), June Wallack (French), Carlo Flora (Italian), Nickolay V. Shmyrev's corpus "
    "(Russian) and LJ Speech (English)"
)
_VOICES_LICENCE = "CC BY-SA 3.0, CC BY 3.0, festvox-ru's and public domain; see NOTICE"
PLANS = {
    "vocoder": Plan(
        "Mel frames to speech, whoever speaks.", _VOICES, "CC BY-SA 3.0", _VOICES_LICENCE, prepared_voices, 0.8, True
    ),
    "speaker": Plan(
        "Five voices by name, to be adapted to others.", _VOICES, "CC BY-SA 3.0", _VOICES_LICENCE, prepared_voices, 0.9
    ),
    "piano": Plan(
        "Piano by its notes.", "25 minutes of public-domain scores, played by a soundfont; see NOTICE",
        "Apache-2.0", "public domain, played by a soundfont under the MIT licence", prepared_piano, 1.0,
    ),
}  # fmt: skip


def make(name: str, corpora: Path, folder: Path, settings: Sequence[str]) -> None:
    """Data, training, export, evaluation, clips, and the facts."""
    plan, own = PLANS[name], MODELS / name
    data = plan.prepared(corpora, folder)
    runs, out = folder / "runs" / name, folder / "exports" / name
    recipe = [str(MODELS / "recipe.yaml"), str(own / "recipe.yaml")]
    train = ["train", *recipe, f"data.path={data}", "--runs", str(runs), *settings]
    wavenet_pl(folder, train)
    newest = max(runs.iterdir(), key=lambda path: path.stat().st_mtime)
    shutil.rmtree(out, ignore_errors=True)
    export = [
        "export", str(newest), "--out", str(out), "--half", "--licence", plan.licence,
        "--data-licence", plan.data_licence,
    ]  # fmt: skip
    wavenet_pl(folder, export)
    numbers = folder / f"{name}.json"
    evaluate = [
        "evaluate", str(out), "--out", str(folder / "pages" / name), "--data", str(data), "--split", "test",
        "--count", str(COUNT), "--seconds", f"{SECONDS:g}", "--temperature", f"{plan.temperature:g}",
        "--json", str(numbers),
    ]  # fmt: skip
    wavenet_pl(folder, evaluate)
    with open(out / CARD_NAME, "a", encoding="utf-8") as card:
        card.write(how_made(name, [train, export, evaluate], folder, settings))
    write_pair(
        load(out), name, str(data), out / "clips", SECONDS, COUNT, plan.temperature,
        names=("recorded", "resynthesised") if plan.shows_recording else (None, "generated"), unshown="snap_",
    )  # fmt: skip
    facts = {
        "what": plan.what, "data": plan.data, "licence": plan.licence,
        "scores": scores_of(json.loads(numbers.read_text())),
    }  # fmt: skip
    (out / FACTS_NAME).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    # Last: what a training began with is there until its own model is whole.
    shutil.copytree(out, own, dirs_exist_ok=True)


def how_made(name: str, commands: Sequence[Sequence[str]], folder: Path, settings: Sequence[str]) -> str:
    """The end of a card: the commands, with paths from the checkout or from the folder that they ran in."""
    chosen = f" --set {shlex.join(settings)}" if settings else ""
    base = (
        f"\nIt went on from what was called `pretrained:{name}` before; that card is in the history of this file.\n"
        if f"train.init_from=pretrained:{name}" in settings else ""
    )  # fmt: skip
    shown = "\n".join(shlex.join(["wavenet-pl", *command]) for command in commands)
    for parent in (MODELS.parent, folder):
        shown = shown.replace(f"{parent}/", "")
    return (
        f'\n## How it was made\n\n`make models CORPORA=DIR ARGS="{name}{chosen}"` prepares the data, and then runs\n\n'
        f"```sh\n{shown}\n```\n{base}"
    )


def scores_of(results: Mapping[str, Any]) -> dict[str, str]:
    """What `wavenet-pl models` shows of an evaluation: on recordings that were kept for it."""
    scores = {"bits per sample": _interval(results["overall"]["comparable_bits"])}
    for judgement in results["judgements"]:
        for measure in judgement["measures"]:
            beside = {"recorded": measure["recorded"], "by chance": measure["chance"] or [None]}
            means = [f"{name} {values[0]:.3f}" for name, values in beside.items() if values[0] is not None]
            scores[measure["name"]] = "; ".join([_interval(measure["generated"]), *means])
    return scores


def _interval(values: Sequence[float | None]) -> str:
    mean, low, high = values
    if mean is None:
        return "–"
    return f"{mean:.3f}" if low is None or high is None else f"{mean:.3f} ({low:.3f} to {high:.3f})"


def main(args: argparse.Namespace) -> int:
    """Make those that are named."""
    if unknown := [name for name in args.name if name not in PLANS]:
        raise UserError(f"no model is called {', '.join(unknown)}, expected some of {', '.join(PLANS)}")
    for each in args.name or PLANS:
        make(each, args.corpora.resolve(), args.folder.resolve(), args.set)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="train the models that come with the project")
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"of {', '.join(PLANS)} (all)")
    parser.add_argument(
        "--corpora", type=Path, required=True, metavar="DIR", help="a folder with the corpora"
    )
    parser.add_argument("--folder", type=Path, default=Path("build/models"), help="(%(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="other settings, to try it")
    run(main, parser.parse_args())
