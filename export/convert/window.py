"""Networks of window neurons, whose forward takes all T time steps at once: rewritten into a network of one step.

The step goes the usual way; the recording against which it is audited is the window network's own.
Shapes: T time, B batch, `*` the value's own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from spikeport.errors import SpikeportError, UnfaithfulError, UsageError
from spikeport.export.author import author_run
from spikeport.export.convert.bntt import refuse_unshared_norms
from spikeport.export.convert.cells import LeakyCell
from spikeport.export.convert.changes import ChangeTracer
from spikeport.export.convert.firing import require_strict_firing
from spikeport.export.convert.layers import array
from spikeport.export.convert.private import STATEFUL, check_weights, private_copy
from spikeport.export.convert.window_graph import may_be_negative, step_graph
from spikeport.export.convert.window_neurons import WINDOW_NEURONS, WITHOUT_STEP_FORM, WindowNeuron, rectification
from spikeport.export.graph import SPIKING
from spikeport.export.recording import FLOAT32, FLOAT64, Recording, Values
from spikeport.export.shapes import Shape

if TYPE_CHECKING:
    from spikeport.export.convert import Conversion

KINDS = tuple(WINDOW_NEURONS)


@dataclass(frozen=True)
class WindowModel:
    """A network of window neurons.

    Attributes:
        step: the same network, one step at a time, with the same arguments.
        original: the network itself, the author's.
        neurons: for each neuron's call in `step`, its name in `original` and which of its calls it is.
        inflation: by how much the rounding of the window forms exceeds a recurrence's.
        inputs: the names of the inputs, in the order of forward's arguments.
    """

    step: fx.GraphModule
    original: nn.Module
    neurons: Mapping[str, tuple[str, int]]
    inflation: float
    inputs: tuple[str, ...]

    def record(self, conversion: Conversion, sample_TB: Mapping[str, Tensor]) -> Recording:
        """Run the author's window network over a sample, and record every node of its converted step.

        The recording's unit roundoff is that of the network's precision times `inflation`.

        Raises:
            UnfaithfulError: see `author_run`.
        """
        returned, seen = author_run(self.original, partial(self._run, sample_TB))
        calls = {n.name: self.neurons.get(str(n.target)) for n in conversion.trace.module.graph.nodes}
        nodes: dict[str, Values] = {}
        for name, tap in conversion.taps.items():
            call = calls[tap.fx_node]
            assert call is not None
            value = seen.values[call]["mem" if tap.read == "mem" else "spk"].numpy()
            nodes[name] = (value != 0).astype(np.uint8) if isinstance(conversion.graph.nodes[name], SPIKING) else value
        results = returned if isinstance(returned, tuple | list) else (returned,)
        nodes |= {name: result.numpy() for name, result in zip(conversion.outputs, results, strict=True)}
        timesteps = len(sample_TB[self.inputs[0]])
        return Recording(nodes, dict.fromkeys(nodes, 0), timesteps, self.inflation * _roundoff(self.original))

    def _run(self, sample_TB: Mapping[str, Tensor], module: nn.Module) -> tuple[Any, _Seen]:
        seen = _Seen(module, {path for path, _ in self.neurons.values()})
        returned = module(*[sample_TB[n].clone() for n in self.inputs])
        seen.stop()
        return returned, seen


class _Seen:
    """What the window neurons emit while the network runs: for each call, its spikes `spk` and membrane `mem`."""

    def __init__(self, model: nn.Module, paths: set[str]) -> None:
        self.values: dict[tuple[str, int], dict[str, Tensor]] = {}
        self.counts = dict.fromkeys(paths, 0)
        self.handles = []
        for path in paths:
            neuron: Any = model.get_submodule(path)
            if hasattr(neuron, "rnn"):
                self.handles.append(neuron.rnn.register_forward_hook(self._membrane_of(path)))
            self.handles.append(neuron.register_forward_hook(self._result_of(path)))

    def stop(self) -> None:
        """Take the hooks out."""
        for handle in self.handles:
            handle.remove()

    def _membrane_of(self, path: str) -> Any:
        def keep(module: nn.Module, args: Any, result: Any) -> None:
            self.values[path, self.counts[path]] = {"mem": result[0].clone()}

        return keep

    def _result_of(self, path: str) -> Any:
        def keep(module: nn.Module, args: Any, result: Any) -> None:
            both = isinstance(result, tuple)
            result = tuple(x.clone() for x in result) if both else result.clone()
            kept = self.values.setdefault((path, self.counts[path]), {})
            kept |= {"spk": result[0], "mem": result[1]} if both else {"spk": result, "mem": kept.get("mem", result)}
            self.counts[path] += 1

        return keep


def window_model(
    model: nn.Module, sample_TB: Mapping[str, Tensor], names: tuple[str, ...] | None = None
) -> WindowModel | None:
    """Return the step form of a network of window neurons, `None` where it has none.

    Args:
        model: `forward(*inputs_TB) -> output_TB` or a tuple of outputs; left untouched.
        sample_TB: inputs [T, B, *shape] by forward's argument names.
        names: what to call forward's arguments, where not as in the code.

    Raises:
        UnfaithfulError: a neuron has no step form, or a call joins time steps.
        UsageError: the sample does not fit.
    """
    if not any(isinstance(module, KINDS) for module in model.modules()):
        return None
    private = private_copy(model)
    check_weights(private)
    for name, layer in private.named_modules():
        if type(layer) in WITHOUT_STEP_FORM:
            WINDOW_NEURONS[type(layer)](name, layer, 0)  # before its forward is tried, which may fail for less
    window = _traced(private)
    inputs = names or tuple(str(n.target) for n in window.graph.nodes if n.op == "placeholder")
    if set(inputs) != set(sample_TB):
        raise UsageError(f"sample {sorted(sample_TB)}", f"forward takes {list(inputs)}", "Give one tensor for each")
    placeholders = [n.target for n in window.graph.nodes if n.op == "placeholder"]
    given = {str(target): sample_TB[name] for target, name in zip(placeholders, inputs, strict=True)}
    probe = [_two_samples(x) for x in given.values()]
    shapes = _shapes(window, probe)
    cells = _Cells(window, given)
    made = step_graph(window, shapes, (len(probe[0]), probe[0].shape[1]), cells)
    step = fx.GraphModule(made.modules, made.graph, class_name=type(model).__name__)
    return WindowModel(step, model, made.neurons, cells.inflation, inputs)


class _Tracer(ChangeTracer):
    """Keeps all of snnTorch's neurons whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*KINDS, *STATEFUL)) or super().is_leaf_module(m, module_qualified_name)


