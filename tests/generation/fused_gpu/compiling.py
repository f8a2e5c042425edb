"""Compiles the kernel for an H100 or H200 (sm_90), which takes no GPU, and prints what was made, as JSON.

python -m tests.generation.fused_gpu.compiling
"""

from __future__ import annotations

import json
import re

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from wavenet_pl.generation.draw import Draw
from wavenet_pl.generation.fused_gpu import kernels
from wavenet_pl.generation.fused_gpu.buffers import Buffers
from wavenet_pl.generation.fused_gpu.launch import Launches
from wavenet_pl.generation.fused_gpu.packing import pack
from wavenet_pl.heads import SoftmaxHead
from wavenet_pl.network import NetworkConfig, WaveNet

TYPES = {
    torch.float32: "fp32",
    torch.float64: "fp64",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.bfloat16: "bf16",
}


def type_of(value: torch.Tensor | float) -> str:
    """As triton calls it: of a tensor's address, or of a number."""
    if isinstance(value, torch.Tensor):
        return f"*{TYPES[value.dtype]}"
    return "fp32" if isinstance(value, float) else "i32"


def main() -> None:
    network, head = WaveNet(NetworkConfig()), SoftmaxHead(256)
    launches = Launches(network, head, pack(network), "float32")
    arguments, constants = launches.arguments(Draw(), Buffers(network, 1, 200, local=True))
    options = {name: constants.pop(name) for name in ("num_warps", "num_stages")}
    names = kernels.make_samples.arg_names
    signature = {name: type_of(arguments[name]) for name in names if name in arguments}
    even = {
        (number,): [["tt.divisibility", 16]]
        for number, value in enumerate(arguments[name] for name in signature)
        if isinstance(value, torch.Tensor) or (isinstance(value, int) and value % 16 == 0)
    }
    source = ASTSource(
        kernels.make_samples,
        {**signature, **dict.fromkeys(constants, "constexpr")},
        {(names.index(name),): value for name, value in constants.items()},
        even,
    )
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    side = constants["SIDE"]
    print(
        json.dumps({
            "shared": made.metadata.shared,
            "bytes": len(made.asm["cubin"]),
            "barriers": made.asm["ptx"].count("bar.sync"),
            "converted tiles": len(re.findall(rf"convert_layout.*<(?:1x)?{side}x{side}xf32", made.asm["ttgir"])),
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
