"""Tracing one time step of a torch model: what is called, in which order, with which shapes.

Shapes: B batch, `*` the value's own shape.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import snntorch
import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from spikeport.errors import SpikeportError, UnfaithfulError, UsageError
from spikeport.export.convert.bntt import refuse_unshared_norms
from spikeport.export.convert.changes import changes_in_place, refuse_changes
from spikeport.export.convert.delta import use_delta_cells
from spikeport.export.convert.feedback import Loop, loops_of, places, require_samples, require_shapes, zero_start
from spikeport.export.convert.functional import use_layers
from spikeport.export.convert.states import Carried, carry_states
from spikeport.export.convert.stepping import StepCell
from spikeport.export.shapes import Shape

STATEFUL = (snntorch.SpikingNeuron, StepCell)
WHOLE = (*STATEFUL, snntorch.GradedSpikes)


class StepTracer(fx.Tracer):
    """Keeps snnTorch's neurons whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether `m` is converted as one layer."""
        return isinstance(m, WHOLE) or super().is_leaf_module(m, module_qualified_name)


@dataclass(frozen=True)
class Trace:
    """A traced step of a private copy of the model.

    Attributes:
        module: the traced copy, in evaluation mode on the CPU; running it leaves the user's model alone.
        inputs: the name of each input, in the order of forward's arguments; states are none.
        shapes: the shape of every traced value (of a tuple, of its first), without batch; `None` for no tensor.
        original: another private copy, not traced: what the model's own forward does.
        carried: the states that the model's own loop carries by hand.
        dropped: the calls that no output depends on, which are left out.
        loops: the inputs that are an output of the step before.
    """

    module: fx.GraphModule
    inputs: tuple[str, ...]
    shapes: Mapping[str, Shape | None]
    original: nn.Module
    carried: Carried
    dropped: tuple[str, ...] = ()
    loops: Mapping[str, Loop] = field(default_factory=dict)


def trace(
    model: nn.Module,
    sample_B: Mapping[str, Tensor],
    input_names: tuple[str, ...] | None = None,
    feedback: Mapping[str, int] | None = None,
) -> Trace:
    """Trace `model`, which computes one time step, on a one-step sample.

    Args:
        model: the step; left untouched.
        sample_B: one step's inputs by name, [B, *shape].
        input_names: the names of forward's arguments, where they are not to be called as in the code.
        feedback: the arguments that are outputs of the step before, with their place among forward's outputs;
            `sample_B` may leave them out.

    Raises:
        UnfaithfulError: the forward cannot be traced (a time loop, control flow on values).
        UsageError: the sample does not fit the forward.
    """
    private = private_copy(model)
    check_weights(private)
    use_delta_cells(private)
    _bake_parametrizations(private)
    tracer = StepTracer()
    try:
        graph = tracer.trace(private)
    except Exception as error:  # whatever the user's forward does with a stand-in for a tensor
        refuse_unshared_norms(private, set())
        raise UnfaithfulError(
            f"model {type(model).__name__}",
            f"its forward cannot be traced ({error})",
            "Export one time step: move the loop over time, and any control flow on values, out of forward",
        ) from error
    refuse_unshared_norms(private, {str(node.target) for node in graph.nodes if node.op == "call_module"})
    refuse_changes(graph, private)
    use_layers(graph, private)
    carried = carry_states(graph, private)
    found = places(graph, carried, feedback or {})
    dropped = _drop_dead_calls(graph, private)
    module = fx.GraphModule(tracer.root, graph)
    arguments = tuple(name for name in carried.arguments if name not in carried.loops)
    names = input_names or arguments
    if len(names) != len(arguments):
        raise UsageError(f"inputs {list(names)}", f"forward takes {list(arguments)}", "Name each")
    require_samples(names, sample_B, found)
    probe = _Shapes(module)
    try:
        with torch.no_grad():
            loops = loops_of(module, names, sample_B, found)
            first_B = zero_start(loops, sample_B) | dict(sample_B)
            returned = probe.run(*[first_B[n] for n in names])
            require_shapes(loops, returned)
    except SpikeportError:
        raise
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        sizes = {n: tuple(x.shape) for n, x in sample_B.items()}
        raise UsageError(
            f"sample of shapes {sizes}",
            f"one step of the model fails on it ({str(error).splitlines()[0]})",
            "Give the sample as [T, B, *shape] with the shape that one step of forward takes, or mend the model",
        ) from error
    forget(module)
    return Trace(module, names, probe.shapes, private_copy(model), carried, dropped, loops)


