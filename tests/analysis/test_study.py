"""A whole analysis: of networks that learned nothing, of one that does what the essay says, of every kind of model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.analysis.hand_built import CODEC, haar_network
from tests.shards.made import write_shard_set
from tests.small import SIXTEEN_BITS, small_config
from wavenet_pl.analysis.options import PROBES, AnalysisOptions
from wavenet_pl.analysis.study import KNOWN, Study
from wavenet_pl.model import Model
from wavenet_pl.shards.index import load_index


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard_set(tmp_path_factory.mktemp("set"), train=1, val=8, speakers=("anna", "ben"))


def model_of(shards: Path, *settings: str, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    labels = load_index(shards).labels
    return Model(small_config(shards, *settings), sample_rate=8_000, labels=labels).eval()


def study_of(model: Model, folder: Path, **options: object) -> Study:
    study = Study(model, AnalysisOptions(threads=1, **options), "the model", folder)  # type: ignore[arg-type]
    for probe in study.probes:
        study.measure(probe)
    assert study.complete
    return study


@pytest.mark.parametrize(
    "seed",
    [pytest.param(seed, marks=pytest.mark.slow if seed < 1 else pytest.mark.soak) for seed in range(10)],
)
def test_of_a_network_that_learned_nothing_no_claim_holds(shards, tmp_path, seed):
    study = study_of(model_of(shards, seed=seed), tmp_path, seed=100 * seed)
    assert not study.missing
    answers = {verdict.claim.key: verdict.answer for verdict in study.verdicts}
    assert set(answers.values()) <= {"does not hold", "not decided"}, answers
    assert len(answers) >= 10


def test_of_the_essays_own_network_holds_what_is_true_of_it(shards, tmp_path):
    model = model_of(shards, "model.codec.kind=linear", "model.network.layers_per_stack=6")
    assert model.codec == CODEC
    model.network = haar_network(6, summing=False, channels=16)
    with torch.no_grad():  # it says nothing: its outputs are alike for all codes
        model.network.output.bias.copy_(torch.randn(256))
    study = study_of(model, tmp_path, only=("bands", "bias", "knowledge"))
    verdicts = {verdict.claim.key: verdict for verdict in study.verdicts}
    assert verdicts["bands"].answer == "holds with a correction" and "0.76" in verdicts["bands"].note
    assert verdicts["bands"].effect == 1
    assert verdicts["differences"].answer == "holds"
    assert verdicts["differences"].effect == pytest.approx(0.5, abs=0.01)
    assert verdicts["bias"].answer == "holds" and verdicts["bias"].effect > 0.5


@pytest.mark.parametrize(
    "settings", [(), ("model.kind=speaker",), SIXTEEN_BITS], ids=["unconditional", "speaker", "16 bits"]
)
def test_every_kind_of_model_and_head_is_analysed(shards, tmp_path, settings):
    only = ("bands", "skips", "sines") if settings else PROBES
    study = study_of(model_of(shards, *settings), tmp_path, quick=True, only=only)
    assert not study.missing and len(study.verdicts) == (5 if settings else 10)
    for probe in study.probes:
        for figure in probe.figures(study.numbers[probe.name]):
            assert figure.svg.startswith("<svg") and len(figure.caption) > 60
    plain = json.dumps(study.to_plain(), allow_nan=False)
    assert json.loads(plain)["complete"] is True


def test_what_is_finished_is_kept_and_what_is_another_analysis_is_not(shards, tmp_path, monkeypatch):
    model = model_of(shards)
    first = study_of(model, tmp_path, quick=True, only=("sines", "bias"))
    assert {path.name for path in tmp_path.iterdir()} == {"sines.json", "bias.json"}
    monkeypatch.setattr(type(KNOWN["sines"]), "measure", lambda *args: pytest.fail("it was finished"))
    again = study_of(model, tmp_path, quick=True, only=("sines",))
    assert again.numbers["sines"] == first.numbers["sines"]
    monkeypatch.undo()
    other = study_of(model_of(shards, seed=1), tmp_path, quick=True, only=("sines",))
    assert other.numbers["sines"] != first.numbers["sines"]
    (tmp_path / "sines.json").write_text("[" * 5000)
    study_of(model, tmp_path, quick=True, only=("sines",))


def test_a_model_or_recordings_too_small_for_a_probe_are_said(tmp_path):
    shards = write_shard_set(tmp_path / "short", train=1, val=6, frames=800)
    tiny = model_of(shards, "model.network.layers_per_stack=2")
    study = study_of(tiny, tmp_path / "probes", quick=True)
    assert "the receptive field has 5 samples, expected 23 or more" in study.missing["knowledge"]
    assert "the longest recording has 800 samples, expected more than" in study.missing["bias"]
    assert set(study.missing) | set(study.numbers) == set(PROBES)
    assert np.isfinite([verdict.effect for verdict in study.verdicts]).any()