def _traced(model: nn.Module) -> fx.GraphModule:
    tracer = _Tracer()
    try:
        graph = tracer.trace(model)
    except SpikeportError:
        raise
    except Exception as error:  # whatever the user's forward does with a stand-in for a tensor
        refuse_unshared_norms(model, set())
        raise UnfaithfulError(
            f"model {type(model).__name__}",
            f"its forward, which takes whole windows, cannot be traced ({error})",
            "Keep loops over time, slices of it and control flow on values out of a network of window neurons",
        ) from error
    return fx.GraphModule(tracer.root, graph)


def _two_samples(x_TB: Tensor) -> Tensor:
    """Return at least two samples, so that the shapes [T, ...] and [T * B, ...] differ."""
    return x_TB.clone() if x_TB.shape[1] > 1 else torch.cat((x_TB, x_TB), dim=1)


class _Shapes(fx.Interpreter):
    """Runs the window once and remembers the shape of every value; of a neuron's results, the first's."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, Shape | None] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        first = value[0] if isinstance(value, tuple) and value else value
        self.shapes[n] = tuple(first.shape) if isinstance(first, Tensor) else None
        return value


def _shapes(window: fx.GraphModule, probe: list[Tensor]) -> dict[fx.Node, Shape | None]:
    runner = _Shapes(window)
    try:
        with torch.no_grad():
            runner.run(*probe)
    except (RuntimeError, IndexError, ValueError, TypeError, AssertionError) as error:
        raise UsageError(
            f"sample of shapes {[tuple(x.shape) for x in probe]}",
            f"the network fails on it ({str(error).partition(chr(10))[0]})",
            "Give the sample as [T, B, *shape], with sizes that forward takes from its input, or mend the model",
        ) from error
    return runner.shapes


class _Cells:
    """Makes the step form of each call to a neuron."""

    def __init__(self, window: fx.GraphModule, given: Mapping[str, Tensor]) -> None:
        self.window = window
        self.given = given
        self.timesteps = len(next(iter(given.values())))
        self.inflation = 1.0

    def __call__(self, node: fx.Node) -> LeakyCell | None:
        """Return the cell, `None` where the call is no neuron's."""
        layer = self.window.get_submodule(str(node.target))
        if not isinstance(layer, (*KINDS, *STATEFUL)):
            return None
        name, kind = str(node.target), type(layer)
        if kind not in WINDOW_NEURONS:
            raise UnfaithfulError(
                f"neuron '{name}' ({kind.__name__})",
                "it takes one step at a time, and stands in a network whose forward takes all of them",
                "Use window neurons only (StateLeaky, LinearLeaky), or step neurons only (Leaky)",
            )
        require_strict_firing(name, layer)
        neuron = WINDOW_NEURONS[kind](name, layer, self.timesteps)
        if neuron.rectified:
            neuron = self._input_of_at_least_0(name, node, neuron)
        self.inflation = max(self.inflation, neuron.inflation)
        return LeakyCell(neuron.recurrence)

    def _input_of_at_least_0(self, name: str, node: fx.Node, neuron: WindowNeuron) -> WindowNeuron:
        source = may_be_negative(node.all_input_nodes[0], self.window, self._spikes_of_at_least_0)
        if source is None:
            return neuron
        if source.op != "placeholder":
            raise rectification(name, f"its input '{source.name}' may be below 0 and so")
        lowest = float(self.given[str(source.target)].min())
        if lowest < 0:
            raise rectification(name, f"its input '{source.target}' has {lowest:.4g}, so that it can")
        note = (f"input '{source.target}' is taken to be at least 0, as in the sample", "exact for such inputs")
        return replace(neuron, recurrence=replace(neuron.recurrence, notes=(*neuron.recurrence.notes, note)))

    def _spikes_of_at_least_0(self, node: fx.Node) -> bool:
        layer: Any = self.window.get_submodule(str(node.target))
        emits = isinstance(layer, KINDS) and getattr(layer, "output", True)
        return bool(emits and (array(layer.graded_spikes_factor) >= 0).all())


def _roundoff(model: nn.Module) -> float:
    kinds = {x.dtype for x in (*model.parameters(), *model.buffers()) if x.is_floating_point()}
    return FLOAT64 if kinds == {torch.float64} else FLOAT32
