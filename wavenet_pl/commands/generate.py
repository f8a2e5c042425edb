"""The command `generate`: clips to listen to from a trained model, on disk while they are made."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavenet_pl.commands.grammar import positive
from wavenet_pl.errors import UserError
from wavenet_pl.generation.choice import ENGINES, WEIGHTS, Choice
from wavenet_pl.generation.clip_list import DEFAULT_SECONDS, AskedClip, FileReader, read_list

if TYPE_CHECKING:
    from wavenet_pl.audio.levels import Levels
    from wavenet_pl.generation.draw import Draw
    from wavenet_pl.generation.engines import Engine
    from wavenet_pl.generation.requests import ClipRequest
    from wavenet_pl.model import Model

_JUDGED_SECONDS = 60
"""A clip is looked at in pieces of about this length: memory does not grow with it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl generate`."""
    parser.add_argument("run", metavar="RUN", help="a run folder, one checkpoint, or an export")
    parser.add_argument("--out", required=True, metavar="DIR", help="where WAV and PNG files go")
    parser.add_argument(
        "--seconds",
        type=positive,
        help=f"new audio per clip (default: as long as the notes or mel, else {DEFAULT_SECONDS:g})",
    )
    parser.add_argument("--count", type=int, default=1, help="how many clips, made in one batch (default: 1)")
    parser.add_argument(
        "--prompt", metavar="FILE", help="audio that every clip begins with, and goes on from"
    )
    parser.add_argument("--speaker", metavar="NAME", help="the voice, for a model that is told of speakers")
    parser.add_argument(
        "--tags", default="", metavar="A,B", help="tags of the music, for a model that is told of them"
    )
    parser.add_argument(
        "--notes", metavar="FILE", help="MIDI file to be played, for a model that is told of notes"
    )
    parser.add_argument(
        "--mel",
        metavar="FILE",
        help="audio, or mel frames as .npy, to be said again, for a model that is told of mel",
    )
    parser.add_argument(
        "--list",
        metavar="FILE",
        help='clips that differ, made in one batch: {"seconds": 2, "speaker": "anna"} and so on, one a line, with the '
        "names of the options above (tags as a list); what a line does not say is as the options say",
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="below 1 is more cautious (default: 1)"
    )
    parser.add_argument(
        "--top-p", type=float, default=1.0, help="draw from the likeliest codes only (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other clips (default: 0)")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=Choice.engine,
        help="what computes; auto takes the fastest that can (default: auto)",
    )
    parser.add_argument(
        "--weights",
        choices=WEIGHTS,
        default=Choice.weights,
        help="number format of the weights; bf16 and int8 are faster and nearly as good (default: float32)",
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: as many as help)")


def main(args: argparse.Namespace) -> int:
    """Generate, write, and say what was made; returns the exit code."""
    for name in ("count", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} is {value}, expected 1 or more")
    asked = _asked(args)
    from wavenet_pl.generation.draw import Draw
    from wavenet_pl.runs.loading import load

    model = load(args.run)
    try:
        draw = Draw(
            temperature=args.temperature, top_p=args.top_p, seed=args.seed, clips=tuple(range(len(asked)))
        )
        model.head.check_draw(draw.temperature, draw.top_p)
    except ValueError as error:
        raise UserError(str(error)) from None
    if args.temperature == 0:
        print(
            "warning: temperature 0 takes the likeliest code every time, which soon is silence",
            file=sys.stderr,
        )
    reader = FileReader(model.labels, model.sample_rate)
    clips = [reader.request(clip) for clip in asked]
    try:
        model.condition_of(clips)
    except ValueError as error:
        raise UserError(f"{args.run}: {error}") from None
    engine = model.build_engine(Choice(engine=args.engine, weights=args.weights, threads=args.threads))
    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out} cannot be made ({error.strerror}); name another folder") from None
    stems = [out / f"clip-{args.seed:04d}-{number:03d}" for number in range(len(clips))]
    made = _write_clips(model, clips, draw, engine, [stem.with_suffix(".wav") for stem in stems])
    if made.samples == 0:
        print("interrupted before the first sample; nothing was written", file=sys.stderr)
        return 130
    by = {"engine": engine.name, "weights": engine.weights, "threads": engine.threads}
    how = {
        "run": str(args.run),
        "temperature": args.temperature,
        "top_p": args.top_p,
        "seed": args.seed,
        **by,
    }
    for number, (stem, one, clip) in enumerate(zip(stems, asked, clips, strict=True)):
        seconds = min(made.samples, clip.num_samples(model.sample_rate)) / model.sample_rate
        facts = {**how, **asdict(one), "seconds": seconds, "clip": number}
        _judge(stem, _prompt_samples(clip), facts)
    print(f"{made.describe(model.sample_rate)}, {describe(engine)}; clips in {out}", file=sys.stderr)
    return 130 if made.interrupted else 0


def describe(engine: Engine) -> str:
    """What generated, in a few words: ``engine fused-cpu, weights float32, threads 1``."""
    ready = f" (ready after {engine.compile_seconds:.1f} s)" if engine.compile_seconds else ""
    return f"engine {engine.name}, weights {engine.weights}, threads {engine.threads}{ready}"


def _asked(args: argparse.Namespace) -> list[AskedClip]:
    common = AskedClip(
        seconds=args.seconds,
        prompt=args.prompt,
        speaker=args.speaker,
        tags=tuple(filter(None, map(str.strip, args.tags.split(",")))),
        notes=args.notes,
        mel=args.mel,
    )
    if args.list is None:
        return [common] * args.count
    if args.count != 1:
        raise UserError(
            f"--count is {args.count} beside --list, whose lines are the clips; leave one of them out"
        )
    return read_list(args.list, common)


@dataclass(frozen=True)
class _Made:
    """What came of a batch."""

    samples: int
    """Of the longest clip, without its prompt."""
    audio_samples: int
    """Of all clips."""
    seconds: float
    """That it took."""
    first: float
    """Seconds until there was something to hear."""
    interrupted: bool

    def describe(self, sample_rate: int) -> str:
        """For people."""
        audio = self.audio_samples / sample_rate
        return (
            f"{audio:.2f} s of audio in {self.seconds:.1f} s, {audio / self.seconds:.3f} times real time, the first "
            f"after {self.first:.2f} s"
        )


def _write_clips(
    model: Model, clips: Sequence[ClipRequest], draw: Draw, engine: Engine, paths: Sequence[Path]
) -> _Made:
    """Writes each piece as soon as it is there; after Ctrl-C the files hold what there was."""
    import numpy as np

    from wavenet_pl.audio.wav import WavWriter

    rate = model.sample_rate
    lengths = [clip.num_samples(rate) for clip in clips]
    pieces = model.stream(clips, draw, engine)
    files = [WavWriter(path, rate) for path in paths]
    done, audio_samples, interrupted, first = 0, 0, False, 0.0
    began = shown = time.monotonic()
    try:
        for file, clip in zip(files, clips, strict=True):
            if clip.prompt is not None:
                file.write(np.asarray(clip.prompt))
        for audio_BN in pieces:
            for file, length, audio_N in zip(files, lengths, audio_BN, strict=True):
                file.write(audio_N[: max(0, length - done)])
                audio_samples += min(len(audio_N), max(0, length - done))
            done += audio_BN.shape[1]
            now = time.monotonic()
            first = first or now - began
            if now - shown >= 1 or done == max(lengths):
                shown = now
                _show(audio_samples, sum(lengths), now - began, rate)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        for file in files:
            file.close()
        if done == 0:
            for path in paths:
                path.unlink(missing_ok=True)
    if done and sys.stderr.isatty():
        print(file=sys.stderr)
    return _Made(done, audio_samples, max(time.monotonic() - began, 1e-9), first, interrupted)


def _show(done: int, total: int, seconds: float, sample_rate: int) -> None:
    left = seconds / done * (total - done)
    factor = done / sample_rate / max(seconds, 1e-9)
    text = f"{100 * done / total:3.0f} %  {done / sample_rate:.2f} s of audio, {factor:.3f} times real time"
    start, end = ("\r", "   ") if sys.stderr.isatty() else ("", "\n")
    print(f"{start}{text}, {left:.0f} s left", end=end, file=sys.stderr, flush=True)


def _judge(stem: Path, prompt_samples: int, facts: dict[str, Any]) -> None:
    """Says what a clip sounds like, in figures, and draws its beginning."""
    import soundfile

    from wavenet_pl.audio.levels import join, measure
    from wavenet_pl.audio.pictures import save_spectrograms
    from wavenet_pl.evaluation.screen import screen

    path = stem.with_suffix(".wav")
    info = soundfile.info(path)
    rate = info.samplerate
    # Equal pieces: the last one should not be too short to judge.
    number = max(1, round((info.frames - prompt_samples) / rate / _JUDGED_SECONDS))
    size = -(-(info.frames - prompt_samples) // number)
    problems: dict[str, str] = {}
    levels: list[tuple[int, Levels]] = []
    for begin in range(prompt_samples, info.frames, size):
        audio, _ = soundfile.read(path, size, begin, dtype="float32")
        levels.append((len(audio), measure(audio)))
        where = f" (counted from {begin / rate:.0f} s)" if begin > prompt_samples else ""
        problems = {kind: text + where for kind, text in screen(audio, rate).items()} | problems
    start, _ = soundfile.read(path, prompt_samples + size, dtype="float32")
    save_spectrograms(stem.with_suffix(".png"), [(stem.name, start)], rate)
    problem = "; ".join(problems.values())
    stem.with_suffix(".json").write_text(json.dumps({**facts, "problem": problem}) + "\n")
    warning = f"  WARNING: this clip {problem}" if problem else ""
    print(f"{path}  {join(levels).describe()}{warning}")


def _prompt_samples(clip: ClipRequest) -> int:
    import numpy as np

    return 0 if clip.prompt is None else len(np.asarray(clip.prompt))
