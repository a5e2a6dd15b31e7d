"""Adam's moments, and the step that moves weights by them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

BETA_1, BETA_2, EPS = 0.9, 0.999, 1e-8


class Adam:
    """The moments of a model's learned parameters, held as plain tensors, so that a traced step can take them too.

    "Adam: A Method for Stochastic Optimization" (Kingma, Ba, 2015), as torch.optim has it.

    Args:
        model: its parameters that take a gradient are moved, in place.
        clip: the largest norm of all gradients together; a longer one is shortened to it, the direction stays. None
            takes gradients as they are.
    """

    def __init__(self, model: nn.Module, clip: float | None = None):
        self.clip = clip
        # Numbered as in the model, the parameters that are held included: checkpoints name them so.
        self.learned = {i: p for i, p in enumerate(model.parameters()) if p.requires_grad}
        self.first = [torch.zeros_like(p, requires_grad=False) for p in self.learned.values()]
        self.second = [torch.zeros_like(p, requires_grad=False) for p in self.learned.values()]
        self.steps = [torch.zeros((), device=p.device) for p in self.learned.values()]

    @property
    def weights(self) -> list[Tensor]:
        """The learned parameters, outside the graph."""
        return [p.detach() for p in self.learned.values()]

    def step(self, rate: float) -> None:
        """Move every weight along its `.grad`, at this learning rate."""
        grads = self.clipped([p.grad for p in self.learned.values()])
        some = [i for i, grad in enumerate(grads) if grad is not None]
        weights = self.weights
        adam(
            [weights[i] for i in some],
            [grad for grad in grads if grad is not None],
            [self.first[i] for i in some],
            [self.second[i] for i in some],
            [],
            [self.steps[i] for i in some],
            fused=True,
            amsgrad=False,
            beta1=BETA_1,
            beta2=BETA_2,
            lr=rate,
            weight_decay=0.0,
            eps=EPS,
            maximize=False,
        )

    def clipped(self, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The gradients, all shortened by the same factor where together they are longer than `clip`."""
        if self.clip is None:
            return list(grads)
        norm = torch.stack([grad.square().sum() for grad in grads if grad is not None]).sum().sqrt()
        factor = (self.clip / norm).clamp_max(1.0)
        return [None if grad is None else grad * factor for grad in grads]

    def corrections(self, rates: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """For each of the next steps, at these rates: rate / (1 - b1^t), and 1 / sqrt(1 - b2^t); see `moved`."""
        t = float(self.steps[0]) + torch.arange(1, len(rates) + 1, dtype=torch.float64)
        roots = (1 - BETA_2**t).rsqrt()
        device = self.steps[0].device
        return (rates / (1 - BETA_1**t)).float().to(device).unbind(), roots.float().to(device).unbind()

    def count(self, n: int) -> None:
        """Note n steps that were taken by `moved`."""
        for steps in self.steps:
            steps += n

    def tensors(self) -> dict[str, Tensor]:
        """Copy the state: "3.exp_avg" for the fourth parameter."""
        found = {}
        for i, steps, first, second in zip(self.learned, self.steps, self.first, self.second, strict=True):
            found |= {f"{i}.step": steps, f"{i}.exp_avg": first, f"{i}.exp_avg_sq": second}
        return {name: tensor.clone() for name, tensor in found.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take a state back, in place; none is that of the beginning."""
        for i, *held in zip(self.learned, self.steps, self.first, self.second, strict=True):
            for name, tensor in zip(("step", "exp_avg", "exp_avg_sq"), held, strict=True):
                tensor.copy_(tensors.get(f"{i}.{name}", torch.zeros_like(tensor)))


def moved(weight: Tensor, grad: Tensor, first: Tensor, second: Tensor, rate: Tensor, root: Tensor) -> None:
    """Adam's step for one tensor, in place, the corrections of its bias given as numbers.

    Written out for a traced step: torch's own computes two powers for every tensor there, at twice the cost.
    """
    first.lerp_(grad, 1 - BETA_1)
    second.mul_(BETA_2).addcmul_(grad, grad, value=1 - BETA_2)
    weight.sub_(rate * first / (second.sqrt() * root + EPS))
