"""Lava runs what is joined to the process that is run, and no more: networks in parts that never meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from deploy_nets import affine, graph, inputs, lif, sink, source
from files_oracle import run_script
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeport.deploy.lava import fixed_backend, float_backend
from spikeport.deploy.lava.worker.main import parts
from spikeport.deploy.loihi.backend import backend
from spikeport.deploy.loihi.program import LoihiProgram
from spikeport.export.audit import audit
from spikeport.export.graph import ChipGraph


def unjoined() -> ChipGraph:
    """Two networks, of one layer and of two, whose inputs and outputs are their own."""
    nodes = {"x": source(10), "a": affine(10, 8, 0), "h": lif(8), "left": sink(8)}
    nodes |= {"z": source(6), "b": affine(6, 9, 1), "k": lif(9), "c": affine(9, 7, 2), "y": lif(7), "right": sink(7)}
    edges = [("x", "a"), ("a", "h"), ("h", "left"), ("z", "b"), ("b", "k"), ("k", "c"), ("c", "y"), ("y", "right")]
    return graph(nodes, edges)


def hops(*pairs: str) -> list[dict[str, str]]:
    return [{"source": pair[0], "target": pair[1]} for pair in pairs]


def test_what_hops_join_is_one_part() -> None:
    assert parts(list("abcdef"), hops("ac", "bc", "de", "ee")) == [["a", "b", "c"], ["d", "e"], ["f"]]
    assert parts(list("ab"), hops("ba")) == [["a", "b"]]
    assert parts(list("ab"), []) == [["a"], ["b"]]


@settings(deadline=None)
@given(st.lists(st.text("abcdefg", min_size=2, max_size=2), max_size=10))
def test_parts_are_all_names_once_and_no_hop_leaves_one(pairs: list[str]) -> None:
    found = parts(list("abcdefg"), hops(*pairs))
    assert sorted("".join(map("".join, found))) == list("abcdefg")
    part_of = {name: i for i, part in enumerate(found) for name in part}
    assert all(part_of[a] == part_of[b] for a, b in pairs)
    # Merging two parts takes a hop, and one that closes a loop merges none.
    assert len(found) >= 7 - len({frozenset(pair) for pair in pairs if len(set(pair)) == 2})


def test_float_runs_networks_that_never_meet() -> None:
    net = unjoined()
    x = inputs(net)
    agreement = audit(net, x, float_backend.lower(net).run(x))
    assert agreement.exact, agreement.first_divergence
    assert all(node.spikes_reference != 0 for node in agreement.per_node.values())


@pytest.fixture(scope="module")
def engine() -> LoihiProgram:
    net = unjoined()
    return backend.lower(net, inputs(net))


def test_fixed_runs_networks_that_never_meet(engine: LoihiProgram) -> None:
    x = inputs(engine.graph)
    expected, got = engine.run(x), fixed_backend.lower(engine.graph, x).run(x)
    for name in ("h", "k", "y"):
        np.testing.assert_array_equal(got.aligned(name), expected.aligned(name))
        assert expected.aligned(name).any()


def test_the_written_script_runs_networks_that_never_meet(engine: LoihiProgram, tmp_path: Path) -> None:
    x = inputs(engine.graph, samples=1)
    (run := tmp_path / "run").mkdir()
    engine.save(tmp_path)
    assert not (tmp_path / "network.net").exists(), "a .net is one chain"
    got, expected = run_script(tmp_path, run, x), engine.run(x).nodes
    for name in ("h", "k", "y"):
        np.testing.assert_array_equal(got[f"spikes/{name}"], expected[name])
        assert expected[name].any()
