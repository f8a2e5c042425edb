"""How like their recordings resynthesised ones are: models, beside Griffin-Lim on the same frames, the codec and noise.

On recordings of voices that the models have heard and of others; with intervals over recordings.

    python benchmarks/resynthesis.py --corpora DIR --model RUN --json resynthesis.json --folder work
    python benchmarks/resynthesis.py ... --peer CHECKOUT --minutes 140    # r9y9's, trained for as long
    python benchmarks/resynthesis.py ... --set voices --page pairs.html  # ten beside Griffin-Lim's, to compare blindly
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.corpora import prepared, prepared_voices
from benchmarks.griffin_lim import griffin_lim
from benchmarks.peer_vocoder import PeerVocoder, trained
from benchmarks.records import Records, build_parser, run, workplace
from wavenet_pl.audio.mel import MelSettings
from wavenet_pl.config.tree import Config
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.clips import Clip, make_clips
from wavenet_pl.evaluation.judges.intelligibility import PESQ
from wavenet_pl.evaluation.judges.likeness import Measure
from wavenet_pl.evaluation.judges.resynthesis import Pair, ResynthesisJudge
from wavenet_pl.evaluation.listen_page import write_page
from wavenet_pl.evaluation.listening import Item, Listening, Take
from wavenet_pl.evaluation.options import ListeningOptions
from wavenet_pl.evaluation.recordings import Recordings, open_recordings
from wavenet_pl.generation.choice import Choice
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.model import Model
from wavenet_pl.runs.delta import model_hash
from wavenet_pl.runs.loading import load

KNOWN = "voices"
"""Those that models are trained on, by recordings that are in no training and chose no checkpoint."""
UNKNOWN = ("speech_new", "snap_librispeech")
PAIRS = 10
"""On a page to compare a model's clips with Griffin-Lim's, without knowing which is which."""
Audio = npt.NDArray[np.float32]


def shards_of(name: str, args: Namespace, folder: Path) -> Path:
    """The shard set of this name, written once."""
    corpora = args.corpora.resolve()
    if name == KNOWN:
        return prepared_voices(corpora, folder)
    return prepared(corpora, name, folder, (), ["--test-fraction", "0.9"])


def resynthesised(model: Model, found: Recordings, args: Namespace, temperature: float) -> list[Clip]:
    """Recordings through a model."""
    clips, _ = make_clips(
        model, found.drawn, seconds=args.seconds, count=min(args.count, len(found.drawn)), seed=args.seed,
        temperature=temperature, choice=Choice(weights=args.weights), progress=lambda share: None,
    )  # fmt: skip
    return clips


def judged(
    model: Model, found: Recordings, clips: list[Clip], make: Callable[[list[Clip]], Sequence[Audio]]
) -> dict[str, Any]:
    """The record of what one system made of these recordings."""
    english = {found.drawn[position].key for position in found.english}
    judge = ResynthesisJudge(model.sample_rate, model.through_codec)
    pairs = [
        Pair(clip.recorded, audio, clip.key in english)
        for clip, audio in zip(clips, make(clips), strict=True)
    ]
    record: dict[str, Any] = {
        "clips": len(pairs),
        "clips_s": sum(len(pair.recorded) for pair in pairs) / model.sample_rate,
    }
    for each in judge.judge(pairs).measures:
        record |= _plain(each)
    return record


def _plain(measure: Measure) -> dict[str, float | None]:
    values = {
        "": measure.generated.mean, " low": measure.generated.low, " high": measure.generated.high,
        " codec": measure.recorded.mean, " noise": math.nan if measure.chance is None else measure.chance.mean,
    }  # fmt: skip
    return {
        f"{measure.name}{which}": value if math.isfinite(value) else None for which, value in values.items()
    }


def measure_set(
    records: Records,
    name: str,
    data: Path,
    path: str,
    model: Model,
    peers: Mapping[str, PeerVocoder],
    args: Namespace,
) -> None:
    """Measure what is not measured yet on one set with one model, and with others beside it."""
    found = open_recordings(model, path, str(data), "test", seed=args.seed, max_seconds=3600, lang=None)
    facts = {
        "benchmark": "resynthesis", "set": name, "count": args.count, "of_s": args.seconds, "seed": args.seed,
        "quick": args.quick, "model": model_hash(model)[:12],
    }  # fmt: skip

    @cache
    def clips_at(temperature: float) -> list[Clip]:
        return resynthesised(model, found, args, temperature)

    def measure(who: str, temperature: float, make: Callable[[list[Clip]], Sequence[Audio]]) -> None:
        records.measure({**facts, "who": who}, lambda: judged(model, found, clips_at(temperature), make))

    for each in args.temperature:
        measure(
            f"{path}, temperature {each:g}, {args.weights}",
            each,
            lambda clips: [clip.generated for clip in clips],
        )
    measure("Griffin-Lim", args.temperature[0], lambda clips: [of_griffin_lim(model, clip) for clip in clips])
    for who, peer in peers.items():
        measure(who, args.temperature[0], lambda clips: of_peer(peer, model, clips))  # noqa: B023
    if args.page is not None:
        write_pairs(model, found, path, clips_at(args.temperature[0])[:PAIRS], args.page)


def write_pairs(model: Model, found: Recordings, path: str, clips: list[Clip], page: Path) -> None:
    """The page, and in how many of its pairs PESQ prefers the model."""
    judge = ResynthesisJudge(model.sample_rate, model.through_codec)
    made = {
        path: [clip.generated[: len(clip.recorded)] for clip in clips],
        "Griffin-Lim": [of_griffin_lim(model, clip) for clip in clips],
    }
    pairs = {
        who: [Pair(clip.recorded, audio) for clip, audio in zip(clips, those, strict=True)]
        for who, those in made.items()
    }
    items = [
        Item(clip.key, clip.condition, Take(clip.recorded), [Take(those[number]) for those in made.values()])
        for number, clip in enumerate(clips)
    ]
    judged = {who: judge.judge(those) for who, those in pairs.items()}
    measures = {who: each.measures for who, each in judged.items()}
    options = ListeningOptions(split="test", count=len(clips))
    write_page(
        Listening(model.sample_rate, found.shard_set.name, "test", options, [*made], items, measures, complete=True),
        page,
    )  # fmt: skip
    print(f"page         {page}")
    if PESQ in judge.measures:
        one, other = (each.tallies[PESQ] for each in judged.values())
        better = sum(ours.total > theirs.total for ours, theirs in zip(one, other, strict=True))
        print(f"{PESQ} prefers {path} to Griffin-Lim in {better} of {len(clips)} pairs")


def main(args: Namespace) -> int:
    """Measure what is not measured yet, and print it all."""
    if args.corpora is None or not args.model:
        raise UserError("no corpora or no model is named; name them with --corpora DIR and --model RUN")
    sets = args.set or (KNOWN, *UNKNOWN)
    if args.page is not None and (len(sets), len(args.model)) != (1, 1):
        raise UserError(
            f"--page is of one set and one model, found {len(sets)} and {len(args.model)}; name one with --set"
        )
    records = Records(args.json)
    with workplace(args.folder) as folder:
        for path in args.model:
            model = load(path)
            peers = {}
            for checkout in args.peer if path == args.model[0] else ():
                config = on_data(model.config, shards_of(KNOWN, args, folder))
                peer, facts = trained(checkout.resolve(), config, args.minutes, folder)
                about = f"{facts['steps']} steps in {facts['minutes']:.0f} min, {facts['bits']:.3f} bits"
                peers[f"{checkout.name}, {about}"] = peer
            for name in sets:
                measure_set(records, name, shards_of(name, args, folder), path, model, peers, args)
    show(records)
    return 0


def on_data(config: Config, data: Path) -> Config:
    """The same with other data, read in this process."""
    return replace(config, data=replace(config.data, path=str(data), num_workers=0))


def of_peer(peer: PeerVocoder, model: Model, clips: list[Clip]) -> list[Audio]:
    """The recordings of clips again, from their frames."""
    frames = [peer.mel.of_audio(clip.recorded, model.sample_rate) for clip in clips]
    return peer.generate(frames, [len(clip.recorded) for clip in clips])


def of_griffin_lim(model: Model, clip: Clip) -> Audio:
    """The recording of a clip again, from the frames that the model is told, without it."""
    mel = next(each for each in model.inputs if isinstance(each, Mel))
    frames = mel.of_audio(clip.recorded, model.sample_rate)
    return griffin_lim(frames, MelSettings(**mel.spec), model.sample_rate, len(clip.recorded))


def show(records: Records) -> None:
    """A line for each measure of each system."""
    for row in records.of("resynthesis"):
        print(f"{row['set']}: {row['who']}, {row['clips']} clips, {row['clips_s']:.1f} s")
        for name in (key.removesuffix(" low") for key in row if key.endswith(" low")):
            low, high = row[f"{name} low"], row[f"{name} high"]
            sure = "" if low is None else f" ({low:.3f} to {high:.3f})"
            beside = ", ".join(
                f"{which} {row[f'{name} {which}']:.3f}"
                for which in ("codec", "noise")
                if row[f"{name} {which}"] is not None
            )
            print(f"  {name:34s}{row[name]:8.3f}{sure}; {beside}")


if __name__ == "__main__":
    parser = build_parser("how like their recordings resynthesised ones are")
    parser.add_argument("--corpora", type=Path, metavar="DIR", help="a folder with the corpora")
    parser.add_argument("--model", action="append", default=[], metavar="RUN", help="a vocoder; one or more")
    parser.add_argument(
        "--peer",
        type=Path,
        action="append",
        default=[],
        metavar="CHECKOUT",
        help="r9y9's, to be trained as well",
    )
    parser.add_argument("--minutes", type=float, default=120, help="of a processor for that (%(default)g)")
    parser.add_argument(
        "--page", type=Path, metavar="HTML", help="write pairs to compare blindly, of one set"
    )
    parser.add_argument("--set", nargs="+", choices=(KNOWN, *UNKNOWN), help="some of the sets")
    parser.add_argument("--count", type=int, default=16, help="recordings (%(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each (%(default)g)")
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.8], metavar="T")
    parser.add_argument("--weights", default="float32", help="number format (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of recordings and draws (%(default)s)")
    run(main, parser.parse_args())
