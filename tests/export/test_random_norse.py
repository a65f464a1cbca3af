"""Random networks of snnTorch on Norse, which integrates, compares and convolves by code of its own."""

from __future__ import annotations

from collections import Counter

from random_nets import random_case
from side_by_side import side_by_side

from spikeport.deploy.norse import backend
from spikeport.errors import UnfaithfulError
from spikeport.export.audit import audit
from spikeport.export.convert import convert
from spikeport.export.graph import ChipGraph


def test_sixty_random_networks_mean_the_same_on_norse() -> None:
    graphs: dict[str, ChipGraph] = {}
    x = {}
    for seed in range(2000, 2060):
        model, sample = random_case(seed)
        try:
            graphs[str(seed)] = graph = convert(model, {n: values[0] for n, values in sample.items()}, 1e-3).graph
        except UnfaithfulError:
            continue
        x |= {f"{seed}.{name}": sample[name].numpy() for name in graph.inputs}
    net = side_by_side(graphs)
    agreement = audit(net, x, backend.lower(net).run(x))
    assert agreement.mismatches == 0
    assert agreement.ties <= 1  # sums of products in another order, where numbers are multiples of 1/2
    assert len(graphs) > 25
    assert sum(node.spikes_reference or 0 for node in agreement.per_node.values()) > 20_000
    kinds = Counter(type(node).__name__ for node in net.nodes.values())
    assert min(kinds[kind] for kind in ("LI", "Threshold", "LIF", "I", "IF", "Conv1d", "Conv2d", "Flatten")) > 2
