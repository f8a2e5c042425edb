"""How much audio does a new voice need, which method learns it, and what does the model forget of the others?

One base is adapted to each new voice with some seconds of audio and with all of it, by each method, and scored on
recordings of that voice that no adaptation has seen.

    python benchmarks/adaptation.py --corpora DIR --json adaptation.json --folder runs
    python benchmarks/adaptation.py ... --base pretrained:speaker --set trainer.precision=bf16-mixed  # a larger base
"""

from __future__ import annotations

import hashlib
import json
import shutil
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import conditions
from benchmarks.command import wavenet_pl
from benchmarks.corpora import prepared_voices
from benchmarks.records import Records, build_parser, print_table, run, workplace
from wavenet_pl.adaptation.base import Base, load_base
from wavenet_pl.adaptation.data import base_split
from wavenet_pl.adaptation.measure import measure_forgetting
from wavenet_pl.adaptation.results import mean_forgotten
from wavenet_pl.adaptation.rows import sources_of, sums_by_row
from wavenet_pl.errors import UserError
from wavenet_pl.numbers.intervals import mean_and_interval
from wavenet_pl.runs.loading import load
from wavenet_pl.shards.index import INDEX_NAME

NEW = "speech_new"
SECONDS = (10.0, 60.0, None)
"""Audio that a voice is adapted with; None for all."""
METHODS = {"embedding": [], "all": [], "all, replay": ["--replay"]}
KEPT_ASIDE = 5
"""Every so many-th recording of a voice, by the hash of its name, is scored and never adapted to."""
FEW_S = 20.0
"""Of what is kept aside, to compare all rows of the table on: each takes as long as the voice's own."""
QUIET = ("wandb.mode=disabled", "trainer.accelerator=cpu", "trainer.max_steps=400")
SMALL = {"embedding": (), "all": ("optim.lr=1.0e-3",)}
"""For bases that learned at 4e-3 and more; what suits large ones would take them hours."""
CLIPS = {True: ("samples.count=8", "samples.seconds=2"), False: ("samples.count=1", "samples.seconds=0.25")}
"""Whether a judge of voices is to hear them, where one is installed; it needs a second or two of each."""


def recordings_of(voice: Path, folder: Path) -> tuple[Path, Path]:
    """The voice's audio for adaptation, and a shard set of what is kept aside."""
    audio, aside, scored = (folder / voice.name / name for name in ("audio", "aside", "scored"))
    if not (scored / INDEX_NAME).exists():
        files = sorted(voice.glob("*.flac"), key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
        for number, path in enumerate(files):
            target = (aside if number % KEPT_ASIDE == 0 else audio) / voice.name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path.name)
        splits = ["--val-fraction", "0.5", "--test-fraction", "0"]
        wavenet_pl(folder, ["prepare", "folder", str(aside), str(scored), *splits])
    return audio, scored