def _drop_dead_calls(graph: fx.Graph, root: nn.Module) -> tuple[str, ...]:
    """Drop the calls that no output depends on; return their names.

    What changes a value in place, or a state that another call reads, stays, so that its converter may refuse it.
    """
    targets = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    shared = {t for t in targets if targets.count(t) > 1 and isinstance(root.get_submodule(t), STATEFUL)}

    def must_stay(node: fx.Node) -> bool:
        if node.op == "call_module":
            return node.target in shared
        return node.op in ("placeholder", "output") or (node.op != "get_attr" and changes_in_place(node))

    before = [node.name for node in graph.nodes]
    graph.eliminate_dead_code(must_stay)
    left = {node.name for node in graph.nodes}
    return tuple(name for name in before if name not in left)


def private_copy(model: nn.Module) -> nn.Module:
    """Return a copy on the CPU, in evaluation mode and without hidden state.

    Torch does not copy a tensor that still hangs on its gradient, as a neuron's state does after a training
    step; such a one is detached.
    """
    original = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    computed: dict[int, Any] = {}
    for module in original.modules():
        for value in (*module._buffers.values(), *vars(module).values()):
            if isinstance(value, Tensor) and not value.is_leaf:
                computed[id(value)] = value.detach().clone()
    try:
        private: nn.Module = copy.deepcopy(original, computed).cpu().eval()
    except (RuntimeError, TypeError) as error:
        raise UnfaithfulError(
            f"model {type(original).__name__}",
            f"it cannot be copied ({str(error).splitlines()[0]})",
            "Export a model that copy.deepcopy takes",
        ) from error
    forget(private)
    return private


def _bake_parametrizations(model: nn.Module) -> None:
    """Put plain layers in the place of parametrized ones (weight norm, spectral norm), with the weights as computed.

    `remove_parametrizations` would not do: a copy shares its class with the user's layer, whom it robs of its weights.
    """
    for path, module in [*model.named_modules()]:
        if not path or not parametrize.is_parametrized(module):
            continue
        names: Any = module.parametrizations
        computed = {name: nn.Parameter(getattr(module, name).detach()) for name in names}
        plain: nn.Module = object.__new__(type(module).__mro__[1])
        plain.__dict__.update(vars(module))
        plain._modules = {name: part for name, part in module._modules.items() if part is not names}
        plain._parameters = {**module._parameters, **computed}
        model.set_submodule(path, plain)


class _Shapes(fx.Interpreter):
    """Runs the step once and remembers the shape of every value."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[str, Shape | None] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        first = value[0] if isinstance(value, tuple) and value else value
        self.shapes[n.name] = tuple(first.shape[1:]) if isinstance(first, Tensor) else None
        return value


def forget(model: nn.Module) -> None:
    """Forget the hidden states of all snnTorch neurons below `model`, so that the next call starts at 0."""
    for module in model.modules():
        if isinstance(module, snntorch.DeltaLeaky):
            module.reset_mem()
        elif isinstance(module, STATEFUL):
            for state in STATE_BUFFERS:
                if isinstance(getattr(module, state, None), Tensor):
                    setattr(module, state, torch.zeros(0))


STATE_BUFFERS = ("mem", "syn", "syn_exc", "syn_inh", "spk")


def check_weights(model: nn.Module) -> None:
    """Raise `UnfaithfulError` for a parameter that is not finite, or of half precision."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.dtype in (torch.float16, torch.bfloat16):
            raise UnfaithfulError(
                f"parameter '{name}'",
                f"it is {value.dtype}, whose rounding is too coarse to verify spikes",
                "Export model.float() with a float32 sample",
            )
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise UnfaithfulError(f"parameter '{name}'", "it holds NaN or infinity", "Train again, or mend the weights")
