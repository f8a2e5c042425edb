"""A public vocoder, r9y9's, from a checkout: trained on our batches, and generating in its own way.

Shapes: B clips, T samples, N frames, F bands, K codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmarks.loop import Training, train
from benchmarks.peer_networks import CODES, R9Y9_LR, r9y9_module
from benchmarks.peers import importing
from wavenet_pl.config.tree import Config
from wavenet_pl.data.datamodule import AudioDataModule
from wavenet_pl.inputs.mel import Mel
from wavenet_pl.model import Model

Audio = npt.NDArray[np.float32]
_LOOK_AHEAD = 2
"""Frames before and after, as its examples have it (`cin_pad`)."""
_BATCHES = 20
"""From which levels of the bands are taken: its frames have mean 0 and deviation 1."""


class PeerVocoder(nn.Module):
    """Its network, and how its frames become samples.

    Args:
        checkout: of its repository.
        model: ours, whose size it has, and whose codes and frames it is given.
        frames_NF: some of these, by whose levels all are put on one.
    """

    def __init__(self, checkout: Path, model: Model, frames_NF: Tensor) -> None:
        super().__init__()
        self._codec, self._context = model.codec, model.config.model.condition.frame_context
        self.mel = next(each for each in model.inputs if isinstance(each, Mel))
        bands = self.mel.num_features
        with importing(checkout):
            from wavenet_vocoder.upsample import ConvInUpsampleNetwork  # type: ignore[import-not-found]

            self.network: Any = r9y9_module(model.config.model.network, bands)
        self.upsampling = ConvInUpsampleNetwork(
            _scales(self.mel.hop_length), cin_pad=_LOOK_AHEAD, cin_channels=bands
        )
        self.mean_F = nn.Buffer(frames_NF.mean(0))
        self.deviation_F = nn.Buffer(frames_NF.std(0).clamp(min=1e-3))

    def _frames(self, frames_BNF: Tensor) -> Tensor:
        """A condition (B, F, T), without the frames at both ends that it looks at."""
        levelled_BNF = (frames_BNF.float() - self.mean_F) / self.deviation_F
        made: Tensor = self.upsampling(levelled_BNF.transpose(1, 2))
        return made

    def outputs(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """As `Training` has it."""
        codes_BT, counted = self._codec.encode(batch["audio"]), batch["counted"]
        inputs_BT, last = codes_BT[:, :-1], counted.shape[1]
        before = (self._context - _LOOK_AHEAD) * self.mel.hop_length
        condition_BFT = self._frames(batch[self.mel.name])
        first_B1 = before + batch[f"{self.mel.name}_phase"][:, None]
        index_BT = first_B1 + torch.arange(inputs_BT.shape[1])
        condition_BFT = condition_BFT.gather(2, index_BT[:, None].expand(-1, condition_BFT.shape[1], -1))
        one_hot_BKT = nn.functional.one_hot(inputs_BT, CODES).transpose(1, 2).float()
        return self.network(one_hot_BKT, condition_BFT)[..., -last:], codes_BT[:, -last:], counted

    @torch.no_grad()
    def generate(self, frames: Sequence[npt.NDArray[np.float16]], lengths: Sequence[int]) -> list[Audio]:
        """Clips of so many samples each, from their frames (N, F), in one batch; drawn as it does, at temperature 1."""
        self.eval()
        most = max(len(each) for each in frames)
        padded = [
            np.pad(each, ((_LOOK_AHEAD, _LOOK_AHEAD + most - len(each)), (0, 0))).astype(np.float32)
            for each in frames
        ]
        condition_BFT = self._frames(torch.from_numpy(np.stack(padded)))[:, :, : max(lengths)]
        silence_B1 = torch.full((len(frames), 1), self._codec.silence_code)
        first_BK1 = nn.functional.one_hot(silence_B1, CODES).transpose(1, 2).float()
        torch.manual_seed(0)
        drawn_BKT = self.network.incremental_forward(first_BK1, condition_BFT, T=condition_BFT.shape[2])
        audio = self._codec.decode(drawn_BKT.argmax(1)).numpy()
        return [clip[:length] for clip, length in zip(audio, lengths, strict=True)]


def _scales(hop_length: int) -> list[int]:
    """Small factors of a hop, which it is stretched by one after another."""
    scales = []
    for factor in (5, 4, 3, 2):
        while hop_length % factor == 0:
            scales.append(factor)
            hop_length //= factor
    return scales if hop_length == 1 else [*scales, hop_length]


def trained(
    checkout: Path, config: Config, minutes: float, folder: Path
) -> tuple[PeerVocoder, dict[str, Any]]:
    """One that was trained for so long with its own settings, and what is to be said of it.

    What its examples have and this has not is an average of weights: after so few steps, it is nearly how they began.

    Args:
        checkout: of its repository.
        config: of data and size.
        minutes: of the processor.
        folder: where it is kept.
    """
    path, peers = folder / f"{checkout.name}.pt", list[PeerVocoder]()

    def build(model: Model, config: Config) -> Training:
        loader = AudioDataModule.from_config(config).train_dataloader()
        frames_NF = torch.cat([batch[Mel.name].flatten(0, 1).float() for batch in islice(loader, _BATCHES)])
        peers.append(peer := PeerVocoder(checkout, model, frames_NF))
        return Training(
            peer, peer.outputs, torch.optim.Adam(peer.parameters(), lr=R9Y9_LR), lambda step: 1.0, None
        )

    if path.exists():
        data = AudioDataModule.from_config(config)
        build(Model(config, sample_rate=data.sample_rate, labels=data.labels), config)
        state = torch.load(path, weights_only=True)
        peers[0].load_state_dict(state["network"])
        return peers[0], state["facts"]
    facts: dict[str, Any] = {}
    for going in train(
        checkout.name, build, config, "float32", path.with_suffix(".kept"),
        lambda going: going.trained / 60 / minutes,
    ):  # fmt: skip
        facts = {"steps": going.step, "minutes": going.trained / 60}
    facts["bits"] = going.validated()
    torch.save({"network": peers[0].state_dict(), "facts": facts}, path)
    return peers[0], facts
