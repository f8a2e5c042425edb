#!/bin/sh
# The whole road once, on two CPU cores: recorded speech -> shards -> training -> clips. Run by `make demo`.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

step wavenet-pl prepare demo data/demo
step wavenet-pl train configs/demo.yaml data.path=data/demo
run=$(ls -td runs/demo-*/ | head -n 1)
run=${run%/}
step wavenet-pl generate "$run" --out clips --seconds 2 --count 2

cat <<TEXT

Made:
  data/demo/report.md   what went into the shards: hours, speakers, levels
  $run/   the run: checkpoints, metrics.jsonl, clips made while training, offline W&B run
  clips/   generated audio (WAV) with a spectrogram (PNG) beside each

Type next, after \`. .venv/bin/activate\`:
  wavenet-pl generate $run --out clips --seconds 4 --temperature 0.9 --seed 1
  wavenet-pl prepare folder /path/to/your/recordings data/mine
  wavenet-pl train configs/unconditional.yaml data.path=data/mine
  wavenet-pl doctor
TEXT
