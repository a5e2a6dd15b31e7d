"""A step on a graphics card as one recording, played again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from minamo.randomness import drawing_from, stream

BEFORE = 3
"""Calls before the recording: libraries choose their kernels and take their memory in them."""
CLOSE = 1e-3
"""Difference, relative to the largest value of a tensor, that is put down to the order in which a card adds up."""


class Captured:
    """A function of tensors that never move in memory, recorded once as a CUDA graph.

    Python starts kernels one by one, in microseconds each; a small net's kernels are done before the next is started. A
    recording starts them all at once.

    Args:
        function: what is recorded: it may change what is held.
        held: its first arguments, which lie where they lie; they are as before when this returns or raises.
        given: examples of its other arguments: a call copies its own to where these are kept.

    Raises:
        RuntimeError: the function waits for a number, or does something else when it is played.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, Tensor]], held: list[Tensor], given: list[Tensor]):
        # What the function holds on to, the recording reads.
        self.function = function
        self.places = [tensor.data_ptr() for tensor in held]
        self.given = [tensor.clone() for tensor in given]
        before, device = [tensor.clone() for tensor in held], given[0].device
        aside, here = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        try:
            with drawing_from(stream(0, "record", device=device)):
                aside.wait_stream(here)
                with torch.cuda.stream(aside):
                    for _ in range(BEFORE):
                        function(*held, *self.given)
                    # A wait within a recording would leave stream and generator unusable: so it shows before.
                    with _no_waiting():
                        function(*held, *self.given)
                here.wait_stream(aside)
                self.graph = torch.cuda.CUDAGraph()
                # torch's own stream for recordings belongs to the first device that was ever used.
                with torch.cuda.graph(self.graph, stream=aside):
                    self.found = function(*held, *self.given)
            self._compare(held, before)
        finally:
            for tensor, was in zip(held, before, strict=True):
                tensor.copy_(was)

    def __call__(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        """Play it; what is returned is overwritten by the next call."""
        for kept, tensor in zip(self.given, inputs[len(self.places) :], strict=True):
            kept.copy_(tensor)
        self.graph.replay()
        return self.found

    def refuse_moved(self, held: list[Tensor]) -> None:
        """Raise RuntimeError unless these are the tensors that the recording reads and writes."""
        if [tensor.data_ptr() for tensor in held] != self.places:
            raise RuntimeError("weights or moments have moved in memory since the step was recorded")

    def _compare(self, held: list[Tensor], before: list[Tensor]) -> None:
        """Call the function, play the recording, both from the same state: refuse a recording that does otherwise."""
        found: list[list[Tensor]] = []
        for step in (self.function, self):
            for tensor, was in zip(held, before, strict=True):
                tensor.copy_(was)
            with drawing_from(stream(0, "record", device=self.given[0].device)):
                found.append([t.clone().double() for t in (*step(*held, *self.given), *held)])
        for right, got in zip(*found, strict=True):
            if not torch.allclose(right, got, rtol=CLOSE, atol=CLOSE * float(right.abs().max()) + 1e-6):
                raise RuntimeError("recorded, the step gives other numbers")


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Whoever waits for the card inside raises RuntimeError."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
