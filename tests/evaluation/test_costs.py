"""What batches cost: as much as their crops one by one, and nothing where nothing is to be predicted."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.shards.made import write_shard_set
from tests.small import SIXTEEN_BITS, small_config
from wavenet_pl.evaluation.costs import FIXED, costs_of, nats_by_row, sum_by_row
from wavenet_pl.evaluation.sample import every_slot, read_batches
from wavenet_pl.model import Model
from wavenet_pl.shards.index import load_index, shard_storage
from wavenet_pl.shards.split import Split

MUSIC = (
    "model.kind=music", "model.condition.inputs=[speaker,tags]", "model.condition.channels=8",
    "data.crop_samples=900",
)  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of two speakers, longer and shorter than a crop."""
    return write_shard_set(
        tmp_path_factory.mktemp("costs") / "set", train=1, val=5, frames=(1_500, 2_200, 700), tags=("calm", "fast")
    )  # fmt: skip


@pytest.mark.parametrize("settings", [(), SIXTEEN_BITS], ids=["softmax", "16 bits"])
def test_a_batch_costs_what_its_crops_cost_one_by_one(shards: Path, settings: tuple[str, ...]) -> None:
    index = load_index(shards)
    torch.manual_seed(0)
    model = Model(small_config(shards, *MUSIC, *settings), sample_rate=8_000, labels=index.labels).eval()
    torch.nn.init.normal_(model.network.output.weight)  # so that the condition makes a difference
    split = Split(index.splits["val"], shard_storage(index, shards), 8_000, model.labels)
    counted = 0
    with torch.inference_mode():
        for batch in read_batches(model, split, every_slot(model, split), context=33, others=True):
            costs, (nats, counts) = costs_of(model, batch), nats_by_row(model, batch)
            assert costs.shape == (len(batch["audio"]), FIXED + 2 * 2) and costs.dtype == torch.float64
            for row, cost in enumerate(costs.tolist()):
                one = {name: value[row : row + 1] for name, value in batch.items() if torch.is_tensor(value)}
                own, number = (each.item() for each in model.nats(one))
                assert cost[:2] == pytest.approx([number, own], rel=1e-5)
                assert [counts[row].item(), nats[row].item()] == cost[:2]
                assert (cost[1] == cost[2]) == (not settings or not number)
                for place, name in enumerate(model.input_names):
                    wrong = model.nats({**one, name: one[f"other_{name}"]})[0].item()
                    changed = bool(one[f"changed_{name}"])
                    assert cost[FIXED + 2 * place] == number * changed
                    assert cost[FIXED + 2 * place + 1] == pytest.approx((wrong - own) * changed, abs=0.02)
                counted += number
                assert number or not any(cost), "padding costs nothing"
    assert counted == split.frames.sum()


def test_what_does_not_count_may_be_anything() -> None:
    values = torch.tensor([[1.0, 2.0, math.nan], [math.inf, math.nan, 4.0]])
    counts = torch.tensor([[True, True, False], [False, False, True]])
    assert sum_by_row(values, counts).tolist() == [3.0, 4.0]
