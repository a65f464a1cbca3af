"""Recording what a forward calls while it runs for real: sizes, loops and containers are Python's own.

Only what depends on the sample is recorded; any other tensor is a constant. Layers and neurons are recorded whole.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import GetSetDescriptorType
from typing import Any
from unittest.mock import patch

import snntorch
import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from spikeport.errors import UnfaithfulError
from spikeport.export.author import tensors
from spikeport.export.convert.private import STATE_BUFFERS, STATEFUL

WHOLE = (*STATEFUL, snntorch.GradedSpikes)
READS = ("__bool__", "__int__", "__float__", "__index__", "__array__", "__contains__", "item", "tolist", "numpy")
CONSTANTS = ("zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_full", "new_empty")
OPERATORS: Mapping[str, tuple[Any, bool]] = {
    "__getitem__": (operator.getitem, False),
    "__rsub__": (operator.sub, True),
    "__rdiv__": (operator.truediv, True),
    "__rtruediv__": (operator.truediv, True),
    "__rpow__": (operator.pow, True),
    "__rmatmul__": (operator.matmul, True),
    "add": (operator.add, False),
    "sub": (operator.sub, False),
    "mul": (operator.mul, False),
    "div": (operator.truediv, False),
    "matmul": (operator.matmul, False),
    "neg": (operator.neg, False),
    "gt": (operator.gt, False),
    "lt": (operator.lt, False),
    "ge": (operator.ge, False),
    "le": (operator.le, False),
}


class Recorder(TorchFunctionMode):
    """Records one run of a module as an `fx.Graph`, with every loop unrolled.

    Attributes:
        root: the module.
        graph: its calls in order; a constant is read as a buffer `_constant_<i>` of the root.
        constants: those buffers, which the root does not have yet.
        values: the tensor of each node, as it was made.
        renewed: the neurons whose hidden state is not what their last call left, with the number of that call.
    """

    def __init__(self, root: nn.Module) -> None:
        super().__init__()
        self.root = root
        self.graph = fx.Graph()
        self.values: dict[fx.Node, Any] = {}
        self.renewed: dict[str, int] = {}
        self.constants: dict[str, Tensor] = {}
        self._nodes: dict[int, Callable[[], fx.Node]] = {}
        self._kept: list[Any] = []
        self._fixed: dict[int, fx.Node] = {}
        self._paths = {id(module): path for path, module in root.named_modules()}
        weights = [*root.named_parameters(), *root.named_buffers()]
        self._weights = {id(x): name for name, x in weights if name.rpartition(".")[2] not in STATE_BUFFERS}
        self._left: dict[str, dict[str, Any]] = {}
        self._calls: dict[str, int] = {}
        self._inside = False

    def record(self, sample: Mapping[str, Tensor]) -> Any:
        """Run the module; return what it returns, with nodes in the place of tensors.

        Raises:
            UnfaithfulError: forward reads a value that depends on the sample.
        """
        for name, x in sample.items():
            self._enter(self.graph.placeholder(name), x)
        call = nn.Module.__call__

        def called(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self._inside or module is self.root or not self._is_whole(module):
                return call(module, *args, **kwargs)
            return self._layer(call, module, args, kwargs)

        with torch.no_grad(), patch.object(nn.Module, "__call__", called), self:
            returned = self.root(**sample)
        return self._mapped(returned)

    def is_neuron(self, node: fx.Node) -> bool:
        """Return whether a call is a neuron's."""
        return node.op == "call_module" and isinstance(self.root.get_submodule(str(node.target)), STATEFUL)

    def any_batch(self, call: fx.Node, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments of a call anew, so that a reshape that names the batch takes any."""
        sizes = args[1] if len(args) == 2 and isinstance(args[1], tuple | list) else args[1:]
        if call.target in ("view", "reshape") and sizes and all(type(size) is int for size in sizes):
            source: Any = call.args[0]
            shape = self.values[call].shape
            if len(self.values[source]) == shape[0]:
                return (args[0], -1, *shape[1:])
        return args

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a torch function, and record it where it computes on what depends on the sample."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        if self._inside or not self._depends((args, kwargs)):
            return func(*args, **kwargs)
        if name in READS:
            raise UnfaithfulError(
                f"call to '{name}' in forward",
                "it reads a value that depends on the sample, so that another sample may take another way",
                "Keep control flow on values, and what leaves torch, out of forward",
            )
        if name == "__iter__":
            return iter(args[0].unbind(0))
        given = self._mapped((args, kwargs))
        value = func(*args, **kwargs)
        if name in CONSTANTS:
            return value
        if name == "__setitem__":
            self._enter(self.graph.call_function(operator.setitem, given[0]), args[0])
            return value
        if tensors(value):
            self._enter(self._node(func, name, *given), value)
        return value

    def _node(self, func: Any, name: str, args: Any, kwargs: Any) -> fx.Node:
        owner = getattr(func, "__self__", None)
        if name == "__get__" and isinstance(owner, GetSetDescriptorType):
            known = {"data": ("detach", ()), "T": ("t", ()), "mT": ("transpose", (-2, -1))}
            method, more = known.get(owner.__name__, (owner.__name__, ()))
            return self.graph.call_method(method, (*args[:1], *more))
        if getattr(Tensor, name, None) is not func:
            return self.graph.call_function(func, args, kwargs)
        if name in OPERATORS and not kwargs:
            target, swapped = OPERATORS[name]
            return self.graph.call_function(target, args[::-1] if swapped else args)
        return self.graph.call_method(name, args, kwargs)

    def _layer(self, call: Any, module: nn.Module, args: Any, kwargs: Any) -> Any:
        path = self._paths.get(id(module))
        if path is None:
            raise UnfaithfulError(
                f"layer {type(module).__name__}",
                "it stands in a plain list or a closure, which torch does not see: it neither trains nor saves it",
                "Use nn.ModuleList, or an attribute of the model",
            )
        if isinstance(module, STATEFUL):
            self._watch(path, module)
        given = self._mapped((args, kwargs))
        self._inside = True
        try:
            value = call(module, *args, **kwargs)
        finally:
            self._inside = False
        self._enter(self.graph.call_module(path, *given), value)
        if isinstance(module, STATEFUL):
            self._left[path] = {name: getattr(module, name, None) for name in STATE_BUFFERS}
            self._kept.append(self._left[path])
            self._calls[path] = self._calls.get(path, 0) + 1
        return value

    def _watch(self, path: str, module: nn.Module) -> None:
        left = self._left.get(path, {})
        if any(getattr(module, name, None) is not value for name, value in left.items()):
            self.renewed[path] = self._calls[path]

    def _is_whole(self, module: nn.Module) -> bool:
        own = module.__module__.startswith(("torch.nn", "torch.ao.nn")) and not isinstance(module, nn.Sequential)
        return isinstance(module, WHOLE) or own

    def _enter(self, node: fx.Node, value: Any) -> None:
        self.values[node] = value
        self._kept.append(value)
        if isinstance(value, Tensor):
            self._nodes[id(value)] = lambda: node
        elif isinstance(value, tuple | list):
            for i, part in enumerate(value):
                if isinstance(part, Tensor):
                    self._nodes[id(part)] = item = self._item(node, i, part)
                    if node.op == "call_module":  # a part of a window is one of the step that reads it
                        item()

    def _item(self, node: fx.Node, i: int, part: Tensor) -> Callable[[], fx.Node]:
        made: list[fx.Node] = []

        def item() -> fx.Node:
            if not made:
                made.append(self.graph.call_function(operator.getitem, (node, i)))
                self.values[made[0]] = part
            return made[0]

        return item

    def _depends(self, value: Any) -> bool:
        return any(id(x) in self._nodes for x in tensors(value))

    def _mapped(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._mapped(part) for key, part in value.items()}
        if isinstance(value, tuple | list):
            parts = [self._mapped(part) for part in value]
            return tuple(parts) if isinstance(value, tuple) else parts
        if not isinstance(value, Tensor):
            return value
        if id(value) in self._nodes:
            return self._nodes[id(value)]()
        return self._constant(value)

    def _constant(self, value: Tensor) -> fx.Node:
        if id(value) not in self._fixed:
            name = self._weights.get(id(value))
            if name is None:
                name = f"_constant_{len(self._fixed)}"
                self.constants[name] = value.detach().clone()
            self._fixed[id(value)] = self.graph.get_attr(name)
            self.values[self._fixed[id(value)]] = value.detach().clone()
            self._kept.append(value)
        return self._fixed[id(value)]
