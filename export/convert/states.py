"""States that are passed by hand: `spk, mem = lif(cur, mem)` becomes `spk, mem = lif(cur)`.

A snnTorch neuron that is called without its state keeps it itself, from zero at the start of a sample: the same
network, provided that what goes in as a state at one step is what came out of the same neuron at the step before.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass

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
class Carried:
    """How the user's own loop carries states.

    Attributes:
        arguments: forward's arguments, states among them.
        loops: for each argument that is a state, the place among forward's outputs where it comes out.
        kept: the places of the outputs that are no states.
    """

    arguments: tuple[str, ...]
    loops: Mapping[str, int]
    kept: tuple[int, ...]


def returned_states(kind: type[nn.Module]) -> tuple[str, ...]:
    """Return the names of what a neuron returns, if it returns its states."""
    states = kind.states if issubclass(kind, StepCell) else STATES.get(kind, ())
    return ("spk", *(state for state in states if state != "spk"))


def carry_states(graph: fx.Graph, root: nn.Module) -> Carried:
    """Let every neuron below keep its own state; drop the arguments and outputs that carried it.

    Raises:
        UnfaithfulError: a state is computed inside forward, shared, or does not come out again.
    """
    arguments = tuple(str(node.target) for node in graph.nodes if node.op == "placeholder")
    (output,) = (node for node in graph.nodes if node.op == "output")
    several = isinstance(output.args[0], tuple | list)
    returned = list(output.args[0]) if several else [output.args[0]]
    loops: dict[str, int] = {}
    dropped: set[int] = set()
    for call in [node for node in graph.nodes if node.op == "call_module"]:
        for state, source in _states_by_hand(call, root).items():
            place = _place(call, state, source, type(root.get_submodule(str(call.target))), returned)
            loops[str(source.target)] = place
            if state != "spk":
                dropped.add(place)
    kept = tuple(i for i in range(len(returned)) if i not in dropped)
    if not kept:
        raise UnfaithfulError("forward", "it returns states only", "Return the spikes too")
    if loops:
        _cut(graph, root, loops)
        rest = tuple(returned[i] for i in kept)
        output.args = (rest if len(rest) > 1 else rest[0],)
        graph.lint()
    return Carried(arguments, loops, kept)


def _states_by_hand(call: fx.Node, root: nn.Module) -> dict[str, fx.Node]:
    layer = root.get_submodule(str(call.target))
    names = STATES.get(type(layer), ())
    given = dict(zip(names, call.args[1:], strict=False))
    given |= {name: value for name, value in call.kwargs.items() if name in names}
    found = {}
    for state, source in given.items():
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


def _place(call: fx.Node, state: str, source: fx.Node, kind: type[nn.Module], returned: list[object]) -> int:
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
