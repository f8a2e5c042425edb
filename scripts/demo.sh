#!/bin/sh
# The whole road once, on two CPU cores: recorded speech -> shards -> a vocoder -> a page to listen. Run by `make demo`.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

step wavenet-pl prepare demo data/demo --mel --sample-rate 8000
step wavenet-pl train demo
run=$(ls -td runs/demo-*/ | head -n 1)
run=${run%/}
step wavenet-pl listen "$run" --split test --count 10 --temperature 0.8 0.6 1 --out "$run/listen.html"

cat <<TEXT

Made:
  $run/listen.html   open it in a browser: recordings that the model never saw, and what it makes of their mel frames
  $run/   the run: checkpoints, metrics.jsonl, clips made while training, offline W&B run
  data/demo/report.md   what went into the shards: hours, speakers, levels

Type next, after \`. .venv/bin/activate\`:
  wavenet-pl generate $run --mel /path/to/recording.wav --out clips
  wavenet-pl train unconditional small data.path=data/demo     # audio from nothing but audio
  wavenet-pl prepare folder /path/to/your/recordings data/mine
  wavenet-pl train unconditional data.path=data/mine           # on a GPU; on a CPU: train unconditional small ...
  wavenet-pl doctor
TEXT
