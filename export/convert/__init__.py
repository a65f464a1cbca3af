"""From one time step of a torch/snnTorch model to a chip graph.

A layer without a converter, or with a setting that NIR cannot say, is refused by name: nothing is dropped.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import snntorch
from torch import Tensor, fx, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.builder import UNUSED, Builder, Rewrite, Signal, Tap
from spikeport.export.convert.catalogue import converters, functions
from spikeport.export.convert.feedback import close_loops, require_zero_start
from spikeport.export.convert.firing import require_strict_firing
from spikeport.export.convert.functions import Call, target_name
from spikeport.export.convert.joining import Joined, Stacked, concatenate, feed_joined, flatten_stack, merge
from spikeport.export.convert.private import STATEFUL, is_double
from spikeport.export.convert.states import returned_states
from spikeport.export.convert.trace import Trace, trace
from spikeport.export.graph import ChipGraph

__all__ = ["Conversion", "Rewrite", "Tap", "carried_rewrites", "convert", "convert_trace"]

STATE_CARRIED = "a state passed by hand: the neuron keeps it, from 0 at the start of a sample"
STATES_UNNAMED = "the states that it returns too are no outputs here: index the call in forward to have them"
STATE_LEFT_OUT = "output {} of forward, its state '{}', is no output here: return it first to have it"


@dataclass(frozen=True)
class Conversion:
    """A converted model.

    Attributes:
        graph: what the model means in discrete-time NIR.
        trace: the private traced copy of the model, for verification.
        taps: for each neuron node, where the model shows what it emits.
        outputs: for each output node, the traced value it shows.
        rewrites: the changes of form, each exact or with its bound.
    """

    graph: ChipGraph
    trace: Trace
    taps: Mapping[str, Tap]
    outputs: Mapping[str, str]
    rewrites: tuple[Rewrite, ...]


def convert(
    model: nn.Module,
    sample_B: Mapping[str, Tensor],
    dt_s: float,
    input_names: tuple[str, ...] | None = None,
    feedback: Mapping[str, int] | None = None,
) -> Conversion:
    """Convert one time step of `model`.

    Args:
        model: `forward(*inputs_B) -> output_B` or a tuple of outputs; left untouched.
        sample_B: one step's inputs by forward's argument names, [B, *shape].
        dt_s: the time step in seconds.
        input_names: what to call forward's arguments, where not as in the code.
        feedback: the arguments that are outputs of the step before, with their place among forward's outputs.

    Raises:
        UnfaithfulError: a layer or call has no faithful form; the message names it and the nearest choice.
    """
    return convert_trace(trace(model, sample_B, input_names, feedback), dt_s, type(model).__name__)


def convert_trace(traced: Trace, dt_s: float, model: str) -> Conversion:
    """Convert a traced step of the network named `model`; see `convert`."""
    builder = Builder(dt_s, double=is_double(traced.module))
    values: dict[fx.Node, Any] = {}
    outputs: dict[str, str] = {}
    inputs = iter(traced.inputs)
    for node in traced.module.graph.nodes:
        if node.op == "output":
            outputs = _outputs(builder, node, values)
        elif node.op == "placeholder":
            values[node] = _input(builder, next(inputs), traced.shapes[node.name])
        else:
            values[node] = _convert_node(builder, traced, node, values)
    back = close_loops(builder, {name: tuple(outputs)[loop.place] for name, loop in traced.loops.items()})
    builder.prune()
    _require_neurons(builder, model)
    builder.rewrites += carried_rewrites(traced)
    graph = builder.graph()
    require_zero_start(graph, back)
    return Conversion(graph, traced, builder.taps, outputs, tuple(builder.rewrites))


def carried_rewrites(traced: Trace) -> list[Rewrite]:
    """Return what tracing changed: states that were passed by hand or returned, and calls that nothing reads."""
    carried = traced.carried
    rewrites = [Rewrite(name, STATE_CARRIED) for name in carried.loops]
    rewrites += [Rewrite(s.neuron, STATE_LEFT_OUT.format(i, s.name)) for i, s in carried.states.items()]
    rewrites += [Rewrite(name, STATES_UNNAMED) for name in carried.unnamed]
    return rewrites + [Rewrite(name, UNUSED) for name in traced.dropped]


def _input(builder: Builder, name: str, shape: tuple[int, ...] | None) -> Signal:
    if shape is None:
        raise UnfaithfulError(f"input '{name}'", "it is not a tensor", "Take tensors only")
    return builder.input(name, shape)


def _convert_node(builder: Builder, traced: Trace, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
    shape = traced.shapes[node.name]
    builder.call = node.name
    for read in node.all_input_nodes:
        if len(read.users) > 1:
            value = values[read]
            signals = value if isinstance(value, tuple) else (value,)
            builder.shared.update(*(s.sources for s in signals if isinstance(s, Signal)))
    if node.op == "get_attr":
        return _attribute(traced.module, str(node.target))
    if node.op == "call_module":
        return _convert_module(builder, traced, node, values)
    function = functions.get(node.target)
    if function is None:
        raise UnfaithfulError(
            f"call '{node.name}' to {target_name(node)}", "it has no converter", f"Handled: {_handled()}"
        )
    for read in node.all_input_nodes:
        if isinstance(values[read], Unseen):
            raise _unseen(values[read], f"call '{node.name}'")

    first = values.get(node.args[0]) if node.args and isinstance(node.args[0], fx.Node) else None
    if isinstance(first, Stacked) and target_name(node) in ("flatten", "view", "reshape") and len(shape or ()) == 1:
        return flatten_stack(builder, node.name, first)

    def resolve(argument: fx.Node) -> Any:
        value = values[argument]
        joins = function is concatenate
        return (
            merge(builder, node.name, value)
            if isinstance(value, Joined | Stacked) and not (joins and isinstance(value, Joined))
            else value
        )

    args = fx.node.map_arg(node.args, resolve)
    kwargs = fx.node.map_arg(node.kwargs, resolve)
    return function(Call(builder, builder.name(node.name), tuple(args), dict(kwargs), shape or ()))


def _convert_module(builder: Builder, traced: Trace, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
    layer = traced.module.get_submodule(str(node.target))
    converter = converters.get(type(layer))
    if converter is None:
        known = ", ".join(sorted({kind.__name__ for kind in converters}))
        raise UnfaithfulError(
            f"layer '{node.target}' ({type(layer).__name__})", "it has no converter", f"Converted are: {known}"
        )
    if "forward" in vars(layer):
        reason = "its forward was replaced by one of the author's own, which its converter does not know"
        fix = "Put it into a module of your own, whose forward is traced"
        raise UnfaithfulError(f"layer '{node.target}' ({type(layer).__name__})", reason, fix)
    arguments = [*node.args, *node.kwargs.values()]
    if len(arguments) != 1:
        raise UnfaithfulError(
            f"layer '{node.target}' ({type(layer).__name__})",
            f"it is called with {len(arguments)} arguments",
            "Call it with one",
        )
    calls = [n for n in traced.module.graph.nodes if n.op == "call_module" and n.target == node.target]
    stateful = isinstance(layer, STATEFUL)
    if stateful and len(calls) > 1:
        raise UnfaithfulError(
            f"neuron '{node.target}'",
            f"it is called {len(calls)} times in one step, so that its membrane advances as often",
            "Give every place a neuron of its own; if this is a loop over time, export the step inside it",
        )
    signal = values.get(arguments[0])  # type: ignore[arg-type]
    if isinstance(signal, Unseen):
        raise _unseen(signal, f"layer '{node.target}'")
    if isinstance(signal, Joined):
        split = feed_joined(builder, node.name, layer, signal, traced.shapes[node.name] or ())
        if split is not None:
            return split
        signal = merge(builder, node.name, signal)
    if isinstance(signal, Stacked):
        if isinstance(layer, nn.Flatten) and len(traced.shapes[node.name] or ()) == 1:
            return flatten_stack(builder, node.name, signal)
        signal = merge(builder, node.name, signal)
    if not isinstance(signal, Signal):
        raise UnfaithfulError(
            f"layer '{node.target}' ({type(layer).__name__})",
            "it is fed with a constant",
            "Feed it what the inputs give; a state that lives from step to step belongs into a neuron",
        )
    shape = traced.shapes[node.name] or ()
    if isinstance(layer, snntorch.SpikingNeuron):
        require_strict_firing(str(node.target), layer, shape)
    result = converter(builder, builder.name(node.name), layer, signal, shape)
    return _with_states(builder, traced, node, layer, result) if stateful else result


def _with_states(
    builder: Builder, traced: Trace, node: fx.Node, layer: nn.Module, spikes: Signal
) -> Signal | tuple[Any, ...]:
    """Return what the call returns: the spikes, or the spikes and the states as far as NIR nodes emit them."""
    reads = (user.args[1] for user in node.users if user.target is operator.getitem and user.args[0] is node)
    if not any(isinstance(index, int) for index in reads):
        return spikes
    shown = {tap.read: name for name, tap in builder.taps.items() if tap.fx_node == node.name}
    if node.name in builder.potentials:
        shown["mem"] = builder.potentials[node.name]
    states = returned_states(type(layer))[1:]
    return (spikes, *(Signal((shown[s],), spikes.shape) if s in shown else Unseen(node.name, s) for s in states))


@dataclass(frozen=True)
class Unseen:
    """A state that no NIR node emits: the membrane of a neuron that is reset to zero, a current inside it."""

    neuron: str
    state: str


def _outputs(builder: Builder, node: fx.Node, values: Mapping[fx.Node, Any]) -> dict[str, str]:
    returned = node.args[0]
    several = isinstance(returned, tuple | list)
    results = list(returned) if several else [returned]  # type: ignore[arg-type]
    names = {}
    for i, result in enumerate(results):
        if isinstance(result, fx.Node) and isinstance(values[result], Unseen):
            raise _unseen(values[result], f"output {i}")
        value = values[result] if isinstance(result, fx.Node) else None
        signal = merge(builder, f"output_{i}", value) if isinstance(value, Joined | Stacked) else value
        if not isinstance(result, fx.Node) or not isinstance(signal, Signal):
            raise UnfaithfulError(f"output {i}", "it is not a tensor that the network computes", "Return tensors")
        name = builder.name(f"output_{i}" if several else "output")
        builder.output(name, signal)
        names[name] = result.name
    return names


def _unseen(value: Unseen, where: str) -> UnfaithfulError:
    return UnfaithfulError(
        f"{where}",
        f"it reads the state '{value.state}' of neuron '{value.neuron}', which no NIR node emits",
        "Use its spikes, or reset_mechanism='none' or 'subtract', whose membrane is a node of its own",
    )


def _require_neurons(builder: Builder, model: str) -> None:
    if not builder.taps:
        raise UnfaithfulError(f"model {model}", "it has no spiking neuron", "Export ANNs with spikeport's ONNX export")


def _attribute(module: nn.Module, target: str) -> Any:
    owner, _, name = target.rpartition(".")
    return getattr(module.get_submodule(owner), name)


def _handled() -> str:
    return ", ".join(sorted({t if isinstance(t, str) else t.__name__ for t in functions}))
