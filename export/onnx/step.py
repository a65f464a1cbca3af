"""The whole spiking network as one ONNX graph that computes one time step, its state going in and out.

Inputs: every input node by its name, and `state_in/<node>/<part>`; outputs: every output node by its name,
`state_out/<node>/<part>`, and `spikes/<node>` of every spiking node. All are [B, *shape]; a sample starts with all
states 0, and each step's `state_out` is the next step's `state_in`. The parts: `v` a membrane, `i` a current, `line`
a delay's values [B, n, *shape], oldest first, `register` the output of the step before. `state_in/started` [B], where
there is one, is 0 in a sample's first step: a register behind a bias holds that bias before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike, NDArray

from spikeport.errors import ArtefactError, UnfaithfulError, UsageError
from spikeport.export.audit import Agreement, audit
from spikeport.export.graph import SPIKING, VALUED, ChipGraph
from spikeport.export.interpreter import Interpreter, check_inputs
from spikeport.export.neurons import delay_line
from spikeport.export.onnx import states
from spikeport.export.onnx.operators import stateless
from spikeport.export.onnx.writer import Writer
from spikeport.export.recording import FLOAT32, FLOAT64, Recording
from spikeport.export.verify import describe
from spikeport.files import new_file, refuse_existing

STARTED = "started"


def write_step_onnx(graph: ChipGraph, path: Path, spikes: bool = True, dtype: DTypeLike = np.float32) -> None:
    """Write one time step of `graph` as the ONNX file `path`, which must not exist.

    Args:
        graph: the network.
        path: where to.
        spikes: whether it shows every neuron's spikes beside its outputs; `verify_step_onnx` needs them.
        dtype: float32, or float64 where rounding matters more than speed.

    Raises:
        UsageError: `path` exists, or `dtype` is another one.
        UnfaithfulError: the network is too large for an ONNX file.
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise UsageError(f"dtype {np.dtype(dtype)}", "the step graph is float32 or float64", "Give one of them")
    refuse_existing(path)
    model = _Step(graph, Writer(dtype), spikes).build()
    with new_file(path) as aside:
        onnx.save(model, aside)


class _Step:
    def __init__(self, graph: ChipGraph, writer: Writer, show_spikes: bool) -> None:
        self.graph = graph
        self.writer = writer
        self.show_spikes = show_spikes
        self.values: dict[str, str] = {}
        self.before: dict[str, str] = {}
        lines = {n: delay_line(graph, n) for n, node in graph.nodes.items() if isinstance(node, nir.Delay)}
        self.lines = {n: line for n, line in lines.items() if line}

    def build(self) -> onnx.ModelProto:
        """Return the model."""
        graph, writer = self.graph, self.writer
        for name in graph.inputs:
            self.values[name] = writer.input(name, graph.shapes[name])
        self._registers()
        for name in graph.order:
            if name not in self.values:
                self.values[name] = self._node(name)
        for name, line in self.lines.items():
            states.push(writer, name, line, self._arriving(name))
        for name in self.before:
            writer.keep(f"{name}/register", self.values[name], graph.shapes[name])
        for name in graph.outputs:
            writer.output(name, self.values[name], graph.shapes[name])
        for name in graph.spiking if self.show_spikes else ():
            writer.output(f"spikes/{name}", self.values[name], graph.shapes[name])
        return writer.model("step", {"dt_s": repr(graph.dt_s)})

    def _registers(self) -> None:
        """Read every register; one behind a bias holds, in the first step, what the interpreter says."""
        start = Interpreter(self.graph)
        start.reset(1)
        late = sorted({u for u, _ in self.graph.registers})
        biased = [u for u in late if np.any(start.outputs[u])]
        started = self.writer.op("Greater", self.writer.state(STARTED, ()), self.writer.number(0)) if biased else ""
        for name in late:
            shape = self.graph.shapes[name]
            self.before[name] = held = self.writer.state(f"{name}/register", shape)
            if name in biased:
                each = self.writer.reshape(started, *(1 for _ in shape))
                self.before[name] = self.writer.op("Where", each, held, self.writer.number(start.outputs[name]))
        if biased:
            shown = self.writer.state(STARTED, ())
            one = self.writer.op("Max", shown, self.writer.number(1))
            self.writer.keep(STARTED, one, ())

    def _node(self, name: str) -> str:
        node, shapes = self.graph.nodes[name], self.graph.shapes
        if name in self.lines:
            return states.delayed(self.writer, name, self.lines[name])
        x = self._arriving(name)
        if isinstance(node, SPIKING):
            return states.spikes(self.writer, self.graph, name, x)
        if isinstance(node, VALUED):
            return states.value(self.writer, self.graph, name, x)
        return stateless(self.writer, node, x, shapes[self.graph.predecessors[name][0]], shapes[name])

    def _arriving(self, name: str) -> str:
        late = self.graph.registers
        sources = self.graph.predecessors[name]
        return self.writer.sum(*[(self.before if (u, name) in late else self.values)[u] for u in sources])


def run_step_onnx(graph: ChipGraph, path: Path, inputs_TBN: Mapping[str, ArrayLike]) -> Recording:
    """Run the step file of `graph` under onnxruntime from the zero state, all samples at once.

    Args:
        graph: the network that the file was written from.
        path: the file.
        inputs_TBN: for each input node, [T, B, *shape].

    Raises:
        ArtefactError: onnxruntime cannot load it, or it does not show what `graph` has.
    """
    arrays = check_inputs(graph, inputs_TBN)
    session = _session(path)
    shown = {n: f"spikes/{n}" if n in graph.spiking else f"state_out/{n}/v" for n in graph.neurons}
    shown |= {n: n for n in graph.outputs}
    names = [output.name for output in session.get_outputs()]
    if missing := sorted(set(shown.values()) - set(names)):
        raise ArtefactError(str(path), f"it has no output '{missing[0]}'", "Write it with the neurons' spikes")
    double = any(given.type == "tensor(double)" for given in session.get_inputs())
    dtype = np.float64 if double else np.float32
    timesteps, batch = next(iter(arrays.values())).shape[:2]
    taken = [given for given in session.get_inputs() if given.name.startswith("state_in/")]
    state = {given.name: np.zeros((batch, *given.shape[1:]), dtype) for given in taken}
    rows: dict[str, list[NDArray[np.generic]]] = {n: [] for n in shown}
    for t in range(timesteps):
        feed = {n: np.ascontiguousarray(x[t], dtype) for n, x in arrays.items()}
        values = dict(zip(names, session.run(names, feed | state), strict=True))
        state = {n: values[n.replace("state_in/", "state_out/", 1)] for n in state}
        for name, output in shown.items():
            rows[name].append(values[output].astype(np.uint8) if name in graph.spiking else values[output])
    nodes = {name: np.stack(row) for name, row in rows.items()}
    return Recording(nodes, dict.fromkeys(nodes, 0), timesteps, FLOAT64 if double else FLOAT32)


def verify_step_onnx(graph: ChipGraph, path: Path, inputs_TBN: Mapping[str, ArrayLike]) -> Agreement:
    """Audit the step file against the reference interpreter at every neuron node and output.

    Raises:
        UnfaithfulError: it is not the same network on these inputs.
    """
    agreement = audit(graph, inputs_TBN, run_step_onnx(graph, path, inputs_TBN))
    if not agreement.exact:
        raise UnfaithfulError(str(path), f"it is not the network: {describe(agreement)}", "Please report this network")
    return agreement


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes share no base but Exception
        raise ArtefactError(str(path), f"onnxruntime cannot load it ({error})", "Export it again") from error
