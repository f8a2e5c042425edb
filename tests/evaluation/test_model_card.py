"""A model card says what is known, and says so where something is not."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import shutil

import pytest

from tests.runs.made import BITS, write_run
from tests.shards.made import write_shard_set
from tests.small import small_model
from wavenet_pl.commands import generate
from wavenet_pl.errors import UserError
from wavenet_pl.evaluation.model_card import describe_model
from wavenet_pl.runs.folder import RunFolder, checkpoint_path
from wavenet_pl.runs.loading import load
from wavenet_pl.shards.index import load_index
from wavenet_pl.shards.labels import Labels


def card_of(run: RunFolder, step: int = 10, **options) -> str:
    options = {"averaged": False, "half": False, **options}
    return describe_model(load(checkpoint_path(run, step)), step, run, **options)


def row(card: str, name: str) -> str:
    [value] = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", card, flags=re.MULTILINE)
    return value


def test_the_card_has_the_facts_of_the_model(tmp_path):
    card = card_of(write_run(tmp_path / "run", "name=small"))
    module = load(tmp_path / "run")
    weights = sum(tensor.numel() for tensor in module.state_dict().values())
    assert card.startswith("# small\n")
    assert row(card, "model") == f"unconditional, {weights:,} parameters"
    assert row(card, "receptive field") == "33 samples (4 ms)"
    assert row(card, "sample rate") == "8,000 Hz"
    assert row(card, "steps") == "10, each with 4 crops of 1,000 samples"
    assert 'wavenet_pl.load("FOLDER")' in card and "wavenet-pl generate FOLDER" in card


@pytest.mark.parametrize("step", BITS)
def test_the_bits_of_the_step_stand_beside_those_of_simple_models(tmp_path, step):
    card = card_of(write_run(tmp_path / "run"), step)
    assert row(card, "this model") == f"{BITS[step]:.3f}"
    assert row(card, "uniform: every code is equally likely") == "8.000"
    assert row(card, "unigram: how often each code occurs") == "5.125"
    assert row(card, "order-1: how often each code follows the one before") == "3.500"
    assert "bits per sample of 256 mu-law codes" in card


def test_a_step_that_was_not_validated_is_said_to_be_none(tmp_path):
    run = write_run(tmp_path / "run")
    run.metrics.unlink()
    card = card_of(run)
    assert (
        "|\n\nThe model was not validated at this step" in card
        and "this model" not in card
        and "5.125" in card
    )
    alone = describe_model(load(run.path), 10, None, averaged=False, half=False)
    assert "was not validated at this step" in alone and "5.125" not in alone


def test_averaged_weights_are_called_so(tmp_path):
    run = write_run(tmp_path / "run", "optim.ema_decay=0.99")
    assert row(card_of(run, averaged=True), "weights") == "averages over the steps, with a decay of 0.99"
    assert row(card_of(run), "weights") == "as they were after step 10"
    half = "as they were after step 10, rounded to half precision; bits are those before"
    assert row(card_of(run, half=True), "weights") == half


@pytest.mark.parametrize(
    ("begun_with", "shown"), [("pretrained:vocoder", "pretrained:vocoder"), ("/data/base-1a2b3c/", "base-1a2b3c")]
)  # fmt: skip
def test_what_a_training_began_with_is_named_without_its_place(tmp_path, begun_with, shown):
    run = write_run(tmp_path / "run", f"train.init_from={begun_with}")
    assert row(card_of(run), "began with") == shown
    assert "began with" not in card_of(write_run(tmp_path / "fresh"))


def test_hours_and_speakers_are_those_of_the_index_that_was_trained_on(tmp_path):
    shards = write_shard_set(tmp_path / "set", train=2, val=1, frames=8_000 * 36)
    fingerprint = load_index(shards).fingerprint
    card = card_of(write_run(tmp_path / "run", data=shards, fingerprint=fingerprint))
    assert row(card, "data") == "0.02 h train, 0.01 h val; 2 speaker names"
    assert row(card, "fingerprint of the data") == fingerprint
    other = card_of(write_run(tmp_path / "other", data=shards, fingerprint="f" * 64))
    assert row(other, "data") == "not at hand when this was written"
    shutil.rmtree(shards)
    assert row(card_of(RunFolder(tmp_path / "run")), "data") == "not at hand when this was written"


def test_licences_are_fields_that_say_when_nothing_was_said(tmp_path):
    run = write_run(tmp_path / "run")
    silent = card_of(run)
    assert row(silent, "licence of the weights") == row(silent, "licence of the data") == "not stated"
    card = card_of(run, licence="<b>CC-BY-4.0*", data_licence="a | b")
    assert row(card, "licence of the weights") == "\\<b\\>CC-BY-4.0\\*", "what is said is text, and no markup"
    assert row(card, "licence of the data") == "a \\| b"


@pytest.mark.parametrize("name", ["accent", "class", "two words"])
def test_the_examples_of_a_card_are_words_of_their_languages(tmp_path, name):
    labels = Labels(tables={name: ("-scots", "north of it")})
    model = small_model("model.kind=speaker", f"model.condition.inputs=[{name}]", labels=labels)
    card = describe_model(model, 3, None, averaged=False, half=False)
    [shell], [python] = (
        re.findall(rf"```{kind}\n(.*?)```", card, flags=re.DOTALL) for kind in ("sh", "python")
    )
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    assert parser.parse_args(shlex.split(shell)[2:]).set == [f"{name}=-scots"]
    [call] = (
        node for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Call) and node.keywords[1:]
    )
    assert "'-scots'" in ast.unparse(call)


def test_damaged_baselines_are_named(tmp_path):
    run = write_run(tmp_path / "run")
    run.baselines.write_text('{"uniform": "x"}')
    with pytest.raises(UserError, match="baselines.json cannot be used .*remove it"):
        card_of(run)
