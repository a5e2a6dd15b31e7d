"""A step on a graphics card as one recording, played again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

BEFORE = 3
"""Calls before the recording: libraries choose their kernels and take their memory in them."""


class Captured:
    """A function of tensors that never move in memory, recorded once as a CUDA graph.

    Python starts kernels one by one, in microseconds each; a small net's kernels are done before the next is started. A
    recording starts them all at once.

    Args:
        function: what is recorded: it may change what is held, and must not wait for a number.
        held: its first arguments, which lie where they lie; they are as before when this returns.
        given: examples of its other arguments: a call copies its own to where these are kept.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, Tensor]], held: list[Tensor], given: list[Tensor]):
        self.places = [tensor.data_ptr() for tensor in held]
        self.given = [tensor.clone() for tensor in given]
        before = [tensor.clone() for tensor in held]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(BEFORE):
                function(*held, *self.given)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.found = function(*held, *self.given)
        for tensor, was in zip(held, before, strict=True):
            tensor.copy_(was)

    def __call__(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        """Play it; what is returned is overwritten by the next call."""
        for kept, tensor in zip(self.given, inputs[len(self.places) :], strict=True):
            kept.copy_(tensor)
        self.graph.replay()
        return self.found

    def holds(self, held: list[Tensor]) -> bool:
        """Whether these are the tensors that the recording reads and writes."""
        return [tensor.data_ptr() for tensor in held] == self.places
