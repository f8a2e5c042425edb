"""The command `generate`: clips to listen to from a trained model."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavenet_pl.errors import UserError
from wavenet_pl.foreign import printable, read_file

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from wavenet_pl.features import FeatureSpec
    from wavenet_pl.modules import WaveNetModule

_SECONDS = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `wavenet-pl generate`."""
    parser.add_argument("run", metavar="RUN", help="a run folder, one checkpoint, or an export")
    parser.add_argument("--out", required=True, metavar="DIR", help="where WAV and PNG files go")
    parser.add_argument(
        "--seconds",
        type=positive,
        help=f"new audio per clip (default: as long as the notes or mel, else {_SECONDS:g})",
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
        "--temperature", type=float, default=1.0, help="below 1 is more cautious (default: 1)"
    )
    parser.add_argument(
        "--top-p", type=float, default=1.0, help="draw from the likeliest codes only (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other clips (default: 0)")
    parser.add_argument(
        "--engine", choices=("auto", "reference"), default="auto", help="what computes (default: auto)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads (default: 1, best for small steps)"
    )


def main(args: argparse.Namespace) -> int:
    """Generate, write, and say what was made; returns the exit code."""
    if args.count < 1:
        raise UserError(f"--count is {args.count}, expected 1 or more")
    if args.threads < 1:
        raise UserError(f"--threads is {args.threads}, expected 1 or more")
    import numpy as np
    import torch

    from wavenet_pl.checkpoint import load
    from wavenet_pl.generation.draw import Draw

    torch.set_num_threads(args.threads)
    module = load(args.run)
    try:
        draw = Draw(
            temperature=args.temperature, top_p=args.top_p, seed=args.seed, clips=tuple(range(args.count))
        )
        module.head.check_draw(draw.temperature, draw.top_p)
    except ValueError as error:
        raise UserError(str(error)) from None
    if args.temperature == 0:
        print(
            "warning: temperature 0 takes the likeliest code every time, which soon is silence",
            file=sys.stderr,
        )
    prompt = None if args.prompt is None else _read_audio("--prompt", args.prompt, module.sample_rate)
    features, told_samples = _read_features(args, module)
    begun = 0 if prompt is None else len(prompt)
    if args.seconds is None:
        total = max(1, told_samples - begun) if told_samples else round(_SECONDS * module.sample_rate)
    else:
        total = max(1, round(args.seconds * module.sample_rate))
    tags = tuple(filter(None, map(str.strip, args.tags.split(","))))
    try:
        condition = module.tell(begun + total, args.count, speaker=args.speaker, tags=tags, features=features)
    except ValueError as error:
        raise UserError(f"{args.run}: {error}") from None
    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out} cannot be made ({error.strerror}); name another folder") from None
    codes, seconds, interrupted = _stream(module, draw, total, prompt, condition)
    if codes.shape[1] == 0:
        print("interrupted before the first sample; nothing was written", file=sys.stderr)
        return 130
    audio = np.asarray(module.codec.decode(codes).cpu().numpy())
    if prompt is not None:
        audio = np.concatenate([np.tile(prompt, (args.count, 1)), audio], axis=1)
    made = codes.shape[1] / module.sample_rate
    facts = {
        "run": str(args.run), "prompt": args.prompt, "speaker": args.speaker, "tags": tags,
        "notes": args.notes, "mel": args.mel,
        "temperature": args.temperature, "top_p": args.top_p,
        "seed": args.seed, "engine": "reference", "seconds": made,
    }  # fmt: skip
    _write(out, audio, 0 if prompt is None else len(prompt), module.sample_rate, facts)
    print(
        f"{args.count} x {made:.2f} s in {seconds:.1f} s, engine reference: "
        f"{args.count * made / max(seconds, 1e-9):.3f} times real time; clips in {out}",
        file=sys.stderr,
    )
    return 130 if interrupted else 0


def _stream(
    module: WaveNetModule, draw: Any, total: int, prompt: npt.NDArray[np.float32] | None, condition: Any
) -> tuple[Any, float, bool]:
    """Codes (clips, samples) with progress; after Ctrl-C what there is. Also the time taken, and whether it was cut."""
    import torch

    count = len(draw.clips)
    prompt_BT = None if prompt is None else module.encode_prompt(prompt, count)
    pieces, done, interrupted, began = [torch.empty(count, 0, dtype=torch.int64)], 0, False, time.monotonic()
    shown = began
    try:
        for piece in module.stream(total, draw, prompt_BT, condition):
            pieces.append(piece.cpu())
            done += piece.shape[1]
            now = time.monotonic()
            if now - shown >= 1 or done == total:
                shown = now
                _show(done, total, count, now - began, module.sample_rate)
    except KeyboardInterrupt:
        interrupted = True
    if done and sys.stderr.isatty():
        print(file=sys.stderr)
    return torch.cat(pieces, dim=1), time.monotonic() - began, interrupted


