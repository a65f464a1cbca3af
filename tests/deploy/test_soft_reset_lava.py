"""Resets by subtraction, none, currents and parameters by neuron on Lava, in one run of many networks a backend."""

from __future__ import annotations

import nir
import numpy as np
from deploy_nets import DT, affine, chain, inputs, lif, sink, source
from soft_nets import leaky, two_layers

from spikeport.deploy import backends
from spikeport.deploy.compare import compare
from spikeport.export.audit import audit
from spikeport.export.graph import ChipGraph

BY_NEURON = np.linspace(0.3, 0.95, 12)
SHARED = {
    "subtract": two_layers(0.9, 1.0, 1.0),
    "other than the threshold": two_layers(0.7, 0.5, 1.0),
    "synaptic": two_layers(0.8, 1.0, 1.0, alpha=0.6),
    "recurrent": two_layers(0.9, 1.0, 1.0, recurrent=True),
    "no leak": two_layers(1.0, 1.0, 1.0, bias=0.0),
    "no memory": two_layers(0.0, 1.0, 0.7),
    "no reset": two_layers(0.9, 1.0, None, alpha=0.5),
    "read": chain(x=source(6), w=affine(6, 5, 0), i=leaky(5, 0.6), m=leaky(5, 0.9), out=sink(5)),
}
OWN = {
    "beta by neuron": two_layers(BY_NEURON, 1.0, 1.0),
    "all by neuron": two_layers(BY_NEURON, 2 * BY_NEURON, BY_NEURON, alpha=BY_NEURON[::-1]),
    "LIF by neuron": chain(
        x=source(10),
        w=affine(10, 12, 0),
        y=nir.LIF(DT / (1 - BY_NEURON), 1 / (1 - BY_NEURON), np.zeros(12), v_threshold=1 + BY_NEURON),
        out=sink(12),
    ),
}


def together(nets: dict[str, ChipGraph]) -> ChipGraph:
    """Return all networks side by side as one graph, so that one run of Lava does for all."""
    nodes = {f"{net}/{name}".replace("/", "."): node for net, g in nets.items() for name, node in g.nodes.items()}
    edges = [(f"{net}.{u}", f"{net}.{w}") for net, g in nets.items() for u, w in g.edges]
    registers = [(f"{net}.{u}", f"{net}.{w}") for net, g in nets.items() for u, w in g.registers]
    return ChipGraph.from_nir(nir.NIRGraph(nodes, edges, type_check=False), DT, registers)


def test_floating_point_is_exact_on_all_of_them() -> None:
    net = together(SHARED | OWN)
    given = inputs(net, timesteps=40, samples=2)
    backend = backends.get("lava-float")
    verdicts = {verdict.node: verdict for verdict in backend.explain(net)}
    assert not [v for v in verdicts.values() if v.fate == "refused"]
    assert "a process of our own" in verdicts["subtract.a"].reason
    assert "a process of our own" in verdicts["LIF by neuron.y"].reason
    agreement = audit(net, given, backend.lower(net).run(given))
    assert agreement.exact, agreement.first_divergence
    assert agreement.ties == 0
    silent = [n for n, node in agreement.per_node.items() if node.spiking and not node.spikes_backend]
    assert silent == []


def test_a_stock_neuron_stays_lavas() -> None:
    net = chain(x=source(4), w=affine(4, 4, 0), y=lif(4), out=sink(4))
    verdicts = {verdict.node: verdict for verdict in backends.get("lava-float").explain(net)}
    assert verdicts["y"].fate == "native"
    program = backends.get("lava-float").lower(net)
    assert program.plan.own == []  # type: ignore[attr-defined]


def test_fixed_point_is_the_engines_bit_for_bit() -> None:
    net = together(SHARED)
    given = inputs(net, timesteps=40, samples=2)
    ours, lavas = (backends.get(name).lower(net, given).run(given) for name in ("loihi", "lava-fixed"))
    difference = compare("core", ours, lavas)
    assert difference.differing == 0, difference.first
    assert difference.entries > 40 * 2 * 300
