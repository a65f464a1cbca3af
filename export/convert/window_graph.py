"""From the traced forward of a whole window to the graph of one step.

A value of the window is `[T, B, *shape]`, or, between `flatten(0, 1)` and `unflatten`, `[T * B, *shape]`; in the step
both are `[B, *shape]`. A call stays if it acts on every step by itself, and is refused otherwise.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from spikeport.errors import UnfaithfulError
from spikeport.export.convert.functions import target_name
from spikeport.export.convert.stepping import StepCell
from spikeport.export.shapes import Shape

Form = Literal["window", "merged"]

PER_STEP_LAYERS = (nn.Linear, nn.Identity, nn.Dropout, nn.AlphaDropout)
# On [T * B, *shape] these act on every step and sample by itself, in evaluation.
PER_SAMPLE_LAYERS = (
    *(nn.Conv1d, nn.Conv2d, nn.AvgPool2d, nn.MaxPool2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout1d, nn.Dropout2d),
    nn.Flatten,
)
SUMS = ("add", "add_", "iadd", "sub", "sub_", "isub", "neg")
PRODUCTS = ("mul", "mul_", "imul", "multiply", "div", "div_", "truediv", "itruediv")
ELEMENTWISE = (*SUMS, *PRODUCTS)
RESHAPES = ("view", "reshape", "flatten", "unflatten")
SIZES = ("size", "shape", "getattr")


@dataclass
class StepGraph:
    """The step under construction.

    Attributes:
        graph: of one step.
        modules: what its calls call.
        neurons: for each window neuron's call in the step graph, its name in the model and which of its calls it is.
    """

    graph: fx.Graph = field(default_factory=fx.Graph)
    modules: dict[str, Any] = field(default_factory=dict)
    neurons: dict[str, tuple[str, int]] = field(default_factory=dict)


def step_graph(
    window: fx.GraphModule,
    shapes: Mapping[fx.Node, Shape | None],
    leading: tuple[int, int],
    cell: Callable[[fx.Node], StepCell | None],
) -> StepGraph:
    """Rewrite `window`, traced on `leading` = (T, B), into one step.

    Args:
        window: the traced forward.
        shapes: of every value, with its leading axes; `None` for what is no tensor.
        leading: T and B of the trace, B at least 2 so that T and T B differ.
        cell: the step form of what a call calls, `None` where it is no window neuron.

    Raises:
        UnfaithfulError: a call joins time steps, or may.
    """
    return _Rewriter(window, shapes, leading, cell).run()


class _Rewriter:
    def __init__(
        self,
        window: fx.GraphModule,
        shapes: Mapping[fx.Node, Shape | None],
        leading: tuple[int, int],
        cell: Callable[[fx.Node], StepCell | None],
    ) -> None:
        self.window, self.shapes, self.leading, self.cell = window, shapes, leading, cell
        self.made = StepGraph()
        self.new: dict[fx.Node, fx.Node] = {}
        self.forms: dict[fx.Node, Form] = {}
        self.constants: set[fx.Node] = set()

    def run(self) -> StepGraph:
        """Rewrite call by call."""
        for node in self.window.graph.nodes:
            if node.op == "placeholder":
                self._keep(node, "window")
            elif node.op == "output":
                self._output(node)
            elif node.op == "get_attr":
                self.constants.add(node)
                self._keep(node, "window")
                self.made.modules[str(node.target)] = _attribute(self.window, str(node.target))
            elif node.op == "call_module":
                self._layer(node)
            else:
                self._call(node)
        self.made.graph.lint()
        return self.made

    def _keep(self, node: fx.Node, form: Form) -> fx.Node:
        self.new[node] = self.made.graph.node_copy(node, lambda n: self.new[n])
        self.forms[node] = form
        return self.new[node]

    def _output(self, node: fx.Node) -> None:
        returned = node.args[0] if isinstance(node.args[0], tuple | list) else (node.args[0],)
        for i, value in enumerate(returned):
            shape = self.shapes.get(value) if isinstance(value, fx.Node) else None
            if value not in self.new or self.forms[value] != "window" or shape is None:
                raise UnfaithfulError(
                    f"output {i}",
                    "it is not one value for every step, [T, B, *shape]",
                    "Return the spikes of all steps",
                )
        self._keep(node, "window")

    def _layer(self, node: fx.Node) -> None:
        source = self._source(node)
        form = self.forms[source]
        cell = self.cell(node)
        if cell is not None:
            self._neuron(node, cell, form)
            return
        layer = self.window.get_submodule(str(node.target))
        flattens = isinstance(layer, nn.Flatten)
        if flattens and (form == "window" or layer.start_dim == 0):
            self._reshape(node, source)
            return
        allowed = PER_STEP_LAYERS if form == "window" else (*PER_STEP_LAYERS, *PER_SAMPLE_LAYERS)
        if not isinstance(layer, allowed):
            raise UnfaithfulError(
                f"layer '{node.target}' ({type(layer).__name__}) on {self._words(source)}",
                "it may join time steps there",
                "Apply it between x.flatten(0, 1) and x.unflatten(0, (T, B)), if it is a convolution, pooling or "
                "normalisation; use one network per step, of snntorch.Leaky, for anything else",
            )
        self.made.modules[str(node.target)] = layer
        self._keep(node, form)

    def _neuron(self, node: fx.Node, cell: StepCell, form: Form) -> None:
        """A window neuron starts from zero at each call, so every call is a neuron of its own."""
        if form != "window":
            raise UnfaithfulError(
                f"neuron '{node.target}'",
                "it is fed with steps and samples merged, which it takes for one long window",
                "Unflatten to [T, B, *shape] first",
            )
        calls = sum(path == node.target for path, _ in self.made.neurons.values())
        target = f"{node.target}_call_{calls + 1}" if calls else str(node.target)
        self.made.neurons[target] = (str(node.target), calls)
        self.made.modules[target] = cell
        self._keep(node, "window").target = target

    def _call(self, node: fx.Node) -> None:
        name = target_name(node)
        sources = [n for n in node.all_input_nodes if n in self.new]
        if name in SIZES or not sources:
            return  # a size, or arithmetic on sizes: only a reshape may read it, which is made anew
        if name in RESHAPES:
            self._reshape(node, sources[0])
        elif name == "getitem" and isinstance(node.args[0], fx.Node) and self._is_tuple(node.args[0]):
            self._keep(node, "window")
        elif name in ELEMENTWISE or node.target in (F.dropout, torch.dropout):
            self._elementwise(node)
        else:
            raise UnfaithfulError(
                f"call '{node.name}' to {name}",
                "it joins time steps, or may",
                "Return the spikes [T, B, *shape] and count, slice or sum them outside of forward; inside, Linear, "
                "sums, products with constants, reshapes and whole-sample layers on x.flatten(0, 1) are per step",
            )

    def _is_tuple(self, node: fx.Node) -> bool:
        made = self.made.modules.get(str(self.new[node].target)) if node in self.new else None
        return isinstance(made, StepCell) and made.returns_tuple

    def _elementwise(self, node: fx.Node) -> None:
        for read in node.all_input_nodes:
            if read not in self.new:
                raise UnfaithfulError(
                    f"call '{node.name}' to {target_name(node)}",
                    "it computes with the number of steps or samples, which one step does not know",
                    "Use a constant",
                )
        operands = [n for n in node.args if isinstance(n, fx.Node) and n not in self.constants]
        if target_name(node) in PRODUCTS and len(operands) > 1:
            raise UnfaithfulError(
                f"call '{node.name}' to {target_name(node)}",
                "it multiplies two signals, which no NIR node does, and a network of window neurons has no host stages",
                "Multiply by constants, or write the network step by step with snntorch.Leaky",
            )
        signals = [n for n in node.all_input_nodes if n not in self.constants]
        forms = {self.forms[n] for n in signals}
        shapes = {self.shapes[n] for n in signals}
        if len(forms) != 1 or len(shapes) != 1:
            raise UnfaithfulError(
                f"call '{node.name}' to {target_name(node)}",
                f"it joins values of shapes {sorted(map(str, shapes))}",
                "Bring them to one shape first",
            )
        (form,) = forms
        axes = 2 if form == "window" else 1
        for constant in self.constants & set(node.all_input_nodes):
            if len(self.shapes[constant] or ()) > len(self.shapes[signals[0]] or ()) - axes:
                raise UnfaithfulError(
                    f"constant '{constant.target}' of shape {self.shapes[constant]}",
                    "it has an axis of time or samples, and a step is the same at every time",
                    "Drop its leading axes",
                )
        self._keep(node, form)

    def _reshape(self, node: fx.Node, source: fx.Node) -> None:
        """Reshapes keep the order of elements, so that the leading axes of the result tell what it does to a step."""
        before, after = self.shapes[source], self.shapes[node]
        assert before is not None
        assert after is not None
        timesteps, batch = self.leading
        if after[:2] == (timesteps, batch):
            form: Form = "window"
            inner = after[2:]
        elif after[0] == timesteps * batch:
            form, inner = "merged", after[1:]
        else:
            raise UnfaithfulError(
                f"'{node.name}'",
                f"it reshapes {self._words(source)} to {after}, whose first axes are neither T, B nor T * B",
                "Keep [T, B, ...], or merge both with x.flatten(0, 1)",
            )
        value = self.new[source]
        if inner != before[2 if self.forms[source] == "window" else 1 :]:
            value = self._reshape_step(value, inner)
        self.new[node], self.forms[node] = value, form

    def _reshape_step(self, value: fx.Node, inner: Shape) -> fx.Node:
        graph = self.made.graph
        if len(inner) == 1:
            return graph.call_function(torch.flatten, (value, 1))
        return graph.call_method("reshape", (value, -1, *inner))

    def _source(self, node: fx.Node) -> fx.Node:
        read = node.all_input_nodes
        if len(read) != 1 or read[0] not in self.new:
            raise UnfaithfulError(
                f"layer '{node.target}'", f"it is called with {len(read)} values", "Call it with one tensor"
            )
        return read[0]

    def _words(self, source: fx.Node) -> str:
        axes = "[T, B, *]" if self.forms[source] == "window" else "[T * B, *]"
        return f"{axes} = {self.shapes[source]}"


def _attribute(module: nn.Module, target: str) -> Tensor:
    owner, _, name = target.rpartition(".")
    value: Tensor = getattr(module.get_submodule(owner), name)
    return value


def may_be_negative(node: fx.Node, window: fx.GraphModule, is_neuron: Callable[[fx.Node], bool]) -> fx.Node | None:
    """Return where the value of `node` comes from if it is a sum, a layer or the like, `None` if from spikes.

    A forward argument comes back as its placeholder: what it holds is the caller's to know.
    """
    if node.op == "call_module" and is_neuron(node):
        return None
    if node.target is operator.getitem and node.args[1] == 0 and is_neuron(node.all_input_nodes[0]):
        return None
    passes = node.op == "call_module" and isinstance(
        window.get_submodule(str(node.target)), (nn.Identity, nn.Dropout, nn.Flatten, nn.AvgPool2d, nn.MaxPool2d)
    )
    if passes or target_name(node) in RESHAPES:
        return may_be_negative(node.all_input_nodes[0], window, is_neuron)
    return node
