"""What stands around a recording, with a stand-in for the card's own part: `test_device.py` has the rest, on a card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from minamo.training.captured import Captured


class Calls:
    """weight -> weight + x, in place; returns the sum twice. Remembers its last arguments and results."""

    def __call__(self, weight: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        weight += x
        self.inputs, self.found = (weight, x), (weight.sum(), 2 * weight.sum())
        return self.found


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Captured]:
    """Make a recording by remembering what was called; playing it calls it again with the same tensors."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: SimpleNamespace(wait_stream=lambda other: None))
    monkeypatch.setattr(torch.cuda, "current_stream", torch.cuda.Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda mode: None)

    def make(held: list[Tensor], given: list[Tensor], fails: bool = False, empty: bool = False) -> Captured:
        function = Calls()

        @contextmanager
        def recording(graph: Any, stream: Any) -> Iterator[None]:
            yield
            if fails:
                raise RuntimeError("this cannot be recorded")
            graph.inputs, graph.found = function.inputs, function.found

        class Graph:
            inputs: Any
            found: Any

            def replay(self) -> None:
                if not empty:
                    for kept, new in zip(self.found, Calls()(*self.inputs), strict=True):
                        kept.copy_(new)

        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "graph", recording)
        return Captured(function, held, given)

    return make


def test_a_recording_is_played_with_what_is_given_and_begins_where_the_weights_were(recorder):
    weight = torch.ones(3)
    step = recorder([weight], [torch.full((3,), 7.0)])
    assert weight.tolist() == [1, 1, 1]
    for x, total in ((1.0, 6.0), (2.0, 12.0)):
        found = step(weight, torch.full((3,), x))
        assert [float(f) for f in found] == [total, 2 * total]
    assert weight.tolist() == [4, 4, 4]


def test_a_recording_that_fails_leaves_the_weights(recorder):
    weight = torch.ones(3)
    with pytest.raises(RuntimeError, match="cannot be recorded"):
        recorder([weight], [torch.ones(3)], fails=True)
    assert weight.tolist() == [1, 1, 1]


def test_an_empty_recording_is_refused(recorder):
    weight = torch.ones(3)
    with pytest.raises(RuntimeError, match="other numbers"):
        recorder([weight], [torch.ones(3)], empty=True)
    assert weight.tolist() == [1, 1, 1]


def test_weights_elsewhere_are_refused(recorder):
    weight = torch.ones(3)
    step = recorder([weight], [torch.ones(3)])
    step.refuse_moved([weight])
    with pytest.raises(RuntimeError, match="moved in memory"):
        step.refuse_moved([weight.clone()])
