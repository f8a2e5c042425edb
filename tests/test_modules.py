"""What the module counts, logs and generates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.small import small_config, small_module


def batch_of(audio, first, last):
    return {"audio": audio, "first": torch.tensor(first), "last": torch.tensor(last), "predictions": 1}


def test_only_counted_predictions_enter_the_loss(torch_seed):
    module = small_module()
    audio = torch.rand(3, 200) - 0.5
    nats, count = module.nats(batch_of(audio, [32, 0, 0], [199, 50, 0]))
    codes = module.codec.encode(audio)
    outputs, _ = module.network(codes[:, :-1])
    each = torch.nn.functional.cross_entropy(outputs, codes[:, 1:], reduction="none")
    assert count == 167 + 50
    assert nats.item() == pytest.approx((each[0, 32:199].sum() + each[1, :50].sum()).item(), rel=1e-6)


def test_an_untrained_model_is_near_uniform(torch_seed):
    module = small_module()
    nats, count = module.nats(batch_of(torch.rand(2, 500) - 0.5, [32, 32], [499, 499]))
    assert nats.item() / count.item() == pytest.approx(math.log(256), abs=0.2)


def test_clip_n_of_a_seed_is_the_same_for_any_count(torch_seed):
    module = small_module().eval()
    both, one = module.generate(0.01, 2, seed=3), module.generate(0.01, 1, seed=3)
    assert both.shape == (2, 80) and both.dtype == np.float32 and np.abs(both).max() <= 1
    assert np.array_equal(both[:1], one)
    assert not np.array_equal(both[0], both[1])
    assert not np.array_equal(one, module.generate(0.01, 1, seed=4))


def test_a_prompt_changes_what_follows_and_is_not_handed_out(torch_seed):
    module = small_module().eval()
    prompt = np.sin(np.arange(300) / 5).astype(np.float32)
    clip = module.generate(0.01, 1, prompt=prompt, temperature=0)
    assert clip.shape == (1, 80)
    assert not np.array_equal(clip, module.generate(0.01, 1, prompt=-prompt, temperature=0))


@pytest.mark.parametrize(
    ("settings", "step", "expected"),
    [
        ((), 0, 1 / 5),
        ((), 4, 1.0),
        ((), 10_000, 1.0),
        (("optim.schedule=cosine", "optim.decay_steps=105"), 55, 0.5),
        (("optim.schedule=cosine", "optim.decay_steps=105"), 105, 0.0),
        (("optim.schedule=cosine", "optim.decay_steps=105", "optim.final_lr_fraction=0.1"), 900, 0.1),
        (("optim.schedule=inverse_sqrt",), 19, 0.5),
    ],
)
def test_learning_rate_follows_the_formula(settings, step, expected):
    assert small_config("x", *settings).optim.lr_factor(step) == pytest.approx(expected)


def test_every_parameter_gets_a_gradient(torch_seed):
    module = small_module()
    nats, _ = module.nats(batch_of(torch.rand(1, 200) - 0.5, [32], [199]))
    nats.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())
