"""Makes what README shows of the demo: a recording that it never saw, and what its vocoder makes of the frames.

    python scripts/draw_demo.py runs/demo-1a2b3c

A picture, docs/clip.png, and both as audio: docs/clips/recorded.flac and docs/clips/resynthesised.flac.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile

from wavenet_pl.audio.pictures import save_spectrograms
from wavenet_pl.evaluation.clips import make_clips
from wavenet_pl.evaluation.recordings import open_recordings
from wavenet_pl.runs.loading import load

DOCS = Path(__file__).resolve().parent.parent / "docs"
SECONDS, TEMPERATURE = 4.0, 0.8
"""As `make demo` has them on its page."""


def main(run: str) -> None:
    """Draw and write them."""
    model = load(run)
    recordings = open_recordings(model, run, None, "test", seed=0, max_seconds=3600, lang=None)
    clips, _ = make_clips(
        model, recordings.drawn, seconds=SECONDS, count=10, seed=0, temperature=TEMPERATURE,
        progress=lambda share: None,
    )  # fmt: skip
    english = {recordings.drawn[position].key for position in recordings.english}
    clip = max((each for each in clips if each.key in english), key=lambda each: len(each.recorded))
    heard = {"recorded": clip.recorded, "resynthesised": clip.generated[: len(clip.recorded)]}
    folder = DOCS / "clips"
    folder.mkdir(exist_ok=True)
    for name, audio in heard.items():
        soundfile.write(folder / f"{name}.flac", audio, model.sample_rate, subtype="PCM_16")
    save_spectrograms(DOCS / "clip.png", list(heard.items()), model.sample_rate, clip.key)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="what README shows of the demo")
    parser.add_argument("run", help="of `make demo`")
    main(parser.parse_args().run)
