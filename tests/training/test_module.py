"""What the module counts, logs and generates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.small import SIXTEEN_BITS, small_config, small_model
from wavenet_pl.codec import MuLawCodec


def batch_of(audio, first, last):
    return {"audio": audio, "first": torch.tensor(first), "last": torch.tensor(last), "predictions": 1}


def test_only_counted_predictions_enter_the_loss(torch_seed):
    module = small_model()
    audio = torch.rand(3, 200) - 0.5
    nats, count = module.nats(batch_of(audio, [32, 0, 0], [199, 50, 0]))
    codes = module.codec.encode(audio)
    outputs, _ = module.network(codes[:, :-1])
    each = torch.nn.functional.cross_entropy(outputs, codes[:, 1:], reduction="none")
    assert count == 167 + 50
    assert nats.item() == pytest.approx((each[0, 32:199].sum() + each[1, :50].sum()).item(), rel=1e-6)


def test_an_untrained_model_is_near_uniform(torch_seed):
    module = small_model()
    nats, count = module.nats(batch_of(torch.rand(2, 500) - 0.5, [32, 32], [499, 499]))
    assert nats.item() / count.item() == pytest.approx(math.log(256), abs=0.2)


def test_clip_n_of_a_seed_is_the_same_for_any_count(torch_seed):
    module = small_model().eval()
    both, one = module.generate(0.01, 2, seed=3), module.generate(0.01, 1, seed=3)
    assert both.shape == (2, 80) and both.dtype == np.float32 and np.abs(both).max() <= 1
    assert np.array_equal(both[:1], one)
    assert not np.array_equal(both[0], both[1])
    assert not np.array_equal(one, module.generate(0.01, 1, seed=4))


def test_a_prompt_changes_what_follows_and_is_not_handed_out(torch_seed):
    module = small_model().eval()
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


@pytest.mark.parametrize("settings", [(), SIXTEEN_BITS], ids=["softmax", "16 bits"])
def test_every_parameter_gets_a_gradient(torch_seed, settings):
    module = small_model(*settings)
    nats, _ = module.nats(batch_of(torch.rand(1, 200) - 0.5, [32], [199]))
    nats.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())


def test_16_bit_clips_are_16_bit_audio(torch_seed):
    clip = small_model(*SIXTEEN_BITS).eval().generate(0.01)
    assert np.array_equal(clip * 32768, np.round(clip * 32768))
    assert len(np.unique(clip)) > 40


@torch.no_grad()
def test_comparable_nats_are_brute_force_sums_over_mu_law_codes(torch_seed):
    module = small_model(*SIXTEEN_BITS)
    assert module.comparable_key == "val/bits_mulaw256"
    audio = torch.arange(-32_768, 32_768, 700)[None] / 32_768
    outputs_BKT, codes_BT, _ = module.predict(batch_of(audio, [0], [audio.shape[1] - 1]))
    levels = torch.arange(65_536)
    merged = MuLawCodec(256).encode((levels - 32_768) / 32_768)
    for time in range(0, codes_BT.shape[1], 9):
        nats = module.head.nats(outputs_BKT[..., time : time + 1].expand(-1, -1, 65_536), levels[None])
        same = merged == merged[codes_BT[0, time]]
        expected = -nats[0, same].double().neg().exp().sum().log()
        found = module.comparable_nats(outputs_BKT, codes_BT)[0, time]
        assert found.item() == pytest.approx(expected.item(), abs=1e-4)


@torch.no_grad()
def test_bits_of_mu_law_models_are_comparable_as_they_are(torch_seed):
    module = small_model()
    outputs_BKT, codes_BT, _ = module.predict(batch_of(torch.rand(1, 200) - 0.5, [0], [199]))
    assert module.comparable_key == "val/bits"
    assert torch.equal(module.comparable_nats(outputs_BKT, codes_BT), module.head.nats(outputs_BKT, codes_BT))
