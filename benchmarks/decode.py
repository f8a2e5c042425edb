"""Every audio file below a folder through the one reader and through ffmpeg: how long they find it, and how different.

    python benchmarks/decode.py --files DIR --json decode.json
    python benchmarks/decode.py --files DIR --against ffmpeg --json decode.json    # needs `pip install imageio-ffmpeg`

Where the two disagree, the reason is one of those in docs/damage.md, or the run ends with 1.
"""

from __future__ import annotations

import importlib
import os
import subprocess
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.records import Progress, Records, build_parser, run
from wavenet_pl.audio.decoding import open_audio
from wavenet_pl.audio.formats import AUDIO_EXTENSIONS
from wavenet_pl.audio.streams import Unreadable
from wavenet_pl.errors import UserError

BENCHMARK = "decode"
SAME = 1e-4
"""Of full scale: what two decoders of one lossy format may differ by."""
QUICK = 50
EXPLAINED = {
    "refused": "the reader refuses it, by name; ffmpeg gives what it can",
    "joined": "ffmpeg gives the first of several streams, or keeps what an encoder put between them",
    "unfinished": "ffmpeg does not cut an Ogg stream without an end mark at its true end, or decodes half a frame",
    "length": "ffmpeg believes the length in the header",
    "foreign bytes": "ffmpeg decodes bytes that are no audio, or stops at them",
    "broken frames": "each puts something else where frames cannot be read",
    "header": "ffmpeg believes another part of a header that contradicts itself",
    "opus": "ffmpeg always decodes Opus to 48 kHz: its length is compared, not its samples",
    "delay": "a Xing header that says nothing of the encoder: ffmpeg keeps the decoder's delay of 529 samples",
}
"""Kind of a disagreement -> its reason, as docs/damage.md has it."""


def ffmpeg() -> str:
    """The program that imageio-ffmpeg brings.

    Raises:
        UserError: it is not installed.
    """
    try:
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise UserError(
            "--against ffmpeg needs imageio-ffmpeg; install it with pip, or leave it out"
        ) from None


def decode(path: Path) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    """Samples (N, channels) and what is told, by the one reader."""
    try:
        with open_audio(path) as reader:
            blocks = [*reader.blocks()]
    except Unreadable as error:
        return np.zeros((0, 1), np.float32), {"refused": error.reason, "flaws": [], "rate": 0}
    widest = max((block.shape[1] for block in blocks), default=1)
    audio = np.concatenate(
        [block for block in blocks if block.shape[1] == widest] or [np.zeros((0, 1), np.float32)]
    )
    return audio, {"refused": "", "flaws": sorted(reader.flaws), "rate": reader.sample_rate}


def peer(program: str, path: Path, rate: int, channels: int) -> npt.NDArray[np.float32]:
    """The same by ffmpeg, at this rate."""
    form = ["-ar", str(rate), "-ac", str(channels), "-f", "f32le", "-acodec", "pcm_f32le", "-"]
    command = [program, "-nostdin", "-v", "quiet", "-i", os.fspath(path), "-map", "0:a:0", *form]
    made = subprocess.run(command, capture_output=True).stdout
    return np.frombuffer(made[: len(made) // (4 * channels) * 4 * channels], "<f4").reshape(-1, channels)


def compared(path: Path, program: str | None) -> dict[str, Any]:
    """One file: lengths, the largest difference, and the kind of the disagreement."""
    audio, facts = decode(path)
    row = {"samples": len(audio), **facts}
    if program is None:
        return row
    other = peer(program, path, facts["rate"] or 16_000, audio.shape[1])
    common = min(len(audio), len(other))
    difference = float(np.abs(audio[:common] - other[:common]).max()) if common else 0.0
    row |= {"ffmpeg_samples": len(other), "difference": difference}
    return row | {"kind": kind_of(row, path)}


def kind_of(row: Mapping[str, Any], path: Path) -> str:
    """Of `EXPLAINED`; "same" where the two agree, "unexplained" where nothing here says why they do not."""
    if row["refused"]:
        return "refused" if row["ffmpeg_samples"] else "same"
    beyond = row["samples"] - row["ffmpeg_samples"]
    opus = path.suffix.lower() in (".opus", ".ogg", ".oga") and b"OpusHead" in path.read_bytes()[:300]
    if opus and abs(beyond) <= 2 * 48:
        return "opus"
    if not beyond and row["difference"] <= SAME:
        return "same"
    flaw = next((flaw for flaw in EXPLAINED if flaw in row["flaws"]), None)
    if flaw:
        return flaw
    return "delay" if beyond == -529 else "unexplained"


def main(args: Namespace) -> int:
    """Measure and print."""
    program = ffmpeg() if args.against == "ffmpeg" else None
    records = Records(args.json)
    files = sorted(
        path
        for path in args.files.rglob("*")
        if path.suffix[1:].lower() in AUDIO_EXTENSIONS and path.is_file()
    )
    if not files:
        raise UserError(f"--files {args.files} holds no audio, expected a folder with some; check the path")
    files = files[:: max(1, len(files) // QUICK)] if args.quick else files
    progress = Progress(BENCHMARK, len(files))
    rows = []
    for path in files:
        facts = {
            "benchmark": BENCHMARK,
            "file": os.fspath(path.relative_to(args.files)),
            "against": args.against,
        }
        rows.append(records.measure(facts, partial(compared, path, program)))
        progress.step(path.name)
    for name in ("kind", "refused"):
        for value, count in Counter(row.get(name, "") for row in rows).most_common():
            if value:
                print(f"{count:>7}  {name} {value}")
    for flaw, count in Counter(flaw for row in rows for flaw in row["flaws"]).most_common():
        print(f"{count:>7}  flaw {flaw}")
    unexplained = [row for row in rows if row.get("kind") == "unexplained"]
    for row in unexplained:
        print(
            f"{row['file']}: {row['samples']} samples, ffmpeg {row['ffmpeg_samples']}, apart {row['difference']:.2g}"
        )
    print(f"{len(rows)} files, {len(unexplained)} unexplained")
    return 1 if unexplained else 0


if __name__ == "__main__":
    parser = build_parser(__doc__)
    parser.add_argument("--files", type=Path, required=True, metavar="DIR", help="audio files, at any depth")
    parser.add_argument("--against", choices=("ffmpeg",), default="", help="compare with another decoder")
    run(main, parser.parse_args())