def measure(
    voice: str,
    seconds: float | None,
    method: str,
    base: Base,
    replayed: Path,
    folder: Path,
    audio: Path,
    scored: Path,
    settings: Sequence[str],
) -> dict[str, Any]:
    """Adapts, and scores before and after on the same recordings: a flat record."""
    amount = [] if seconds is None else ["--minutes", str(seconds / 60)]
    told = ["--replay", str(replayed)] if METHODS[method] else []
    kind = method.split(",")[0]
    command = [
        "adapt",
        base.path,
        "--audio",
        str(audio),
        "--speaker",
        voice,
        "--method",
        kind,
        *amount,
    ]
    clips = CLIPS[seconds is None and not told]
    out = wavenet_pl(folder, [*command, *told, "--runs", "adapted", *QUIET, *SMALL[kind], *clips, *settings])
    report = folder / out.rpartition("report       ")[2].splitlines()[0]
    found = json.loads(report.with_suffix(".json").read_text())
    adapted = load(report.parent)
    names, inputs = adapted.labels.tables["speaker"], tuple(adapted.input_names)
    halves = [
        base_split(str(scored), name, adapted.sample_rate, inputs, adapted.labels)
        for name in ("train", "val")
    ]
    split = halves[0] + halves[1]
    rows = [names.index(found["beginning"]["nearest"])]
    before_RN, counts_N = sums_by_row(base.model, split, rows)
    own = names.index(voice)
    [own_N], _ = sums_by_row(adapted, split, [own])
    few_RN, _ = sums_by_row(adapted, split.up_to(round(FEW_S * adapted.sample_rate)), range(len(names)))
    kept = folder / voice / "after.json"
    earlier = json.loads(kept.read_text()) if kept.exists() else {}
    amounts = [" ".join([base.hash[:12], *settings, method, f"{each} s"]) for each in SECONDS]
    number = SECONDS.index(seconds)
    if number and amounts[number - 1] not in earlier:
        raise UserError(
            f"{kept} has no row {amounts[number - 1]!r}; name the --folder in which it was measured"
        )
    less = earlier[amounts[number - 1]] if number else own_N.tolist()
    kept.write_text(json.dumps({**earlier, amounts[number]: own_N.tolist()}))
    of = sources_of(split)
    before, after = (mean_and_interval(sums_N, counts_N, of) for sums_N in (before_RN[0], own_N))
    gain, worse = (
        mean_and_interval(sums_N, counts_N, of) for sums_N in (before_RN[0] - own_N, own_N - np.array(less))
    )
    forgotten = found["forgotten"]
    if forgotten is None:  # the base does not say where its data is
        forgotten = mean_forgotten(measure_forgetting(base, adapted, str(replayed)))
    curve = [bits for _, bits in found["curve"]]
    return {
        "minutes": found["minutes"],
        "nearest": found["beginning"]["nearest"],
        "before": before.mean,
        "after": after.mean,
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "worse_than_less_audio": worse.mean,
        "worse_low": worse.low,
        "own_row_wins": bool((few_RN.sum(axis=1) >= few_RN[own].sum()).all()),
        "forgotten": forgotten,
        "steps": found["steps"],
        "best_step": found["best_step"],
        "passed_minimum_by": curve[-1] / min(curve) - 1,
        "training_seconds": found["seconds"],
        **{f"similarity_{kind}": told[0] for kind, told in found["similarity"].items()},
        **{f"similarity_{kind}_low": told[1] for kind, told in found["similarity"].items()},
    }


def base_and_its_data(args: Namespace, corpora: Path, folder: Path) -> tuple[Base, Path]:
    """What is adapted, and the shard set that it was trained on."""
    if args.base is not None:
        return load_base(args.base), prepared_voices(corpora, folder)
    trained = conditions.trained("speaker", corpora, folder, 60 if args.quick else args.steps)
    return load_base(trained.run.path), trained.data


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it."""
    records, corpora = Records(args.json), args.corpora.resolve()
    voices = sorted(path for path in (corpora / NEW).glob(args.only or "*") if any(path.glob("*.flac")))
    if not voices:
        wanted = args.only or "one for each new voice"
        raise UserError(f"{corpora / NEW} has no folder with FLAC files, expected {wanted}")
    with workplace(args.folder) as folder:
        base, replayed = base_and_its_data(args, corpora, folder)
        for voice in voices[:1] if args.quick else voices:
            audio, scored = recordings_of(voice, folder)
            for seconds in SECONDS[:1] if args.quick else SECONDS:
                for method in METHODS:
                    facts = {
                        "benchmark": "adaptation", "voice": voice.name, "seconds_of_audio": seconds, "method": method,
                        "base": base.hash[:12], "settings": " ".join(args.set),
                    }  # fmt: skip
                    what = partial(
                        measure, voice.name, seconds, method, base, replayed, folder, audio, scored, args.set
                    )
                    records.measure(facts, what)
    print_table(records.of("adaptation"))
    return 0


if __name__ == "__main__":
    parser = build_parser("how much audio does a new voice need, and what does the model forget?")
    parser.add_argument("--corpora", type=Path, required=True, metavar="DIR", help="folders of recordings")
    parser.add_argument("--base", metavar="MODEL", help="such as pretrained:speaker (trains a small one)")
    parser.add_argument(
        "--steps", type=int, default=1200, metavar="N", help="train the base for so many (1200)"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of each adaptation"
    )
    parser.add_argument("--only", metavar="VOICE", help="this new voice (all)")
    run(main, parser.parse_args())
