"""The modules: they train a model under the model's own names, and refuse weights that mean something else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.small import small_config, small_model
from tests.test_conditioning import LABELS, model_of
from wavenet_pl.errors import UserError
from wavenet_pl.runs.checkpoints import CHECKPOINT_KEY
from wavenet_pl.shards.labels import Labels
from wavenet_pl.training.module import MODULES, build_module, checkpoint_of, module_of


@pytest.mark.parametrize(
    ("settings", "step", "expected"),
    [
        ((), 0, 1 / 5),
        ((), 4, 1.0),
        ((), 10_000, 1.0),
        (("optim.schedule=cosine", "optim.decay_steps=105"), 55, 0.5),
        (("optim.schedule=cosine", "optim.decay_steps=105"), 105, 0.0),
        (("optim.schedule=cosine", "optim.decay_steps=105", "optim.final_lr_fraction=0.1"), 900, 0.1),
        (("optim.schedule=cosine", "trainer.max_steps=105"), 55, 0.5),
        (("optim.schedule=cosine", "trainer.max_steps=5"), 4, 1.0),
        (("optim.schedule=cosine", "trainer.max_steps=5"), 5, 1.0),
        (("optim.schedule=inverse_sqrt",), 19, 0.5),
    ],
)
def test_learning_rate_follows_the_formula(settings: tuple[str, ...], step: int, expected: float) -> None:
    assert small_config("x", *settings).lr_factor(step) == pytest.approx(expected)


@pytest.mark.parametrize("kind", MODULES)
def test_a_module_is_of_its_models_kind_and_trains_all_of_it(kind: str) -> None:
    module = build_module(small_config("x", f"model.kind={kind}"), sample_rate=8_000, labels=LABELS)
    assert module.kind == kind
    assert {id(each) for each in module.parameters()} == {id(each) for each in module.model.parameters()}
    [group] = module.configure_optimizers()["optimizer"].param_groups
    assert len(group["params"]) == len(list(module.model.parameters()))


def test_weights_have_the_models_own_names_and_load_into_model_and_module(torch_seed: int) -> None:
    model, module = small_model(), module_of(small_model())
    state = module_of(model).state_dict()
    assert state.keys() == model.state_dict().keys()
    module.load_state_dict(state)
    for name, tensor in module.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    small_model().load_state_dict(module.state_dict())


def test_weights_that_lack_one_are_not_loaded() -> None:
    state = small_model().state_dict()
    del state["network.output.bias"]
    with pytest.raises(RuntimeError, match="network.output.bias"):
        module_of(small_model()).load_state_dict(state)


@pytest.mark.parametrize("inputs", ["speaker,tags", "speaker,accent,f0"])
def test_a_checkpoint_says_what_its_model_was_told(inputs: str) -> None:
    model = model_of(inputs)
    checkpoint = checkpoint_of(model, 7)
    assert checkpoint["global_step"] == 7
    assert Labels.read(checkpoint[CHECKPOINT_KEY]["labels"]) == LABELS.of(inputs.split(","))
    module_of(model).on_load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("inputs", "change", "said"),
    [
        (
            "speaker,accent,f0",
            lambda labels: labels["tables"].update(accent=["irish", "welsh", "scots"]),
            r"the data has the accent names \(3, row 1 is 'scots'\), the checkpoint has \(3, row 1 is 'welsh'\)",
        ),
        (
            "speaker,accent,f0",
            lambda labels: labels["frames"]["f0"].update(mean=[121.0, 0.5]),
            r"the data has f0 frames .*120\.0, 0\.5.*, the checkpoint has .*121\.0, 0\.5.*, expected equal ones",
        ),
        ("speaker", lambda labels: labels["tables"].clear(), r"the checkpoint has \(none\)"),
        ("speaker", lambda labels: labels.pop("frames"), "does not record what it was trained on"),
    ],
)
def test_weights_that_were_told_something_else_are_refused(inputs: str, change: Any, said: str) -> None:
    module = module_of(model_of(inputs))
    checkpoint = checkpoint_of(module.model, 7)
    change(checkpoint[CHECKPOINT_KEY]["labels"])
    with pytest.raises(UserError, match=said):
        module.on_load_checkpoint(checkpoint)
