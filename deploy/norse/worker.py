# norse is installed in an environment of its own.
# mypy: disable-error-code="import-not-found"
"""Runs a plan with norse's cells: `python worker.py FOLDER`.

Needs numpy, torch and norse only. FOLDER holds `plan.json` (nodes in order of evaluation), `parameters.npz`,
`inputs.npz` (`node/NAME`: [T, B, *shape]) and perhaps `run.json` (how many samples at once); `records.npz` is written
there. What arrives at a node is summed; an edge marked as a register carries the step before. All is float64.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Step = Callable[[Tensor], Tensor]
Parameters = Mapping[str, Any]

ZERO = torch.zeros((), dtype=torch.float64)


def wire(p: Parameters) -> Step:
    """Pass on what arrives."""
    return lambda x: x


def linear(p: Parameters) -> Step:
    """`y = W x + b`."""
    return lambda x: F.linear(x, p["weight"], p.get("bias"))


def scale(p: Parameters) -> Step:
    """`y = s x`."""
    return lambda x: x * p["scale"]


def convolution(p: Parameters) -> Step:
    """A convolution in one or two dimensions, padded before."""
    convolve = F.conv1d if p["weight"].dim() == 3 else F.conv2d
    rest = {"stride": p["stride"], "dilation": p["dilation"], "groups": p["groups"]}
    return lambda x: convolve(F.pad(x, p["pads"]), p["weight"], p["bias"], **rest)


def pool(p: Parameters) -> Step:
    """Sums over windows, divided by the divisor."""
    return lambda x: F.avg_pool2d(F.pad(x, p["pads"]), p["kernel"], p["stride"], divisor_override=p["divisor"])


def flatten(p: Parameters) -> Step:
    """Merge axes, counted with the batch."""
    return lambda x: x.flatten(p["start"], p["end"])


def threshold(p: Parameters) -> Step:
    """`s = x > threshold`."""
    from norse.torch.functional.threshold import threshold as heaviside

    return lambda x: heaviside(x - p["threshold"], "heaviside", 0.0)


def lif(p: Parameters) -> Step:
    """`v += decay (leak - v + gain x)`, `s = v > threshold`, v = reset where s."""
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step

    constants = LIFBoxParameters(
        tau_mem_inv=p["decay"], v_leak=p["leak"], v_th=p["threshold"], v_reset=p["reset"], method="heaviside"
    )
    state = LIFBoxFeedForwardState(v=ZERO)

    def step(x: Tensor) -> Tensor:
        nonlocal state
        spikes: Tensor
        spikes, state = lif_box_feed_forward_step(p["gain"] * x, state, constants, dt=1.0)
        return spikes

    return step


def leaky(p: Parameters) -> Step:
    """`v += decay (leak - v + gain x)`; v is what it emits."""
    from norse.torch.functional.leaky_integrator_box import LIBoxParameters, LIBoxState, li_box_feed_forward_step

    constants = LIBoxParameters(tau_mem_inv=p["decay"], v_leak=p["leak"])
    state = LIBoxState(v=ZERO)

    def step(x: Tensor) -> Tensor:
        nonlocal state
        v: Tensor
        v, state = li_box_feed_forward_step(p["gain"] * x, state, constants, dt=1.0)
        return v

    return step


def _iaf(p: Parameters) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """`v += gain x`, `s = v > threshold`, v = reset where s; return s and the new v."""
    from norse.torch.functional.iaf import IAFFeedForwardState, IAFParameters, iaf_feed_forward_step

    constants = IAFParameters(v_th=p["threshold"], v_reset=p["reset"], method="heaviside")
    state = IAFFeedForwardState(v=ZERO)

    def step(x: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal state
        spikes, state = iaf_feed_forward_step(p["gain"] * x, state, constants, dt=1.0)
        return spikes, state.v

    return step


def iaf(p: Parameters) -> Step:
    """An integrator that fires."""
    step = _iaf(p)
    return lambda x: step(x)[0]


def integrator(p: Parameters) -> Step:
    """An integrator that never fires; v is what it emits."""
    step = _iaf({**p, "threshold": ZERO + torch.inf, "reset": ZERO})
    return lambda x: step(x)[1]


STATELESS = {f.__name__: f for f in (wire, linear, scale, convolution, pool, flatten)}
STATEFUL = {f.__name__: f for f in (threshold, lif, leaky, iaf, integrator)}


def made(node: dict[str, Any], arrays: Parameters) -> Step:
    """Return the function of a node, with its state at 0."""
    own = {key.removeprefix(f"{node['name']}/"): a for key, a in arrays.items() if key.startswith(f"{node['name']}/")}
    step = {**STATELESS, **STATEFUL}[node["op"]](node | own)
    if "synapse_decay" not in own:
        return step
    current = leaky({"decay": own["synapse_decay"], "gain": own["synapse_gain"], "leak": ZERO})
    return lambda x: step(current(x))


class Network:
    """A plan with its states, for one batch."""

    def __init__(self, plan: dict[str, Any], arrays: Parameters, batch: int) -> None:
        self.nodes = {node["name"]: node for node in plan["nodes"]}
        kept = {name: node for name, node in self.nodes.items() if node["op"] not in ("input", "delay")}
        self.steps = {name: made(node, arrays) for name, node in kept.items()}
        self.empty = {n: torch.zeros(batch, *node["shape"], dtype=torch.float64) for n, node in self.nodes.items()}
        delays = {name: node["steps"] for name, node in self.nodes.items() if node["op"] == "delay"}
        self.lines = {name: deque([self.empty[name]] * steps, maxlen=steps) for name, steps in delays.items()}

    def run(self, inputs: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        """Yield every node's output, step by step, for inputs [T, B, *shape]."""
        now = self._initial()
        for t in range(len(next(iter(inputs.values())))):
            before, now = now, {name: x[t] for name, x in inputs.items()}
            for name in self.nodes:
                if name in self.lines:
                    now[name] = self.lines[name][0]
                elif name not in inputs:
                    now[name] = self.steps[name](self._arriving(name, now, before))
            for name, line in self.lines.items():
                line.append(self._arriving(name, now, before))
            yield now

    def _arriving(self, name: str, now: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> Tensor:
        terms = [(before if register else now)[source] for source, register in self.nodes[name]["sources"]]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def _initial(self) -> dict[str, Tensor]:
        """Return y[-1]: 0, and what stateless nodes give from that."""
        outputs = dict(self.empty)
        for name, node in self.nodes.items():
            if node["op"] in STATELESS:
                outputs[name] = self.steps[name](self._arriving(name, outputs, outputs))
        return outputs


def main(folder: Path) -> None:
    """Run the request in `folder`."""
    plan = json.loads((folder / "plan.json").read_text())
    with np.load(folder / "parameters.npz") as stored:
        arrays = {name: torch.from_numpy(a) for name, a in stored.items()}
    with np.load(folder / "inputs.npz") as stored:
        inputs = {name.removeprefix("node/"): torch.from_numpy(x) for name, x in stored.items()}
    samples = next(iter(inputs.values())).shape[1]
    request = folder / "run.json"
    size = json.loads(request.read_text())["batch"] if request.exists() else samples
    kinds = {name: torch.uint8 if name in plan["spiking"] else torch.float64 for name in plan["records"]}
    parts: dict[str, list[Tensor]] = {name: [] for name in kinds}
    with torch.no_grad():
        for start in range(0, samples, size):
            part = {name: x[:, start : start + size] for name, x in inputs.items()}
            network = Network(plan, arrays, next(iter(part.values())).shape[1])
            rows = [{name: now[name].to(kind) for name, kind in kinds.items()} for now in network.run(part)]
            for name, gathered in parts.items():
                gathered.append(torch.stack([row[name] for row in rows]))
    joined = {f"node/{name}": torch.cat(gathered, 1).numpy() for name, gathered in parts.items()}
    np.savez(folder / "records.npz", **joined)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
