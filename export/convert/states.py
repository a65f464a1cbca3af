"""States that are passed by hand: `spk, mem = lif(cur, mem)` becomes `spk, mem = lif(cur)`.

A snnTorch neuron that is called without its state keeps it itself, from zero at the start of a sample: the same
network, provided that what goes in as a state at one step is what came out of the same neuron at the step before.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import snntorch
from torch import fx, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.stepping import StepCell

# The states that a neuron's forward takes after its input; it returns the spikes, then the others.
STATES: Mapping[type[nn.Module], tuple[str, ...]] = {
    snntorch.Leaky: ("mem",),
    snntorch.Lapicque: ("mem",),
    snntorch.Synaptic: ("syn", "mem"),
    snntorch.Alpha: ("syn_exc", "syn_inh", "mem"),
    snntorch.RLeaky: ("spk", "mem"),
    snntorch.RSynaptic: ("spk", "syn", "mem"),
    snntorch.SLSTM: ("syn", "mem"),
    snntorch.SConv2dLSTM: ("syn", "mem"),
}


@dataclass(frozen=True)
class State:
    """A state of a neuron: the layer's path, and the state's name."""

    neuron: str
    name: str


@dataclass(frozen=True)
class Carried:
    """How the user's own loop carries states.

    Attributes:
        arguments: forward's arguments, states among them.
        loops: for each argument that is a state, the place among forward's outputs where it comes out.
        kept: the places of the outputs that the traced step returns.
        states: the places of the outputs that it leaves out since they are states, with what they are.
        unnamed: the neurons whose states forward returns inside of an output, and which are left out too.
    """

    arguments: tuple[str, ...]
    loops: Mapping[str, int]
    kept: tuple[int, ...]
    states: Mapping[int, State]
    unnamed: tuple[str, ...] = ()


def returned_states(kind: type[nn.Module]) -> tuple[str, ...]:
    """Return the names of what a neuron returns, if it returns its states."""
    states = kind.states if issubclass(kind, StepCell) else STATES.get(kind, ())
    return ("spk", *(state for state in states if state != "spk"))


def returns_states(layer: nn.Module) -> bool:
    """Return whether a call gives a tuple: a neuron's spikes and states."""
    if isinstance(layer, StepCell):
        return layer.returns_tuple
    return isinstance(layer, snntorch.SpikingNeuron) and bool(layer.output or not layer.init_hidden)


def carry_states(graph: fx.Graph, root: nn.Module, wanted: Collection[int] | None = None) -> Carried:
    """Let every neuron below keep its own state; drop the arguments that carried it, and the outputs that handed it on.

    A state that forward returns is an output still where it stands in front of everything else, or is the membrane of a
    neuron that is read out by it: one without reset, or on which no other output depends.

    Args:
        graph: the traced forward.
        root: its layers.
        wanted: the places of the outputs that anybody reads, by default all.

    Raises:
        UnfaithfulError: a state is computed inside forward, shared, or does not come out again.
    """
    arguments = tuple(str(node.target) for node in graph.nodes if node.op == "placeholder")
    (output,) = (node for node in graph.nodes if node.op == "output")
    value: Any = output.args[0]
    alone = not isinstance(value, tuple | list)
    tuples = [node for node in ([value] if alone else value) if _is_tuple(node, root)]
    returned = _unpacked(graph, root, output)
    handed_on: dict[int, State] = {}
    if alone:
        names = returned_states(type(root.get_submodule(str(tuples[0].target)))) if tuples else ()
        handed_on = {i: State(str(tuples[0].target), names[i]) for i in range(1, len(names))}
    loops: dict[str, int] = {}
    for call in [node for node in graph.nodes if node.op == "call_module"]:
        kind = type(root.get_submodule(str(call.target)))
        for state, source in _states_by_hand(call, root).items():
            place = _place(call, state, source, kind, returned)
            loops[str(source.target)] = place
            if state != "spk":
                handed_on[place] = State(str(call.target), state)
    first = min((i for i in range(len(returned)) if i not in handed_on), default=len(returned))
    read_out = _read_out(root, returned, handed_on)
    states = {i: s for i, s in handed_on.items() if i > first and i not in read_out}
    kept = tuple(i for i in range(len(returned)) if i not in states and (wanted is None or i in wanted))
    rest = tuple(returned[i] for i in kept)
    one = len(kept) == 1 and (len(returned) > 1 or alone)
    output.args = (rest[0] if one else rest,)
    _cut(graph, root, loops)
    graph.lint()
    return Carried(arguments, loops, kept, states, () if alone else tuple(str(node.target) for node in tuples))


