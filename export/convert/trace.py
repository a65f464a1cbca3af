"""Tracing one time step of a torch model: what is called, in which order, with which shapes.

Shapes: B batch, `*` the value's own shape.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import snntorch
import torch
from torch import Tensor, fx, nn

from spikeport.errors import UnfaithfulError, UsageError
from spikeport.export.shapes import Shape

STATEFUL = (snntorch.SpikingNeuron,)


class StepTracer(fx.Tracer):
    """Keeps snnTorch's neurons whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether `m` is converted as one layer."""
        return isinstance(m, STATEFUL) or super().is_leaf_module(m, module_qualified_name)


@dataclass(frozen=True)
class Trace:
    """A traced step of a private copy of the model.

    Attributes:
        module: the traced copy, in evaluation mode on the CPU; running it leaves the user's model alone.
        inputs: the name of each placeholder, in the order of forward's arguments.
        shapes: the shape of every traced value, without batch; `None` for what is not one tensor.
    """

    module: fx.GraphModule
    inputs: tuple[str, ...]
    shapes: Mapping[str, Shape | None]


def trace(model: nn.Module, sample_B: Mapping[str, Tensor], input_names: tuple[str, ...] | None = None) -> Trace:
    """Trace `model`, which computes one time step, on a one-step sample.

    Args:
        model: the step; left untouched.
        sample_B: one step's inputs by name, [B, *shape].
        input_names: the names of forward's arguments, where they are not to be called as in the code.

    Raises:
        UnfaithfulError: the forward cannot be traced (a time loop, control flow on values).
        UsageError: the sample does not fit the forward.
    """
    check_weights(model)
    private = copy.deepcopy(model).cpu().eval()
    forget(private)
    tracer = StepTracer()
    try:
        graph = tracer.trace(private)
    except (fx.proxy.TraceError, TypeError) as error:
        raise UnfaithfulError(
            f"model {type(model).__name__}",
            f"its forward cannot be traced ({error})",
            "Export one time step: move the loop over time, and any control flow on values, out of forward",
        ) from error
    module = fx.GraphModule(tracer.root, graph)
    arguments = argument_names(module)
    names = input_names or arguments
    if set(names) != set(sample_B) or len(names) != len(arguments):
        raise UsageError(f"sample {sorted(sample_B)}", f"forward takes {list(names)}", "Give one tensor for each")
    probe = _Shapes(module)
    try:
        with torch.no_grad():
            probe.run(*[sample_B[n] for n in names])
    except (RuntimeError, IndexError, ValueError) as error:
        sizes = {n: tuple(x.shape) for n, x in sample_B.items()}
        raise UsageError(
            f"sample of shapes {sizes}",
            f"one step of the model fails on it ({str(error).splitlines()[0]})",
            "Give the sample as [T, B, *shape] with the shape that one step of forward takes",
        ) from error
    forget(module)
    return Trace(module, names, probe.shapes)


def argument_names(module: fx.GraphModule) -> tuple[str, ...]:
    """Return the names of forward's arguments; torch.fx renames a node whose name is a builtin's, as `input`."""
    return tuple(str(node.target) for node in module.graph.nodes if node.op == "placeholder")


class _Shapes(fx.Interpreter):
    """Runs the step once and remembers the shape of every value."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[str, Shape | None] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.shapes[n.name] = tuple(value.shape[1:]) if isinstance(value, Tensor) else None
        return value


def forget(model: nn.Module) -> None:
    """Forget the hidden states of all snnTorch neurons below `model`, so that the next call starts at 0."""
    for module in model.modules():
        if isinstance(module, STATEFUL):
            for state in STATE_BUFFERS:
                if isinstance(getattr(module, state, None), Tensor):
                    setattr(module, state, torch.zeros(0))


STATE_BUFFERS = ("mem", "syn", "syn_exc", "syn_inh", "spk")


def check_weights(model: nn.Module) -> None:
    """Raise `UnfaithfulError` for a parameter that is not finite."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise UnfaithfulError(f"parameter '{name}'", "it holds NaN or infinity", "Train again, or mend the weights")
