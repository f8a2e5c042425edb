"""The model card of an export: what the model is, what it was trained on, how good it is, how to use it."""

from __future__ import annotations

import keyword
import os

from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.baselines import load_baselines
from wavenet_pl.files.markdown import cell, table
from wavenet_pl.files.redaction import shorten_paths
from wavenet_pl.inputs.frames import Frames
from wavenet_pl.model import Model
from wavenet_pl.runs.checkpoints import validation_bits
from wavenet_pl.runs.examples import command_to_try
from wavenet_pl.runs.folder import RunFolder
from wavenet_pl.shards.shard_set import open_set, paths_of

_USE = """\
With wavenet_pl installed, and FOLDER for the folder that this page is in{files}:

```sh
{command}
```

```python
import wavenet_pl

model = wavenet_pl.load("FOLDER")  # a torch.nn.Module in eval mode
clips = model.generate({arguments}count=4, temperature=0.9, seed=0)  # (count, samples) float32 in [-1, 1]
```
"""


def describe_model(
    model: Model,
    step: int,
    run: RunFolder | None,
    *,
    averaged: bool,
    half: bool,
    licence: str | None = None,
    data_licence: str | None = None,
) -> str:
    """The whole card in Markdown.

    Args:
        model: the model.
        step: at which its weights were saved.
        run: where their checkpoint lies; without it the card leaves out what only a run knows.
        averaged: whether the weights are averages over the steps.
        half: whether they were rounded to half precision after their bits were measured.
        licence: of the weights.
        data_licence: of the recordings.

    Raises:
        UserError: what the run knows is damaged.
    """
    config, rate = model.config, model.sample_rate
    begun_with = shorten_paths(config.train.init_from, relative=True)
    receptive_field = config.model.network.receptive_field
    average = f"averages over the steps, with a decay of {config.optim.ema_decay:g}"
    facts = {
        "model": f"{config.model.kind}, {model.num_parameters:,} parameters",
        "receptive field": f"{receptive_field:,} samples ({1000 * receptive_field / rate:.0f} ms)",
        "sample rate": f"{rate:,} Hz",
        "steps": f"{step:,}, each with {config.data.batch_size} crops of {config.data.crop_samples:,} samples",
        **({} if begun_with is None else {"began with": begun_with}),
        "weights": (average if averaged else f"as they were after step {step:,}")
        + (", rounded to half precision; bits are those before" if half else ""),
        **{f"input {each.name}": each.summary() for each in model.inputs},
        "data": _describe_data(model),
        "fingerprint of the data": model.index_fingerprint or "none",
        "licence of the weights": licence or "not stated",
        "licence of the data": data_licence or "not stated",
    }
    return (
        f"# {cell(config.name)}\n\nA WaveNet (van den Oord et al., 2016), trained with wavenet_pl: it predicts each "
        f"sample of audio from those before it.\n\n{table(['', ''], facts.items())}\n\n## How good it is\n\n"
        f"{_describe_bits(model, step, run)}\n## How to use it\n\n{_describe_use(model)}"
    )


def _describe_use(model: Model) -> str:
    """Both ways to generate, with all that the model is conditioned on."""
    files = [each.example for each in model.inputs if isinstance(each, Frames)]
    words = ["--count", "4", *([] if files else ["--seconds", "4"])]  # frames say how long a clip is
    given = {} if files else {"seconds": 2.0}
    arguments = {**given, **{each.name: each.example for each in model.inputs}}
    if all(name.isidentifier() and not keyword.iskeyword(name) for name in arguments):
        text = "".join(f"{name}={value!r}, " for name, value in arguments.items())
    else:  # a name of the user's own may have a blank in it, or be a word of Python's
        text = f"**{arguments!r}, "
    return _USE.format(
        files=f", and {' and '.join(files)} of your own" if files else "",
        command=f"{command_to_try('FOLDER', model.inputs, None)} {' '.join(words)}",
        arguments=text,
    )


def _describe_data(model: Model) -> str:
    """Hours and speakers, where the index that the model was trained on lies on this machine."""
    path = model.config.data.path
    try:
        # A config that came with a checkpoint from elsewhere opens no connection.
        shard_set = open_set(path) if all(map(os.path.isdir, paths_of(path))) else None
    except UserError:
        shard_set = None
    if shard_set is None or shard_set.fingerprint != model.index_fingerprint:
        return "not at hand when this was written"
    hours = ", ".join(f"{shard_set.seconds(split) / 3600:.2f} h {split}" for split in shard_set.splits)
    names = [f"{len(names)} {name} names" for name, names in shard_set.labels.tables.items()]
    return "; ".join([hours, *names])


def _describe_bits(model: Model, step: int, run: RunFolder | None) -> str:
    """The model beside what knows less, as far as the run has measured it."""
    rows = {}
    if run is not None and run.baselines.exists():
        rows.update(load_baselines(run.baselines).explained)
    bits = validation_bits(run).get(step) if run is not None else None
    comparable = validation_bits(run, model.comparable_key).get(step) if run is not None else None
    if comparable is not None:
        rows["this model"] = comparable
    if model.comparable_codec != model.codec and bits is not None:
        rows[f"this model, of {model.codec.describe()}"] = bits
    codes = model.comparable_codec.describe()
    missing = "" if bits is not None else "The model was not validated at this step.\n"
    if not rows:
        return missing
    heads = ["", f"bits per sample of {codes}"]
    lines = table(heads, [(name, f"{value:.3f}") for name, value in rows.items()])
    return f"On recordings that it was not trained on; less is better.\n\n{lines}\n\n{missing}"
