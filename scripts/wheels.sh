#!/bin/sh
# Collects in a folder what `make gpu-check` and `make models` take beside a CUDA image that has PyTorch, torchaudio,
# Lightning, numba, NumPy, safetensors and fsspec: for machines without a network. `python -m benchmarks.gpu --wheels DIR`
# installs what is lacking of it, and `pip install --no-index --no-deps --target SITE DIR/*.whl` all of it.
#
#     sh scripts/wheels.sh DIR
#
# PYTHON_VERSION=3.12 and ARCH=x86_64 are those of the image. wandb is left out: without it metrics.jsonl has all numbers.
set -eu
if [ $# != 1 ]; then
    echo "usage: sh scripts/wheels.sh DIR, an empty folder or a new one" >&2
    exit 2
fi
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
if [ -n "$(ls -A "$folder")" ]; then
    echo "wheels: $1 is not empty, expected a folder for them alone; two versions of one package stop an installation" >&2
    exit 2
fi

python_version=${PYTHON_VERSION:-3.12}
arch=${ARCH:-x86_64}
most=50 # MB
there='torch|torchaudio|lightning|numba|llvmlite|numpy|safetensors|fsspec|wandb' # in the image, or optional
left_out='pytest-cov|ruff|mypy|pocketsphinx' # of developers, with a network; and a recogniser of words, of 29 MB
python=.venv/bin/python
[ -x "$python" ] || python=python3

# What pyproject.toml asks for: of the project, of its tests, and of the judges, less the largest, which images have.
wanted=$(sed -n '/^dependencies = \[/,/^\]/p; /^test = \[/,/^\]/p; /^judges = \[/,/^\]/p' pyproject.toml |
    sed -n 's/^ *"\(.*\)",.*/\1/p' | grep -Ev "^($there|$left_out)[<>=]")
platforms=$(for minor in $(seq 39 -1 5); do printf -- '--platform manylinux_2_%s_%s ' "$minor" "$arch"; done)
# shellcheck disable=SC2086 # words are meant: one option each
$python -m pip download --quiet --disable-pip-version-check --only-binary=:all: --dest "$folder" \
    --python-version "$python_version" --implementation cp $platforms --platform "manylinux2014_$arch" \
    --platform "manylinux1_$arch" $wanted
find "$folder" -name '*.whl' | while read -r wheel; do
    package=$(basename "$wheel" | sed 's/-.*//')
    if printf '%s\n' "$package" | grep -Eqi "^($there|scipy)\$"; then rm "$wheel"; fi
done

size=$(du -sm "$folder" | cut -f1)
if [ "$size" -ge "$most" ]; then
    ls -lS "$folder" >&2
    echo "wheels: $size MB in $1, expected less than $most: leave out what the image has" >&2
    exit 1
fi
echo "wheels: $(find "$folder" -name '*.whl' | wc -l) packages, $size MB in $1, for Python $python_version on $arch"
