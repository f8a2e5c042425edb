"""Makes what README shows of the demo: a recording that it never saw, and what its vocoder makes of the frames.

    python scripts/draw_demo.py runs/demo-1a2b3c

A picture, docs/clip.png, and both as audio: docs/clips/recorded.flac and docs/clips/resynthesised.flac.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile

from wavenet_pl.audio.pictures import save_spectrograms
from wavenet_pl.evaluation.clips import Audio, make_clips
from wavenet_pl.evaluation.recordings import open_recordings
from wavenet_pl.model import Model
from wavenet_pl.runs.loading import load

DOCS = Path(__file__).resolve().parent.parent / "docs"


def write_pair(
    model: Model,
    name: str,
    data: str | None,
    folder: Path,
    seconds: float,
    count: int,
    temperature: float,
    names: tuple[str | None, str],
    unshown: str | None = None,
) -> dict[str, Audio]:
    """One recording of the test split, and the clip that a model makes with its condition; in English, if there is.

    Args:
        model: makes the clip.
        name: of the model, for messages.
        data: a shard set; that of the model if None.
        folder: where both go.
        seconds: how long they are at most.
        count: of how many clips this is one, as others were judged.
        temperature: of the draw.
        names: of the two files; None for none.
        unshown: in the keys of recordings that may not be shown.

    Returns: what was written by its name.
    """
    recordings = open_recordings(model, name, data, "test", seed=0, max_seconds=3600, lang=None)
    clips, _ = make_clips(
        model, recordings.drawn, seconds=seconds, count=min(count, len(recordings.drawn)), seed=0,
        temperature=temperature, progress=lambda share: None,
    )  # fmt: skip
    english = {recordings.drawn[position].key for position in recordings.english}
    shown = [each for each in clips if unshown is None or unshown not in each.key]
    clip = max(shown, key=lambda each: (each.key in english, len(each.recorded)))
    folder.mkdir(exist_ok=True)
    written = {}
    for file, audio in zip(names, (clip.recorded, clip.generated), strict=True):
        if file is not None:
            written[file] = audio[: len(clip.recorded)]
            soundfile.write(folder / f"{file}.flac", written[file], model.sample_rate, subtype="PCM_16")
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="what README shows of the demo")
    parser.add_argument("run", help="of `make demo`")
    run = parser.parse_args().run
    vocoder = load(run)
    # As `make demo` has them on its page.
    pair = write_pair(vocoder, run, None, DOCS / "clips", 4.0, 10, 0.8, ("recorded", "resynthesised"))
    save_spectrograms(DOCS / "clip.png", list(pair.items()), vocoder.sample_rate, "")
