# The peer is installed in the isolated environment alone.
# mypy: ignore-errors
"""Times SpikingJelly's multi-step training beside the plain snnTorch loop of the same network: `worker.py FOLDER`.

FOLDER holds `request.json` (the network as `training_described` writes it, rounds, threads) and `arrays.npz` (`x.0`,
`x.1` inputs, `labels`, `w.NAME` weights). `answer.json` (seconds of each round) and `answer.npz` (`spikes`, `logits`,
`g.NAME` gradients, all in double precision) are written beside them.

Shape suffixes: T time steps, B samples, N a step's own shape.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import numpy as np
import snntorch
import torch
from snntorch import surrogate as snntorch_surrogate
from spikingjelly.activation_based import functional, neuron, surrogate
from steps import gradients, interleaved, train_step
from torch import nn


class Net(nn.Module):
    """The described network; `spikes` says how a window is run."""

    def __init__(self, described, lif):
        super().__init__()
        self.described = described
        self.layers = nn.ModuleList()
        self.index = {}
        self.weights = {}
        for node in [*described["nodes"], described["readout"]]:
            if node["kind"] == "add":
                continue
            self.index[node["name"]] = len(self.layers)
            self.weights[f"layers.{len(self.layers)}"] = node.get("weights", node["name"])
            make = lif if node["kind"] == "Leaky" else getattr(nn, node["kind"])
            self.layers.append(make(**node["settings"]))
        self.plan = [(n["name"], n["reads"], self.layer(n)) for n in described["nodes"]]

    def layer(self, node):
        """Return the node's layer; an addition has none."""
        return None if node["kind"] == "add" else self.layers[self.index[node["name"]]]

    def name(self, own):
        """Return what the other side calls a parameter."""
        layer, _, last = own.rpartition(".")
        return f"{self.weights[layer]}.{last}"

    def load(self, weights):
        """Take the weights, and the statistics of batch norm."""
        self.load_state_dict({own: weights[self.name(own)] for own in self.state_dict()})
        return self

    def step(self, inputs, call):
        """Run the graph; `call(layer, x)` runs one layer."""
        known = dict(zip(self.described["inputs"], inputs, strict=True))
        for name, reads, layer in self.plan:
            values = [known[read] for read in reads]
            known[name] = values[0] + values[1] if layer is None else call(layer, values[0])
        return known[self.described["output"]]

    def forward(self, inputs_TBN):
        """Return logits: the readout of the spikes' mean over time and picture."""
        return self.read(self.spikes(inputs_TBN))

    def read(self, spikes_TBN):
        """Return the logits of a window of spikes."""
        flat = spikes_TBN.flatten(3).mean(3) if spikes_TBN.ndim > 3 else spikes_TBN
        return self.layers[-1](flat.mean(0))


class Loop(Net):
    """snnTorch, step by step."""

    def __init__(self, described):
        super().__init__(described, leaky)

    def spikes(self, inputs_TBN):
        """Return a window's spikes, from the initial state."""
        for layer in self.layers:
            if isinstance(layer, snntorch.Leaky):
                layer.reset_mem()
        steps = len(inputs_TBN[0])
        return torch.stack([self.step([x[t] for x in inputs_TBN], lambda layer, x: layer(x)) for t in range(steps)])


class MultiStep(Net):
    """SpikingJelly: stateless layers on all steps at once, neurons in multi-step mode."""

    def __init__(self, described):
        super().__init__(described, lif_node)

    def spikes(self, inputs_TBN):
        """Return a window's spikes, from the initial state."""
        functional.reset_net(self)
        return self.step(inputs_TBN, self.call)

    @staticmethod
    def call(layer, x_TBN):
        """Return what one layer gives over the window."""
        own = isinstance(layer, neuron.LIFNode)
        return layer(x_TBN) if own else functional.seq_to_ann_forward(x_TBN, layer)


def leaky(beta, threshold, slope):
    """Return snnTorch's neurons."""
    return snntorch.Leaky(
        beta=beta,
        threshold=threshold,
        spike_grad=snntorch_surrogate.atan(alpha=slope),
        init_hidden=True,
        reset_mechanism="zero",
    )


def lif_node(beta, threshold, slope):
    """Return SpikingJelly's: v = v - v / tau + x, a spike sets v = 0, without a gradient there as in snnTorch."""
    return neuron.LIFNode(
        tau=1 / (1 - beta),
        decay_input=False,
        v_threshold=threshold,
        v_reset=0.0,
        surrogate_function=surrogate.ATan(alpha=slope),
        detach_reset=True,
        step_mode="m",
    )


def main(folder):
    """Time both, and keep what SpikingJelly computed."""
    request = json.loads((folder / "request.json").read_text())
    with np.load(folder / "arrays.npz") as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    torch.set_num_threads(request["threads"])
    weights = {name[2:]: value for name, value in arrays.items() if name.startswith("w.")}
    inputs = [arrays[f"x.{index}"] for index in range(len(request["network"]["inputs"]))]
    peer, loop = (make(request["network"]).load(weights).eval() for make in (MultiStep, Loop))
    keep(peer, inputs, arrays["labels"], folder / "answer.npz")
    nets = {"loop": loop, "peer": peer}
    step = {name: stepper(net, inputs, arrays["labels"]) for name, net in nets.items()}
    forward = {name: forwarder(net, inputs) for name, net in nets.items()}
    seconds = {"step": interleaved(step, request["rounds"]), "forward": interleaved(forward, request["rounds"])}
    (folder / "answer.json").write_text(json.dumps(seconds))


def stepper(net, inputs, labels):
    """Return a training step."""
    return lambda: train_step(net, lambda: net(inputs), labels)


def forwarder(net, inputs):
    """Return a forward pass."""

    @torch.no_grad()
    def run():
        net(inputs)

    return run


def keep(net, inputs, labels, path):
    """Write spikes, logits and gradients of one step in double precision."""
    net = copy.deepcopy(net).double()
    inputs = [x.double() for x in inputs]
    with torch.no_grad():
        spikes = net.spikes(inputs)
        logits = net.read(spikes)
    train_step(net, lambda: net(inputs), labels)
    found = {f"g.{net.name(own)}": grad.numpy() for own, grad in gradients(net).items()}
    np.savez(path, spikes=spikes.numpy(), logits=logits.numpy(), **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