def _unpacked(graph: fx.Graph, root: nn.Module, output: fx.Node) -> list[Any]:
    """Return what forward returns: of a neuron's tuple its parts if it is all, and else its spikes."""
    value: Any = output.args[0]
    if not isinstance(value, tuple | list):
        if not _is_tuple(value, root):
            return [value]
        places = range(len(returned_states(type(root.get_submodule(str(value.target))))))
        with graph.inserting_before(output):
            return [graph.call_function(operator.getitem, (value, i)) for i in places]
    with graph.inserting_before(output):
        return [graph.call_function(operator.getitem, (n, 0)) if _is_tuple(n, root) else n for n in value]


def _is_tuple(node: Any, root: nn.Module) -> bool:
    is_call = isinstance(node, fx.Node) and node.op == "call_module"
    return is_call and returns_states(root.get_submodule(str(node.target)))


def _read_out(root: nn.Module, returned: list[Any], handed_on: Mapping[int, State]) -> set[int]:
    """Return the places of the membranes by which a neuron is read out."""
    alive: set[fx.Node] = set()
    for i, value in enumerate(returned):
        if i not in handed_on:
            _reach(value, alive)
    places = set()
    membranes = [i for i, state in handed_on.items() if state.name == "mem"]
    for i in sorted(membranes, key=lambda i: returned[i], reverse=True):
        resets = getattr(root.get_submodule(handed_on[i].neuron), "reset_mechanism", "")
        if resets == "none" or returned[i].args[0] not in alive:
            places.add(i)
            _reach(returned[i], alive)
    return places


def _reach(value: Any, alive: set[fx.Node]) -> None:
    """Add what `value` depends on."""
    waiting = [value] if isinstance(value, fx.Node) else []
    while waiting:
        node = waiting.pop()
        if node not in alive:
            alive.add(node)
            waiting += node.all_input_nodes


def handed_states(call: fx.Node, root: nn.Module) -> dict[str, Any]:
    """Return what a call hands its neuron as states, by name."""
    names = STATES.get(type(root.get_submodule(str(call.target))), ())
    given = dict(zip(names, call.args[1:], strict=False))
    return given | {name: value for name, value in call.kwargs.items() if name in names}


def _states_by_hand(call: fx.Node, root: nn.Module) -> dict[str, fx.Node]:
    found = {}
    for state, source in handed_states(call, root).items():
        if source is None:
            continue
        if _loops_over_time(call):
            raise UnfaithfulError(
                f"neuron '{call.target}'",
                f"its state '{state}' goes from one of its calls to the next: forward runs several time steps",
                "Export one time step: move the loop over time out of forward",
            )
        if not isinstance(source, fx.Node) or source.op != "placeholder" or len(source.users) != 1:
            raise UnfaithfulError(
                f"neuron '{call.target}'",
                f"its state '{state}' is computed in forward, or read elsewhere too",
                "Pass it straight from forward's argument, or build the neuron with init_hidden=True",
            )
        found[state] = source
    return found


def _loops_over_time(call: fx.Node) -> bool:
    """Return whether what a call of this neuron returns goes into another call of it."""
    calls = [n for n in call.graph.nodes if n.op == "call_module" and n.target == call.target]
    read = {source for other in calls for given in other.all_input_nodes for source in given.all_input_nodes}
    return bool(read & set(calls))


def _place(call: fx.Node, state: str, source: fx.Node, kind: type[nn.Module], returned: list[Any]) -> int:
    """Return where among forward's outputs the state comes out."""
    index = returned_states(kind).index(state)
    for i, value in enumerate(returned):
        if isinstance(value, fx.Node) and value.target is operator.getitem and value.args == (call, index):
            return i
    raise UnfaithfulError(
        f"neuron '{call.target}'",
        f"its state goes in as '{source.target}' and does not come out again",
        f"Return the neuron's new '{state}' from forward, or build it with init_hidden=True",
    )


def _cut(graph: fx.Graph, root: nn.Module, loops: Mapping[str, int]) -> None:
    for call in [node for node in graph.nodes if node.op == "call_module"]:
        names = STATES.get(type(root.get_submodule(str(call.target))))
        if names:
            call.args = call.args[:1]
            call.kwargs = {k: v for k, v in call.kwargs.items() if k not in names}
    for node in [node for node in graph.nodes if node.op == "placeholder"]:
        if str(node.target) in loops:
            graph.erase_node(node)
