"""Tracing one time step of a torch model: what is called, in which order, with which shapes.

Shapes: B batch, `*` the value's own shape.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import snntorch
import torch
from torch import Tensor, fx, nn

from spikeport.errors import SpikeportError, UnfaithfulError, UsageError
from spikeport.export.chance import random_states, refuse_chance
from spikeport.export.convert.bntt import refuse_unshared_norms
from spikeport.export.convert.changes import STATE_FIX, ChangeTracer, StepProbe, refuse_new_buffers, undo_changes
from spikeport.export.convert.delta import use_delta_cells
from spikeport.export.convert.feedback import Loop, loops_of, places, require_samples, require_shapes, zero_start
from spikeport.export.convert.functional import use_layers
from spikeport.export.convert.private import (
    STATE_BUFFERS,
    STATEFUL,
    bake_parametrizations,
    check_weights,
    forget,
    private_copy,
)
from spikeport.export.convert.states import Carried, carry_states
from spikeport.export.shapes import Shape
from spikeport.export.untouched import listed

WHOLE = (*STATEFUL, snntorch.GradedSpikes)


class StepTracer(ChangeTracer):
    """Keeps snnTorch's neurons whole, and gives options of forward their defaults.

    Args:
        options: the arguments of forward that are not to be traced.
    """

    def __init__(self, options: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.options = options

    def _proxy_placeholder(self, name: str, concrete_args: Any, sig: inspect.Signature, fn: Any) -> Any:
        if name in self.options:
            return sig.parameters[name].default
        return super()._proxy_placeholder(name, concrete_args, sig, fn)

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
        carried: the states that the model's own loop carries by hand.
        dropped: the calls that no output depends on, which are left out.
        loops: the inputs that are an output of the step before.
    """

    module: fx.GraphModule
    inputs: tuple[str, ...]
    shapes: Mapping[str, Shape | None]
    carried: Carried
    dropped: tuple[str, ...] = ()
    loops: Mapping[str, Loop] = field(default_factory=dict)


def trace(
    model: nn.Module,
    sample_B: Mapping[str, Tensor],
    input_names: tuple[str, ...] | None = None,
    feedback: Mapping[str, int] | None = None,
    wanted: Collection[int] | None = None,
) -> Trace:
    """Trace `model`, which computes one time step, on a one-step sample.

    Args:
        model: the step; left untouched.
        sample_B: one step's inputs by name, [B, *shape].
        input_names: the names of forward's arguments, where they are not to be called as in the code.
        feedback: the arguments that are outputs of the step before, with their place among forward's outputs;
            `sample_B` may leave them out.
        wanted: the places of forward's outputs that anybody reads, by default all.

    Raises:
        UnfaithfulError: the forward cannot be traced (a time loop, control flow on values), resets a neuron, changes
            what lives from step to step, or draws random numbers.
        UsageError: the sample does not fit the forward.
    """
    parameters = inspect.signature(getattr(model, "_orig_mod", model).forward).parameters
    defaults = {n: p.default for n, p in parameters.items() if p.default is not inspect.Parameter.empty}
    given = {*sample_B, *(feedback or {})} if input_names is None else {*[*parameters][: len(input_names)]}
    options = frozenset(name for name, value in defaults.items() if name not in given and value is not None)
    traced = _traced(model, options)
    carried = carry_states(traced.graph, traced.root, wanted)
    # An argument that is None by default may be a state; what turns out to be none is an option.
    if idle := [n for n in defaults if n in carried.arguments and n not in (*given, *carried.loops)]:
        traced = _traced(model, options | {*idle})
        carried = carry_states(traced.graph, traced.root, wanted)
    graph, private = traced.graph, traced.root
    _refuse_resets(traced)
    use_layers(graph, private)
    found = places(graph, carried, feedback or {})
    module = fx.GraphModule(private, graph)
    arguments = tuple(name for name in carried.arguments if name not in carried.loops)
    names = input_names or arguments
    if len(names) != len(arguments):
        raise UsageError(f"inputs {list(names)}", f"forward takes {list(arguments)}", "Name each")
    require_samples(names, sample_B, found)
    probe = StepProbe(module)
    states = random_states()
    try:
        with torch.no_grad():
            own_B = {name: x.clone() for name, x in sample_B.items()}
            loops = loops_of(module, names, own_B, found)
            first_B = zero_start(loops, own_B) | own_B
            run = partial(probe.run, *[first_B[n] for n in names])
            returned = run()
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
    refuse_chance(states, run)
    undo_changes(graph, module, probe, loops)
    dropped = _drop_dead_calls(graph, private)
    module.recompile()
    forget(module)
    return Trace(module, names, probe.shapes, carried, dropped, loops)


