"""The command `generate`: clips to listen to from a trained model, on disk while they are made."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavenet_pl.commands.grammar import positive
from wavenet_pl.errors import ExitCode, UserError
from wavenet_pl.generation.choice import ENGINES, WEIGHTS, Choice
from wavenet_pl.generation.requests import DEFAULT_SECONDS, Clip, ClipRequest, read_list
from wavenet_pl.inputs.known import BUILT_IN
from wavenet_pl.progress import Progress

if TYPE_CHECKING:
    from wavenet_pl.audio.levels import Levels
    from wavenet_pl.generation.draw import Draw
    from wavenet_pl.generation.engines import Engine
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
        help=f"new audio per clip (default: as long as the frames that are given, else {DEFAULT_SECONDS:g})",
    )
    parser.add_argument("--count", type=int, default=1, help="how many clips, made in one batch (default: 1)")
    parser.add_argument(
        "--prompt", metavar="FILE", help="audio that every clip begins with, and goes on from"
    )
    for name, each in BUILT_IN.items():
        parser.add_argument(f"--{name}", metavar=each.metavar, help=each.help)
    for option, value, what in (
        ("--set", "NAME=VALUE", "a name of a table of your own, such as accent=scots; may be given again"),
        ("--frames", "NAME=FILE", "frames of your own, as .npy, such as f0=f0.npy; may be given again"),
    ):
        parser.add_argument(option, action="append", default=[], metavar=value, help=what)
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
    requests = _requests(args)
    from wavenet_pl.generation.draw import Draw
    from wavenet_pl.runs.loading import load

    model = load(args.run)
    try:
        draw = Draw(
            temperature=args.temperature, top_p=args.top_p, seed=args.seed, clips=tuple(range(len(requests)))
        )
        model.head.check_draw(draw.temperature, draw.top_p)
        clips = model.resolve(requests)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{args.run}: {error}") from None
    if args.temperature == 0:
        print(
            "warning: temperature 0 takes the likeliest code every time, which soon is silence",
            file=sys.stderr,
        )
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
        return ExitCode.INTERRUPTED
    facts = {
        "run": str(args.run),
        "temperature": args.temperature,
        "top_p": args.top_p,
        "seed": args.seed,
        "engine": engine.name,
        "weights": engine.weights,
        "threads": engine.threads,
    }
    for number, (stem, request, clip) in enumerate(zip(stems, requests, clips, strict=True)):
        seconds = min(made.samples, clip.num_samples) / model.sample_rate
        _finish(stem, len(clip.prompt), {**facts, **request.described(), "seconds": seconds, "clip": number})
    print(f"{made.describe(model.sample_rate)}, {describe(engine)}; clips in {out}", file=sys.stderr)
    return ExitCode.INTERRUPTED if made.interrupted else ExitCode.DONE


def describe(engine: Engine) -> str:
    """What generated, in a few words: ``engine fused-cpu, weights float32, threads 1``."""
    ready = f" (ready after {engine.compile_seconds:.1f} s)" if engine.compile_seconds else ""
    return f"engine {engine.name}, weights {engine.weights}, threads {engine.threads}{ready}"


def _requests(args: argparse.Namespace) -> list[ClipRequest]:
    condition: dict[str, str] = {
        name: value for name in BUILT_IN if (value := getattr(args, name)) is not None
    }
    for option, pairs in (("--set", args.set), ("--frames", args.frames)):
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not (name and equals and value):
                raise UserError(f"{option} is {pair!r:.60}, expected NAME=VALUE")
            if name in condition:
                raise UserError(f"{option} {pair!r:.60} gives {name} again, expected it once; leave one out")
            condition[name] = value
    common = ClipRequest(seconds=args.seconds, prompt=args.prompt, **condition)
    if args.list is None:
        return [common] * args.count
    if args.count != 1:
        raise UserError(
            f"--count is {args.count} beside --list, whose lines are the clips; leave one of them out"
        )
    return read_list(args.list, common)


@dataclass(frozen=True)
class _Made:
    """How much audio a batch of clips came to, and how long that took."""

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
        """Length and speed in words, for the terminal."""
        audio = self.audio_samples / sample_rate
        return (
            f"{audio:.2f} s of audio in {self.seconds:.1f} s, {audio / self.seconds:.3f} times real time, the first "
            f"after {self.first:.2f} s"
        )


def _write_clips(
    model: Model, clips: Sequence[Clip], draw: Draw, engine: Engine, paths: Sequence[Path]
) -> _Made:
    """Writes each piece as soon as it is there; after Ctrl-C the files hold what there was."""
    from wavenet_pl.audio.wav import WavWriter

    rate = model.sample_rate
    lengths = [clip.num_samples for clip in clips]
    pieces = model.stream(clips, draw, engine)
    files = [WavWriter(path, rate) for path in paths]
    done, audio_samples, interrupted, first = 0, 0, False, 0.0
    began = time.monotonic()
    total = sum(lengths) / rate
    try:
        with Progress("generate", total, unit="s of audio", decimals=2, line_seconds=1) as progress:
            for file, clip in zip(files, clips, strict=True):
                if len(clip.prompt):
                    file.write(clip.prompt)
            for audio_BN in pieces:
                for file, length, audio_N in zip(files, lengths, audio_BN, strict=True):
                    file.write(audio_N[: max(0, length - done)])
                    audio_samples += min(len(audio_N), max(0, length - done))
                done += audio_BN.shape[1]
                seconds = time.monotonic() - began
                first = first or seconds
                pace = f"{audio_samples / rate / max(seconds, 1e-9):.3f} times real time"
                progress.update(audio_samples / rate, pace, at_once=done == max(lengths))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        for file in files:
            file.close()
        if done == 0:
            for path in paths:
                path.unlink(missing_ok=True)
    return _Made(done, audio_samples, max(time.monotonic() - began, 1e-9), first, interrupted)


def _finish(stem: Path, prompt_samples: int, facts: dict[str, Any]) -> None:
    """Draws a clip that was written, keeps the facts about it, and prints how loud it is and what is wrong with it.

    Args:
        stem: path of the WAV file, without its suffix.
        prompt_samples: how much of it was given.
        facts: how it was made.
    """
    path = stem.with_suffix(".wav")
    size = _piece_samples(path, prompt_samples)
    levels, problem = _measure(path, prompt_samples, size)
    _draw_start(stem, prompt_samples + size)
    stem.with_suffix(".json").write_text(json.dumps({**facts, "problem": problem}) + "\n")
    warning = f"  WARNING: this clip {problem}" if problem else ""
    print(f"{path}  {levels.describe()}{warning}")


def _piece_samples(path: Path, prompt_samples: int) -> int:
    """Length of the pieces in which a clip is read. They are equal: the last one should not be too short to judge."""
    import soundfile

    info = soundfile.info(path)
    number = max(1, round((info.frames - prompt_samples) / info.samplerate / _JUDGED_SECONDS))
    return int(-(-(info.frames - prompt_samples) // number))


def _measure(path: Path, prompt_samples: int, size: int) -> tuple[Levels, str]:
    """Levels of a clip behind its prompt, and what is wrong with it, if anything; reads `size` samples at a time."""
    import soundfile

    from wavenet_pl.audio.levels import join, measure
    from wavenet_pl.evaluation.screen import screen

    info = soundfile.info(path)
    problems: dict[str, str] = {}
    levels: list[tuple[int, Levels]] = []
    for begin in range(prompt_samples, info.frames, size):
        audio, _ = soundfile.read(path, size, begin, dtype="float32")
        levels.append((len(audio), measure(audio)))
        offset = f" (counted from {begin / info.samplerate:.0f} s)" if begin > prompt_samples else ""
        problems = {kind: text + offset for kind, text in screen(audio, info.samplerate).items()} | problems
    return join(levels), "; ".join(problems.values())


def _draw_start(stem: Path, num_samples: int) -> None:
    """Spectrogram of the first samples of a clip, as a PNG file beside it."""
    import soundfile

    from wavenet_pl.audio.pictures import save_spectrograms

    audio, rate = soundfile.read(stem.with_suffix(".wav"), num_samples, dtype="float32")
    save_spectrograms(stem.with_suffix(".png"), [(stem.name, audio)], rate)
