"""What others measured and computed: a trace of a real Loihi 2, and the Loihi 1 emulator brian2-loihi."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from brian_oracle import ENVIRONMENT, run_brian
from scipy.sparse import csr_array

from spikeport.deploy.loihi.engine import Engine, IntegerNetwork, Population, Synapses
from spikeport.errors import UnavailableError

TRACE = Path(__file__).resolve().parents[3] / "shared" / "golden" / "lif_lava_loihi_fixed.csv"
PROBE_AT_SPIKE = 128
"""What the chip's probe shows for v in the step of a spike, where the reset makes it 0."""


@pytest.mark.skipif(not TRACE.exists(), reason="the shared file is not on this machine")
def test_a_loihi_2_chips_trace_is_reproduced() -> None:
    """One neuron behind one synapse, on a Loihi 2 (NIR paper, Pedersen et al. 2024, 01_lif): input, v, spike a step."""
    sent, v, spikes = np.loadtxt(TRACE, delimiter=",").T.astype(np.int64)
    neuron = Population("n", (1,), du=4095, dv=163, vth_mant=25, bias_mant=np.zeros(1, np.int32))
    network = IntegerNetwork({"x": (1,)}, (neuron,), (Synapses("x", "n", csr_array([[10]])),))
    records = Engine(network).run({"x": sent[:, None, None]}, v=["n"])
    assert (len(spikes), spikes.sum()) == (1000, 4)
    np.testing.assert_array_equal(records.spikes["n"][:, 0, 0], spikes)
    np.testing.assert_array_equal(np.where(spikes == 1, PROBE_AT_SPIKE, records.v["n"][:, 0, 0]), v)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_brian2_loihi_computes_the_same(tmp_path: Path, seed: int) -> None:
    try:
        ENVIRONMENT.interpreter()
    except UnavailableError as error:
        pytest.skip(f"brian2-loihi cannot be installed here: {error}")
    rng = np.random.default_rng(seed)
    sources, size, steps, exponent = 15, 20, 120, int(rng.integers(0, 2))
    weight = rng.integers(-60, 100, (size, sources)) * 2
    recurrent = rng.integers(-60, 60, (size, size)) * 2 * (rng.random((size, size)) < 0.3)
    spikes = (rng.random((steps, sources)) < 0.3).astype(np.int64)
    du, dv = (int(n) for n in rng.integers(300, 4000, 2))
    settings = {"decay_I": du + 1, "decay_v": dv, "threshold_v_mant": 1500, "weight_exp": exponent}
    v, s = run_brian(tmp_path, spikes, weight, recurrent, **settings)

    neurons = Population("n", (size,), du, dv, 1500, np.zeros(size, np.int32))
    synapses = (
        Synapses("x", "n", csr_array(weight), exponent),
        Synapses("n", "n", csr_array(recurrent), exponent),
    )
    records = Engine(IntegerNetwork({"x": (sources,)}, (neurons,), synapses)).run({"x": spikes[:, None]}, v=["n"])
    # There the spikes of an input arrive in their own step.
    np.testing.assert_array_equal(records.spikes["n"][1:, 0], s[:-1])
    np.testing.assert_array_equal(records.v["n"][1:, 0], v[:-1])
    assert s.sum() > 50