@dataclass(frozen=True)
class _Traced:
    """A traced private copy: its graph, and the neurons to which forward gave a state."""

    root: nn.Module
    graph: fx.Graph
    reset: tuple[str, ...]


def prepared_copy(original: nn.Module) -> tuple[nn.Module, dict[int, nn.Module]]:
    """Return a private copy of which every layer may be converted, and its neuron for each of the original's, by `id`.

    Raises:
        UnfaithfulError: it cannot be copied, or a weight is of no use.
    """
    private = private_copy(original)
    check_weights(private)
    use_delta_cells(private)
    bake_parametrizations(private)
    found = {id(m): private.get_submodule(n) for n, m in original.named_modules() if isinstance(m, STATEFUL)}
    return private, found


def _traced(model: nn.Module, options: frozenset[str]) -> _Traced:
    original = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    private, stand_ins = prepared_copy(original)
    neurons = {n: stand_ins[id(m)] for n, m in original.named_modules() if id(m) in stand_ins}
    states = {name: _states(neuron) for name, neuron in neurons.items()}
    values = [*private.named_parameters(), *private.named_buffers()]
    versions = [x._version for _, x in values]
    trace_it = partial(StepTracer(options).trace, private)
    before = random_states()
    try:
        with listed(stand_ins):
            graph = trace_it()
    except SpikeportError:
        raise
    except Exception as error:  # whatever the user's forward does with a stand-in for a tensor
        refuse_unshared_norms(private, set())
        raise _untraced(original, error) from error
    refuse_chance(before, trace_it)
    refuse_unshared_norms(private, {str(node.target) for node in graph.nodes if node.op == "call_module"})
    refuse_new_buffers(private)
    for (name, value), version in zip(values, versions, strict=True):
        if value._version != version:
            raise UnfaithfulError(f"'{name}'", "forward changes it, and it lives from step to step", STATE_FIX)
    reset = tuple(n for n, m in neurons.items() if any(a is not b for a, b in zip(_states(m), states[n], strict=True)))
    return _Traced(private, graph, reset)


def _states(neuron: nn.Module) -> list[Any]:
    return [getattr(neuron, state, None) for state in STATE_BUFFERS]


def _untraced(model: nn.Module, error: Exception) -> UnfaithfulError:
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, list | tuple) and any(isinstance(part, nn.Module) for part in value):
                return UnfaithfulError(
                    f"'{path}.{name}'" if path else f"'{name}'",
                    "it is a plain list of layers, which torch does not see: it neither trains nor saves them",
                    "Use nn.ModuleList",
                )
    return UnfaithfulError(
        f"model {type(model).__name__}",
        f"its forward cannot be traced ({error})",
        "Export one time step: move the loop over time, and any control flow on values, out of forward",
    )


def _refuse_resets(traced: _Traced) -> None:
    called = [str(node.target) for node in traced.graph.nodes if node.op == "call_module"]
    # One that is called more often runs several steps: its converter says so.
    for name in traced.reset:
        if called.count(name) == 1:
            raise UnfaithfulError(
                f"neuron '{name}'",
                "forward resets it, or gives it a state, in every step",
                "Reset it before the first step of a sample, outside of forward: a bundle does so too",
            )


def _drop_dead_calls(graph: fx.Graph, root: nn.Module) -> tuple[str, ...]:
    """Drop the calls that no output depends on; return their names.

    What changes a state that another call reads stays, so that its converter may refuse it.
    """
    targets = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    shared = {t for t in targets if targets.count(t) > 1 and isinstance(root.get_submodule(t), STATEFUL)}

    def must_stay(node: fx.Node) -> bool:
        return node.op in ("placeholder", "output") or (node.op == "call_module" and node.target in shared)

    before = [node.name for node in graph.nodes]
    graph.eliminate_dead_code(must_stay)
    left = {node.name for node in graph.nodes}
    return tuple(name for name in before if name not in left)
