"""What forward changes: a value in place, or a buffer. Neither is a call on values, so both are refused by name."""

from __future__ import annotations

from torch import fx, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.functions import target_name

IN_PLACE_OPERATORS = ("iadd", "isub", "imul", "itruediv", "setitem")
# What these return may share memory with what they take.
VIEWS = ("view", "reshape", "flatten", "detach", "contiguous", "float", "transpose", "permute", "squeeze", "unsqueeze")
STATE_FIX = "Keep all state in neurons; or take it as an argument, return the new one, and name it in feedback="


def changes_in_place(node: fx.Node) -> bool:
    """Return whether a call changes its first argument."""
    name = target_name(node)
    method = node.op == "call_method" and name.endswith("_") and not name.endswith("__")
    return method or (node.op == "call_function" and (name in IN_PLACE_OPERATORS or name.endswith("_")))


def refuse_changes(graph: fx.Graph, root: nn.Module) -> None:
    """Refuse a traced forward that changes a buffer, an argument, or a value that is read elsewhere too.

    Raises:
        UnfaithfulError: naming the buffer, or the call.
    """
    for path, module in root.named_modules():
        for name, value in module._buffers.items():
            if isinstance(value, fx.Proxy):
                where = f"{path}.{name}" if path else name
                raise UnfaithfulError(f"buffer '{where}'", "forward gives it a new value in every step", STATE_FIX)
    for node in graph.nodes:
        if node.op in ("call_function", "call_method") and changes_in_place(node) and node.all_input_nodes:
            _refuse_change(node, node.all_input_nodes[0])


def _refuse_change(node: fx.Node, changed: fx.Node) -> None:
    call = f"call '{node.name}' to {target_name(node)}"
    while True:
        if changed.op == "get_attr":
            raise UnfaithfulError(call, f"it changes '{changed.target}', which lives from step to step", STATE_FIX)
        if len(changed.users) > 1 or changed.op == "placeholder":
            reason = f"it changes '{changed.name}' in place, which is read elsewhere too"
            raise UnfaithfulError(call, reason, "Use the form that makes a new tensor")
        if target_name(changed) not in VIEWS:
            return
        changed = changed.all_input_nodes[0]
