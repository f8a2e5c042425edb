"""Where clips go, and what their files are called: by run, seed, what they are told, and the next free number."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wavenet_pl.errors import UserError
from wavenet_pl.generation.requests import ClipRequest
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.inputs.input import Input

FORMATS = ("wav", "flac")
FACTS, PICTURE = ".json", ".png"
"""Suffixes of what lies beside a clip."""
_OTHER_AUDIO = (".aac", ".aif", ".aiff", ".m4a", ".mp3", ".ogg", ".opus", ".raw", ".wma")
_LONGEST = 80
"""Bytes that each part of a name has at most; file systems take 255 of all."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A folder for clips, or the one file for a clip."""

    folder: Path
    suffix: str
    """Of the audio."""
    stem: str | None
    """Of the one file; None for names of the clips' own."""
    overwrite: bool
    """Whether files that are there are replaced."""

    def paths(self, run: str | os.PathLike[str], seed: int, labels: Sequence[str]) -> list[Path]:
        """The audio file of each clip. Files of earlier clips, or beside them, have none of these names.

        Args:
            run: path of the model.
            seed: of the draws.
            labels: what each clip is told.

        Raises:
            UserError: the folder cannot be made or read, or the one file is there.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            names = [] if self.overwrite else os.listdir(self.folder)
        except OSError as error:
            raise UserError(
                f"--out {self.folder} cannot be used ({error.strerror}), expected a folder for the clips; name another"
            ) from None
        if self.stem is not None:
            if taken := {self.stem + suffix for suffix in (self.suffix, FACTS, PICTURE)} & set(names):
                raise UserError(
                    f"{self.folder / min(taken)} is there already, expected a name that is free; name another file, or "
                    "replace it with --overwrite"
                )
            return [self.folder / (self.stem + self.suffix)]
        beginning = f"{_part(model_name(run)) or 'model'}-seed{seed}-"
        numbered = re.compile(re.escape(beginning) + r"(\d{3,9})(?:-.*)?\.(?:wav|flac|png|json)")
        numbers = [int(match[1]) for name in names if (match := numbered.fullmatch(name))]
        first = max(numbers, default=-1) + 1
        digits = max(3, len(str(first + len(labels) - 1)))
        return [
            self.folder / f"{beginning}{number:0{digits}d}{f'-{label}' if label else ''}{self.suffix}"
            for number, label in enumerate(labels, start=first)
        ]


def read_destination(out: str, audio_format: str | None, num_clips: int, *, overwrite: bool) -> Destination:
    """What --out and --format ask for.

    Args:
        out: a folder, or a file whose suffix is a format.
        audio_format: one of `FORMATS`, None for that of the file, else wav.
        num_clips: that are to go there.
        overwrite: whether files that are there are replaced.

    Raises:
        UserError: they do not fit each other, or no file can have such a name.
    """
    path, suffix = Path(out), Path(out).suffix.casefold()
    is_folder = os.path.isdir(out) or suffix not in (*(f".{each}" for each in FORMATS), *_OTHER_AUDIO)
    try:
        os.lstat(path if is_folder else path.with_suffix(FACTS))  # the longest name
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be used ({error.strerror}), expected a folder for the clips, or a file; name another"
        ) from None
    if is_folder:
        suffix = f".{audio_format or FORMATS[0]}"
        return Destination(folder=path, suffix=suffix, stem=None, overwrite=overwrite)
    if suffix in _OTHER_AUDIO:
        raise UserError(f"--out {out} ends with {suffix}, expected a folder, or a file .wav or .flac")
    if audio_format not in (None, suffix[1:]):
        raise UserError(f"--out {out} ends with {suffix}, and --format is {audio_format}; leave one out")
    if num_clips > 1:
        raise UserError(
            f"--out {out} is one file, and {num_clips:,} clips are asked for; name a folder for them"
        )
    return Destination(folder=path.parent, suffix=path.suffix, stem=path.stem, overwrite=overwrite)


def model_name(run: str | os.PathLike[str]) -> str:
    """What a run, a checkpoint or an export is called in a file's name."""
    path = Path(os.path.abspath(run))
    if path.parent.name == "checkpoints":
        return f"{path.parent.parent.name}-{path.stem}"
    return path.parent.name if path.suffix == ".safetensors" else path.name


def label(request: ClipRequest, inputs: Sequence[Input]) -> str:
    """What a clip is told, as a part of a file's name: names, and files without folder and suffix."""
    words = []
    for each in inputs:
        value = request.condition.get(each.name)
        texts = value if isinstance(value, (list, tuple)) else [value]
        words += [
            Path(text).stem if isinstance(each, Frames) else text for text in texts if isinstance(text, str)
        ]
    if isinstance(request.prompt, str):
        words.append(Path(request.prompt).stem)
    return _part("-".join(words))


def _part(text: str) -> str:
    """As much of a text as every file system takes in a name."""
    plain = re.sub(r"[^\w.+]+", "-", text).strip("-.")
    return plain.encode()[:_LONGEST].decode(errors="ignore")
