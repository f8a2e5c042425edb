"""The model card of an export: what the model is, what it was trained on, how good it is, how to use it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.baselines import load_baselines
from wavenet_pl.files.foreign import printable
from wavenet_pl.model import Model
from wavenet_pl.runs.checkpoints import validation_bits
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.shards.index import load_index

_MOST_NAMES = 200
_USE = """\
With wavenet_pl installed, and FOLDER for the folder that this page is in:

```sh
wavenet-pl generate FOLDER --out clips --seconds 4 --count 4
```

```python
import wavenet_pl

model = wavenet_pl.load("FOLDER")  # a LightningModule in eval mode
clips = model.generate(seconds=2.0, count=4, temperature=0.9, seed=0)  # (count, samples) float32 in [-1, 1]
```
"""


def describe_model(
    model: Model,
    step: int,
    run: RunFolder | None,
    *,
    averaged: bool,
    licence: str | None = None,
    data_licence: str | None = None,
) -> str:
    """The whole card in Markdown.

    Args:
        model: the model.
        step: at which its weights were saved.
        run: where their checkpoint lies; without it the card leaves out what only a run knows.
        averaged: whether the weights are averages over the steps.
        licence: of the weights.
        data_licence: of the recordings.

    Raises:
        UserError: what the run knows is damaged.
    """
    config, rate = model.config, model.sample_rate
    field = config.model.network.receptive_field
    average = f"averages over the steps, with a decay of {config.optim.ema_decay:g}"
    facts = {
        "model": f"{config.model.kind}, {model.num_parameters:,} parameters",
        "receptive field": f"{field:,} samples ({1000 * field / rate:.0f} ms)",
        "sample rate": f"{rate:,} Hz",
        "steps": f"{step:,}, each with {config.data.batch_size} crops of {config.data.crop_samples:,} samples",
        "weights": average if averaged else "as they were after the last step",
        **_describe_told(model),
        "data": _describe_data(model),
        "fingerprint of the data": model.index_fingerprint or "none",
        "licence of the weights": licence or "not stated",
        "licence of the data": data_licence or "not stated",
    }
    return (
        f"# {config.name}\n\nA WaveNet (van den Oord et al., 2016), trained with wavenet_pl: it predicts each sample "
        f"of audio from those before it.\n\n{_table('', '', facts)}\n## How good it is\n\n"
        f"{_describe_bits(model, step, run)}\n## How to use it\n\n{_USE}"
    )


def _describe_told(model: Model) -> dict[str, str]:
    """What the model is told, and the names that it knows."""
    rows = {}
    for name in model.inputs:
        if name in model.labels.features:
            rows[f"told {name}"] = str(model.labels.features[name].to_plain())
        else:
            names = model.labels.speakers if name == "speaker" else model.labels.tags
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            rows[f"told {name}"] = ", ".join(map(printable, names[:_MOST_NAMES])) + more
    return rows


def _describe_data(model: Model) -> str:
    """Hours and speakers, where the index that the model was trained on lies on this machine."""
    path = model.config.data.path
    try:
        # A config that came with a checkpoint from elsewhere opens no connection.
        index = load_index(path) if os.path.isdir(path) else None
    except UserError:
        index = None
    if index is None or index.fingerprint != model.index_fingerprint:
        return "not at hand when this was written"
    hours = ", ".join(f"{index.seconds(split) / 3600:.2f} h {split}" for split in index.splits)
    return f"{hours}; {len(index.speakers)} speakers by name"


def _describe_bits(model: Model, step: int, run: RunFolder | None) -> str:
    """The model beside what knows less, as far as the run has measured it."""
    rows = {}
    if run is not None and run.baselines.exists():
        baselines = load_baselines(run.baselines)
        rows["uniform: every code alike"] = baselines.uniform
        rows["unigram: how often each code comes"] = baselines.unigram
        rows["order 1: how often each code follows the one before"] = baselines.order1
    bits = validation_bits(run).get(step) if run is not None else None
    comparable = validation_bits(run, model.comparable_key).get(step) if run is not None else None
    if comparable is not None:
        rows["this model"] = comparable
    if model.comparable_codec != model.codec and bits is not None:
        rows[f"this model, of {model.codec.describe()}"] = bits
    codes = model.comparable_codec.describe()
    table = _table("", f"bits per sample of {codes}", {name: f"{value:.3f}" for name, value in rows.items()})
    missing = "" if bits is not None else "The model was not validated at this step.\n"
    return (
        f"On recordings that it was not trained on; less is better.\n\n{table}\n{missing}"
        if rows
        else missing
    )


def _table(left: str, right: str, rows: Mapping[str, str]) -> str:
    lines = [(left, right), ("---", "---"), *rows.items()]
    return "".join("| {} | {} |\n".format(name, value.replace("|", "\\|")) for name, value in lines)