def _show(done: int, total: int, count: int, seconds: float, sample_rate: int) -> None:
    left = seconds / done * (total - done)
    factor = count * done / sample_rate / max(seconds, 1e-9)
    share, made = 100 * done / total, done / sample_rate
    text = f"{share:3.0f} %  {made:.2f} s of audio, {factor:.3f} times real time, {left:.0f} s left"
    start, end = ("\r", "   ") if sys.stderr.isatty() else ("", "\n")
    print(f"{start}{text}", end=end, file=sys.stderr, flush=True)


def _write(
    out: Path, audio: npt.NDArray[np.float32], prompt_samples: int, sample_rate: int, facts: dict[str, Any]
) -> None:
    import soundfile

    from wavenet_pl.evaluation.screen import screen
    from wavenet_pl.levels import measure
    from wavenet_pl.plots import save_spectrograms

    for number, clip in enumerate(audio):
        stem = out / f"clip-{facts['seed']:04d}-{number:03d}"
        soundfile.write(stem.with_suffix(".wav"), clip, sample_rate, subtype="PCM_16")
        save_spectrograms(stem.with_suffix(".png"), [(stem.name, clip)], sample_rate)
        problem = "; ".join(screen(clip[prompt_samples:], sample_rate).values())
        stem.with_suffix(".json").write_text(json.dumps({**facts, "clip": number, "problem": problem}) + "\n")
        warning = f"  WARNING: this clip {problem}" if problem else ""
        print(f"{stem.with_suffix('.wav')}  {measure(clip).describe()}{warning}")


def _read_features(args: argparse.Namespace, module: WaveNetModule) -> tuple[dict[str, Any], int]:
    """Stored frames by name, and how many samples they last."""
    import numpy as np

    from wavenet_pl.features import MelSpec, NotesSpec
    from wavenet_pl.mel import mel_features
    from wavenet_pl.midi import piano_roll, read_midi

    features: dict[str, Any] = {}
    rate, samples = module.sample_rate, 0
    for name, path in (("notes", args.notes), ("mel", args.mel)):
        spec = module.labels.features.get(name)
        if path is None:
            continue
        if spec is None:
            features[name] = np.zeros((0, 0))  # refused where it is told
            continue
        if isinstance(spec, NotesSpec):
            notes = read_midi(path)
            length = math.ceil(float(notes.offsets.max(initial=0)) * rate)
            features[name] = piano_roll(notes, spec, max(1, length), rate)
        elif path.endswith(".npy"):
            features[name] = _read_frames(path, spec)
        else:
            assert isinstance(spec, MelSpec)
            features[name] = mel_features(spec, _read_audio("--mel", path, rate), rate)
        samples = max(samples, len(features[name]) * spec.hop_length)
    return features, samples


def _read_frames(path: str, spec: FeatureSpec) -> npt.NDArray[Any]:
    """Frames (N, F) that another program has made by the same settings."""
    import io

    import numpy as np

    try:
        frames_NF = np.lib.format.read_array(io.BytesIO(read_file(path, 2**28)), allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, OverflowError, TypeError) as error:
        raise UserError(
            f"--mel {path} cannot be read ({printable(str(error)):.100}), expected a .npy file"
        ) from None
    good = frames_NF.ndim == 2 and len(frames_NF) > 0 and frames_NF.dtype.kind == "f"
    if not good or not ((frames_NF >= 0) & (frames_NF <= 1)).all():
        raise UserError(
            f"--mel {path} has {frames_NF.dtype} of shape {frames_NF.shape}, expected numbers from 0 to 1 of shape "
            f"(frames, {spec.num_features}), made with the settings {spec.to_plain()}"
        )
    return frames_NF


def _read_audio(option: str, path: str, sample_rate: int) -> npt.NDArray[np.float32]:
    """Mono audio at the model's sample rate."""
    import numpy as np
    import soundfile

    from wavenet_pl.dsp import resample

    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise UserError(f"{option} {path} cannot be read ({error}), expected an audio file") from None
    if len(audio) == 0 or not np.isfinite(audio).all():
        raise UserError(f"{option} {path} is empty or not finite, expected audio")
    mono = audio.mean(axis=1, dtype=np.float32)
    return mono if rate == sample_rate else resample(mono, rate, sample_rate)


def positive(text: str) -> float:
    """The type of options that are lengths."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no length, expected a number above 0")
    return value
