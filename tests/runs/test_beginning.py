"""A training that begins with weights made elsewhere: what is taken, what is new, and which run it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.evaluation.runs import trained, write_run
from tests.shards.made import write_shard_set
from tests.small import SETTINGS, small_config
from wavenet_pl import cli
from wavenet_pl.errors import UserError
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.inputs.notes import Notes
from wavenet_pl.model import Model
from wavenet_pl.runs.beginning import begin_with
from wavenet_pl.runs.delta import model_hash
from wavenet_pl.shards.labels import Labels

SPEAKER = "model.kind=speaker"
CODES = torch.randint(256, (1, 200), generator=torch.Generator().manual_seed(0))


def model_of(*settings: str, speakers: tuple[str, ...] = (), seed: int = 0, **frames: object) -> Model:
    torch.manual_seed(seed)
    labels = Labels({"speaker": speakers} if speakers else {}, frames)  # type: ignore[arg-type]
    return Model(small_config("nowhere", *settings), sample_rate=8_000, labels=labels)


def outputs(model: Model, speaker: str | None = None) -> torch.Tensor:
    batch = (
        {} if speaker is None else {"speaker": torch.tensor([model.labels.tables["speaker"].index(speaker)])}
    )
    with torch.no_grad():
        return model(CODES, model.condition(batch, CODES.shape[1]))[0]


def test_speakers_keep_their_rows_by_name_and_new_ones_begin_as_the_mean():
    base = model_of(SPEAKER, speakers=("anna", "ben", "cleo"), seed=1)
    model = model_of(SPEAKER, speakers=("cleo", "dora", "anna"), seed=2)
    beginning = begin_with(model, base, "base")
    for name in ("anna", "cleo"):
        assert torch.equal(outputs(model, name), outputs(base, name))
    table = "conditioner.inputs.speaker.table.weight"
    torch.testing.assert_close(model.get_parameter(table)[1], base.get_parameter(table).mean(0))
    assert beginning.new == ("speaker dora",) and beginning.left == ()
    width = model.get_parameter(table).shape[1]
    assert beginning.taken == model.num_parameters - width
    assert str(beginning) == (
        f"base ({model_hash(base)[:12]}), {beginning.taken:,} weights taken; new: speaker dora"
    )


def test_an_input_that_the_base_lacks_changes_nothing_at_first_and_can_be_learned():
    base = model_of(seed=1)
    model = model_of(SPEAKER, speakers=("anna", "ben"), seed=2)
    beginning = begin_with(model, base, "base")
    assert beginning.new == ("input speaker",) and beginning.taken == base.num_parameters
    torch.testing.assert_close(outputs(model, "anna"), outputs(base))
    made, _ = model(CODES, model.condition({"speaker": torch.tensor([0])}, CODES.shape[1]))
    made.square().sum().backward()
    entrances = [
        weight.grad for name, weight in model.named_parameters() if name.endswith("condition.weight")
    ]
    assert entrances and all(bool(gradient.abs().max() > 0) for gradient in entrances if gradient is not None)


def test_inputs_beside_those_of_the_base_change_nothing_at_first_and_can_be_learned():
    names, mel = ("anna", "ben"), Mel.default(8_000)
    base = model_of(SPEAKER, speakers=names, seed=1)
    torch.manual_seed(2)
    labels = Labels({"speaker": names, "accent": ("a", "b")}, {"mel": mel.spec})
    config = small_config("nowhere", SPEAKER, "model.condition.inputs=[speaker,accent,mel]")
    model = Model(config, sample_rate=8_000, labels=labels)
    beginning = begin_with(model, base, "base")
    assert beginning.new == ("input accent", "input mel") and beginning.taken == base.num_parameters
    frames = CODES.shape[1] // mel.hop_length + 2 + 2 * config.model.condition.frame_context
    batch = {
        "speaker": torch.tensor([1]), "accent": torch.tensor([1]), "mel_phase": torch.tensor([0]),
        "mel": torch.randn(1, frames, mel.num_features, generator=torch.Generator().manual_seed(0)),
    }  # fmt: skip
    made, _ = model(CODES, model.condition(batch, CODES.shape[1]))
    torch.testing.assert_close(made.detach(), outputs(base, "ben"))
    made.square().sum().backward()
    for entrance in ("accent.table.weight", "mel.first.weight"):
        gradient = model.get_parameter(f"conditioner.inputs.{entrance}").grad
        assert gradient is not None and bool(gradient.abs().max() > 0), entrance


def test_an_input_that_only_the_base_has_is_said_to_be_left_out():
    mel = Mel.default(8_000).spec
    base = model_of(SPEAKER, "model.condition.inputs=[speaker,mel]", speakers=("anna",), mel=mel)
    beginning = begin_with(model_of(SPEAKER, "model.condition.inputs=[mel]", mel=mel), base, "base")
    assert beginning.left == ("input speaker",) and "left out: input speaker" in str(beginning)


def test_every_setting_that_does_not_fit_is_named_with_both_values():
    base, model = model_of(), model_of("model.network.skip_channels=32", "model.network.layers_per_stack=4")
    model.sample_rate = 16_000
    message = (
        "train.init_from=base does not fit: the data have sample rate 16000, the base has 8000; "
        "model.network.layers_per_stack is 4, the base has 5; model.network.skip_channels is 32, the base has 16; "
        "expected the same, so take the base's settings, or another base"
    )
    with pytest.raises(UserError, match=re.escape(message)):
        begin_with(model, base, "base")
    wide = model_of(SPEAKER, "model.condition.channels=8", speakers=("anna",))
    with pytest.raises(UserError, match=r"model\.condition\.channels is 8, the base has 64"):
        begin_with(wide, model_of(SPEAKER, speakers=("anna",)), "base")
    logistic = model_of("model.head.kind=logistics")
    with pytest.raises(UserError, match=r"model\.head\.kind is logistics, the base has softmax"):
        begin_with(logistic, model_of(), "base")


def test_frames_of_another_kind_are_refused():
    music = ("model.kind=music", "model.condition.inputs=[notes]")
    base, model = (model_of(*music, notes=Notes(hop_length=hop).spec) for hop in (80, 40))
    with pytest.raises(UserError, match="the data has notes frames {.*40.*}.*, base has {.*80.*}"):
        begin_with(model, base, "base")


def test_dropout_may_differ():
    begin_with(model_of("model.network.dropout=0.1"), model_of(seed=3), "base")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    return write_run(folder / "run", trained(write_shard_set(folder / "set", train=4, val=1), steps=60))


@pytest.mark.slow
def test_a_training_begins_with_a_base_is_another_run_and_goes_on(base, tmp_path, capsys):
    shards = write_shard_set(tmp_path / "set", train=4, val=1, seed=50)

    def train(steps: int, *settings: str) -> tuple[str, Path]:
        before = set(tmp_path.glob("runs/*"))
        code = cli.main([
            "train", *SETTINGS, f"data.path={shards}", f"trainer.max_steps={steps}", "--runs", str(tmp_path / "runs"),
            "train.checkpoint_every_n_steps=2", "trainer.enable_progress_bar=false", *settings,
        ])  # fmt: skip
        assert code == 0
        [run] = set(tmp_path.glob("runs/*")) - before or {
            max(tmp_path.glob("runs/*"), key=lambda p: p.stat().st_mtime)
        }
        return capsys.readouterr().err, run

    def first_bits(run: Path) -> float:
        return float(re.search(r'"train/bits": ([\d.]+)', (run / "metrics.jsonl").read_text())[1])  # type: ignore[index]

    _, plain = train(2)
    said, begun = train(2, f"train.init_from={base}")
    assert begun != plain and f"begun with  {base} (" in said
    assert first_bits(begun) < first_bits(plain) - 1, "it knows something from the first step on"
    said, again = train(4, f"train.init_from={base}")
    assert again == begun and "going on from step-000000002.ckpt" in said
    assert (
        cli.main(
            ["train", *SETTINGS, f"data.path={shards}", "trainer.max_steps=2", "train.init_from=nowhere"]
        )
        == 2
    )
    assert "nowhere" in capsys.readouterr().err


def test_an_empty_base_is_refused():
    with pytest.raises(UserError, match=r"train\.init_from is '', expected a run, a checkpoint or an export"):
        small_config("nowhere", "train.init_from=''")
