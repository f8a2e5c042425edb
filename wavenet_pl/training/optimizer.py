"""The optimizer that the config asks for: AdamW for everything, or Muon for the matrices of the layers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from wavenet_pl.config.training import OptimConfig
from wavenet_pl.model import Model

MOMENTUM = 0.95
"""Share of a matrix's momentum that is left after a step."""
ITERATIONS = ((3.4445, -4.7750, 2.0315),) * 5
"""Coefficients of x, x^3 and x^5: each takes singular values from 0 to 1 nearer to 1 (Jordan et al., 2024)."""


def build_optimizer(model: Model, config: OptimConfig, fused: bool | None = None) -> torch.optim.AdamW:
    """As the config says, over all weights of the model, which are on their device already.

    Args:
        model: whose weights.
        config: of the rates.
        fused: whether AdamW moves all its weights in one kernel; on a GPU if None.
    """
    settings: dict[str, Any] = {
        "lr": config.lr,
        "betas": config.betas,
        "weight_decay": config.weight_decay,
        "fused": (model.device.type == "cuda" or None) if fused is None else fused,
    }
    if config.kind == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), **settings)
    else:
        matrices = {parameter for parameter in model.network.layers.parameters() if parameter.ndim > 1}
        others = (parameter for parameter in model.parameters() if parameter not in matrices)
        optimizer = Muon(others, (one for one in model.parameters() if one in matrices), **settings)
    # Else a loss scale would stay in the gradients until the step, and be in the norm that they are clipped by.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    optimizer.register_load_state_dict_pre_hook(_fused_as_here)
    return optimizer


def _fused_as_here(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A state as if it had been saved here: the device says how a step is computed, and a run may go on on another."""
    groups = [{**group, "fused": optimizer.defaults["fused"]} for group in state["param_groups"]]
    return {**state, "param_groups": groups}


class Muon(torch.optim.AdamW):
    """Muon (Jordan et al., 2024) for matrices, and AdamW for what is not one.

    A matrix moves along its momentum made orthogonal: in all directions equally far, however seldom the gradients point
    there. It moves as far as AdamW would move it (Liu et al., 2025), so that both have one learning rate. A convolution
    is the matrix of its outputs by its inputs of all taps.

    Args:
        others: for AdamW.
        matrices: two axes or more; those after the first become one.
        settings: of both, as AdamW has them.
    """

    def __init__(
        self, others: Iterable[nn.Parameter], matrices: Iterable[nn.Parameter], **settings: Any
    ) -> None:
        super().__init__([{"params": list(others)}, {"params": list(matrices)}], **settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step; returns what the closure, which is called first, returns."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        others, matrices = groups = self.param_groups
        self.param_groups = [others]
        try:
            super().step()
        finally:
            self.param_groups = groups
        self._move(matrices)
        return loss

    def _move(self, group: dict[str, Any]) -> None:
        """One step of the matrices: those of one shape together, as each by itself is too small to be fast."""
        alike: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                alike[parameter.shape].append(parameter)
        rate, left = group["lr"], 1 - group["lr"] * group["weight_decay"]
        for parameters in alike.values():
            momenta = [self._momentum(parameter) for parameter in parameters]
            gradients: list[Any] = [parameter.grad for parameter in parameters]
            # Of all of them at once: on a GPU each by itself would be a launch that takes longer than its work.
            torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
            ahead = torch._foreach_lerp(gradients, momenta, MOMENTUM)
            moves_NDC = orthogonal(torch.stack([each.flatten(1) for each in ahead]))
            length = 0.2 * math.sqrt(max(moves_NDC.shape[1:]))  # 0.2 is the usual RMS of AdamW's steps
            moves = moves_NDC.unflatten(2, parameters[0].shape[1:]).unbind()
            torch._foreach_mul_(parameters, left)
            torch._foreach_add_(parameters, moves, alpha=-rate * length)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            # AdamW looks for a number of steps wherever there is a state.
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(parameter))
        state["step"] += 1
        momentum: Tensor = state["momentum"]
        return momentum


def orthogonal(matrices_NDC: Tensor) -> Tensor:
    """Nearly the nearest matrices whose rows, or columns, are orthogonal: their singular values become about 1."""
    tall = matrices_NDC.shape[1] > matrices_NDC.shape[2]
    x = matrices_NDC.mT if tall else matrices_NDC
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for a, b, c in ITERATIONS:
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
