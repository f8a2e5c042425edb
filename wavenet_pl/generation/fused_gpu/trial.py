"""Whether a way of making samples is exact on this device: tried once in a process of its own, and remembered.

A kernel that compiles wrongly may take its whole process with it, or never come back: not that of a training.

Shapes: B clips, N new samples, K outputs, H condition.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wavenet_pl.codec import LinearCodec
from wavenet_pl.files.durable import write_durably
from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fused_gpu.engine import WAYS, FusedGpu
from wavenet_pl.generation.job import build_job
from wavenet_pl.heads import Head, LogisticsHead, SoftmaxHead
from wavenet_pl.network import NetworkConfig, WaveNet
from wavenet_pl.numbers.compiled import users_folder

_TIE, _NEAR = 1e-4, 1e-4
"""How near to the edge of a code a uniform number may fall on either side; how far off outputs of about 1 may be."""
_SECONDS = 180
_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is tried: the shape of a network with weights of its own, and how much of it."""

    config: NetworkConfig
    codes: int
    outputs: int
    distribution: str
    """Of the head."""
    condition_channels: int
    weights: str
    device: str
    way: str
    """One of `WAYS`."""
    samples: int = 200
    batches: tuple[int, ...] = field(default=(3, 200, 400))
    """Clips at a time: a kernel groups few of them otherwise than many."""

    @classmethod
    def of(cls, network: WaveNet, head: Head, weights: str, way: str, **size: Any) -> Trial:
        """That of a network's shape, where it is."""
        return cls(
            config=network.config,
            codes=network.quantization_channels,
            outputs=network.num_parameters,
            distribution=head.distribution,
            condition_channels=network.condition_channels,
            weights=weights,
            device=str(next(network.parameters()).device),
            way=way,
            **size,
        )

    @classmethod
    def read(cls, text: str) -> Trial:
        """What `write` made a text of."""
        fields = json.loads(text)
        fields["config"], fields["batches"] = NetworkConfig(**fields["config"]), tuple(fields["batches"])
        return cls(**fields)

    def write(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


def find_way(network: WaveNet, head: Head, weights: str, **size: Any) -> tuple[str, str]:
    """The fastest of `WAYS` that is exact, or an empty text and why none is.

    Takes up to a minute for each when a network of such a shape is generated with on such a device for the first time.

    Args:
        network: for its shape and device.
        head: for its distribution.
        weights: their number format.
        size: of the trials, where it is not that of `Trial`.
    """
    reasons = []
    for way in WAYS:
        reason = outcome(Trial.of(network, head, weights, way, **size))
        if not reason:
            return way, ""
        reasons.append(f"{way}: {reason}")
    return "", "; ".join(reasons)


@functools.cache
def outcome(trial: Trial) -> str:
    """Why a way is not exact, and nothing where it is; as it is remembered, or else as it is found now."""
    facts = {
        **machine(trial.device),
        **json.loads(trial.write()),
        "device": "",
    }  # one is as another of its name
    name = hashlib.sha256(json.dumps([facts, _sources()]).encode()).hexdigest()[:32]
    folder = users_folder("exact")
    file = None if folder is None else folder / f"{name}.json"
    try:
        if file is not None:
            return str(json.loads(file.read_bytes())["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # there is none, or it is damaged and made again
    print(
        f"trying whether engine fused-gpu ({trial.way}) is exact on {facts['device name']}: once, up to a minute",
        file=sys.stderr,
    )
    reason, known = _apart(trial)
    if reason:
        print(f"engine fused-gpu ({trial.way}) is left out: {reason}", file=sys.stderr)
    if file is not None and known:
        with contextlib.suppress(OSError):  # it is tried again next time
            write_durably(file, json.dumps({"reason": reason, **facts}, indent=1))
    return reason


def machine(device: str) -> dict[str, str]:
    """What an outcome depends on beside the network: the device, its driver, and what compiles for it."""
    facts = {"device name": device, "torch": f"{torch.__version__}, CUDA {torch.version.cuda}"}
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts["device name"] = f"{properties.name}, sm_{properties.major}{properties.minor}"
        facts["driver"] = _DRIVER.read_text(encoding="utf-8", errors="replace") if _DRIVER.is_file() else ""
    try:
        facts["triton"] = version("triton")
    except PackageNotFoundError:
        facts["triton"] = ""
    return facts


def _sources() -> str:
    """Of the engine: a change is tried anew."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _apart(trial: Trial) -> tuple[str, bool]:
    """The reason that a process of its own gives, and whether it gave one: what hindered it may be gone next time."""
    command = [sys.executable, "-m", "wavenet_pl.generation.fused_gpu.trial", trial.write()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"the trial took more than {_SECONDS} s", False
    answers = [line for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    if done.returncode or not answers:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        return f"the trial ended with {done.returncode}: {last:.200}", False
    return answers[-1].removeprefix(_ANSWER), True


def difference(trial: Trial) -> str:
    """What a way gives that the network in float64 does not, of clips after a prompt; nothing if they agree."""
    network, head = _network(trial), _head(trial)
    engine = FusedGpu(network, head, weights=trial.weights, way=trial.way)
    for batch in trial.batches:
        for differing in _differences(trial, engine, batch):
            return f"{differing}, clips at a time: {batch}"
    return ""


@torch.no_grad()
def _differences(trial: Trial, engine: FusedGpu, batch: int) -> Iterator[str]:
    network, head, device = engine.network, engine.head, torch.device(trial.device)
    generator = torch.Generator().manual_seed(batch)
    # All rings are full of it; and as one forward absorbs it for all clips, it is the same for all.
    prompt_T = torch.randint(trial.codes, (network.receptive_field,), generator=generator)
    condition = None
    if trial.condition_channels:
        columns = len(prompt_T) + trial.samples
        condition = torch.randn(1, trial.condition_channels, columns, generator=generator).to(device)
    job = build_job(
        network, head, Draw(seed=batch, clips=tuple(range(batch))), trial.samples, silence_code=trial.codes // 2,
        prompts=[prompt_T] * batch, condition=None if condition is None else condition.expand(batch, -1, -1),
    )  # fmt: skip
    codes_BN = torch.cat(list(engine.stream(job)), dim=1)
    rows = sorted({0, 1, batch - 1} & set(range(batch)))
    inputs_BT = torch.cat([job.inputs[0].to(device).expand(len(rows), -1), codes_BN[rows]], dim=1)[:, :-1]
    exact = _network(trial).double()
    condition = None if condition is None else condition.double().expand(len(rows), -1, -1)
    outputs_BKN, _ = exact(inputs_BT, condition, last=trial.samples)
    assert engine.last_outputs is not None
    off = float((engine.last_outputs[rows] - outputs_BKN[:, :, -1]).abs().max())
    if not off <= _NEAR * max(1.0, float(outputs_BKN.abs().max())):
        yield f"outputs are off by {off:.2g} after {trial.samples} samples"
    wrong = int(_wrong(head, outputs_BKN, job.draw.uniforms(0, trial.samples, rows), codes_BN[rows]).sum())
    if wrong:
        yield f"{wrong} of {len(rows) * trial.samples} codes are others than the network draws"


def _wrong(head: Head, outputs_BKN: Tensor, uniforms_BN: Any, codes_BN: Tensor) -> Tensor:
    """Which codes (B * N,) are none that the outputs give, not even next to the edge between two."""
    outputs_NK = outputs_BKN.transpose(1, 2).flatten(0, 1)
    uniforms_N = torch.from_numpy(uniforms_BN).flatten().to(outputs_NK.device)
    below_N, above_N = (
        head.draw(outputs_NK, (uniforms_N + shift).clamp(0, 1 - 1e-9)) for shift in (-_TIE, _TIE)
    )
    fine = int(head.quantization_channels > 1024)  # of so many codes float32 may miss by one
    codes_N = codes_BN.flatten()
    return (codes_N < below_N - fine) | (codes_N > above_N + fine)


def _network(trial: Trial) -> WaveNet:
    """A network whose outputs are about 1, so that every error shows in its draws; always the same one."""
    network = WaveNet(
        trial.config,
        quantization_channels=trial.codes,
        decode=LinearCodec(trial.codes).decode,
        num_parameters=trial.outputs,
        condition_channels=trial.condition_channels,
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=generator).div_(max(parameter[0].numel(), 1) ** 0.5)
            if trial.weights == "bf16":
                parameter.copy_(parameter.bfloat16())
    return network.to(trial.device).eval()


def _head(trial: Trial) -> Head:
    if trial.distribution == "logistics":
        return LogisticsHead(trial.outputs // 3, trial.codes)
    return SoftmaxHead(trial.outputs)


_ANSWER = "answer: "

if __name__ == "__main__":
    print(_ANSWER + difference(Trial.read(sys.argv[1])))
