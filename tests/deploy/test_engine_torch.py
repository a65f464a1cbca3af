"""The engine on torch computes the same u, v and s, on the processor here and on a GPU where there is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from integer_nets import integer_case
from scipy.sparse import csr_array

from spikeport.deploy.loihi.engine import Engine, IntegerNetwork, Population, Synapses
from spikeport.deploy.loihi.engine.on_torch import TorchEngine
from spikeport.errors import UsageError

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_sixty_random_networks_have_the_same_u_v_and_s(device: str) -> None:
    spikes = wraps = 0
    for seed in range(60):
        case = integer_case(seed, steps=16, batch=2, extensions=True)
        names = [p.name for p in case.network.populations]
        ours = Engine(case.network, threads=1).run(case.inputs, 20, u=names, v=names)
        theirs = TorchEngine(case.network, device).run(case.inputs, 20, u=names, v=names)
        for field in ("spikes", "u", "v"):
            for name, values in getattr(ours, field).items():
                np.testing.assert_array_equal(getattr(theirs, field)[name], values, err_msg=f"seed {seed} {field}")
        assert theirs.wraps == ours.wraps
        assert theirs.saturations == ours.saturations
        spikes += sum(int(s.sum()) for s in ours.spikes.values())
        wraps += sum(ours.wraps.values())
    assert spikes > 5000
    assert wraps > 100


def test_a_sum_that_floats_would_round_is_taken_in_doubles_or_refused() -> None:
    population = Population("n", (1,), 4095, 4096, 2**17 - 1, np.zeros(1, np.int32))
    network = IntegerNetwork({"x": (3,)}, (population,), (Synapses("x", "n", csr_array(np.array([[255, 255, 1]]))),))
    x = np.array([2**24, -(2**24), 1]).reshape(1, 1, 3)
    got = TorchEngine(network).run({"x": x}, 2, u=["n"])
    assert got.u["n"].ravel().tolist() == [0, 64]
    many = IntegerNetwork({"x": (2**16,)}, (population,), (Synapses("x", "n", csr_array(np.full((1, 2**16), 255))),))
    with pytest.raises(UsageError, match=r"counts to 2\^53"):
        TorchEngine(many).run({"x": np.full((2, 1, 2**16), 2**30)}, 3)


def test_it_refuses_what_the_engine_refuses() -> None:
    case = integer_case(1, steps=5)
    bad = replace(case, inputs={name: x + 0.5 for name, x in case.inputs.items()})
    with pytest.raises(UsageError, match="not whole numbers"):
        TorchEngine(case.network).run(bad.inputs)
