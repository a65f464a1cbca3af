"""The `.net` files: netx, unchanged, gives the engine's spikes bit for bit; what `.net` cannot say is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from files_oracle import HERE, NETX, run_netx
from scipy.sparse import csr_array

from spikeport.deploy.hops import RefusedError
from spikeport.deploy.linear import unroll
from spikeport.deploy.loihi.engine import Engine, IntegerNetwork, Population, Records, Synapses
from spikeport.deploy.loihi.files.chain import chain_of
from spikeport.deploy.loihi.files.kernels import Kernels
from spikeport.deploy.loihi.files.net import write_net
from spikeport.deploy.loihi.files.network import WrittenNetwork
from spikeport.deploy.loihi.files.netx import netx_keeps

STEPS = 60
Change = Callable[[WrittenNetwork], WrittenNetwork]


class Chain:
    """A chain of random layers, each one step later than the one before."""

    def __init__(self, seed: int, shape: tuple[int, ...], biased: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape, self.biased = shape, biased
        self.at, self.at_shape = "x", shape
        self.populations: list[Population] = []
        self.synapses: list[Synapses] = []
        self.kernels: dict[int, Kernels] = {}

    def layer(self, shape: tuple[int, ...], weight: object, wait: int = 0) -> Chain:
        name, size = f"n{len(self.populations)}", int(np.prod(shape))
        du, dv = (int(n) for n in self.rng.choice([4095, *self.rng.integers(200, 4000, 3)], 2))
        bias = self.rng.integers(-6, 7, size) * 2**6 if self.biased else np.zeros(size)
        vth = int(self.rng.choice([60, 200, 600]))
        onset = len(self.populations) + 1
        self.populations.append(Population(name, shape, du, dv, vth, bias.astype(np.int32), onset=onset))
        self.synapses.append(Synapses(self.at, name, csr_array(weight).astype(np.int32), wait=wait))
        self.at, self.at_shape = name, shape
        return self

    def dense(self, size: int, wait: int = 0) -> Chain:
        return self.layer((size,), self.weights((size, int(np.prod(self.at_shape)))), wait)

    def weights(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.integers(-50, 70, shape) * 2

    def recurrent(self, size: int) -> Chain:
        self.dense(size)
        self.synapses.append(
            Synapses(self.at, self.at, csr_array(self.weights((size, size)) // 4 * 2).astype(np.int32))
        )
        return self

    def conv(self, channels: int, kernel: tuple[int, int], stride: int, padding: tuple[int, int], groups: int) -> Chain:
        before = self.at_shape
        size = [(before[i + 1] + 2 * padding[i] - kernel[i]) // stride + 1 for i in range(2)]
        weight = self.weights((channels, before[0] // groups, *kernel))
        pads = ((padding[0], padding[0]), (padding[1], padding[1]))
        shape = (channels, *size)
        strides = (stride, stride)
        found = Kernels("c", weight.astype(np.int32), before, strides, padding, (1, 1), groups)  # type: ignore[arg-type]
        self.kernels[len(self.synapses)] = found
        return self.layer(shape, unroll(weight.astype(float), groups, strides, (1, 1), pads, before, shape))  # type: ignore[arg-type]

    def written(self) -> WrittenNetwork:
        network = IntegerNetwork({"x": self.shape}, tuple(self.populations), tuple(self.synapses))
        return WrittenNetwork(network, self.kernels)


def image(seed: int, biased: bool = False) -> Chain:
    chain = Chain(seed, (2, 9, 8), biased)
    return chain.conv(4, (3, 2), 2, (1, 0), 2).conv(6, (2, 3), 1, (0, 1), 1).dense(20).dense(10)


CHAINS = {
    "dense": lambda: Chain(5, (20,)).dense(30).dense(15).dense(10),
    "one neuron": lambda: Chain(0, (5,)).dense(1),
    "convolutions": lambda: image(9),
    "an image into dense": lambda: Chain(2, (2, 4, 3)).dense(20).dense(5),
    "recurrent": lambda: Chain(1, (12,)).recurrent(20).dense(10).recurrent(8),
    "delayed": lambda: Chain(0, (12,)).dense(20, wait=3).dense(10, wait=1),
}


def engine_run(written: WrittenNetwork, x: np.ndarray) -> Records:
    return Engine(written.network).run({"x": x[:, None]}, len(x) + written.latency)


@pytest.mark.parametrize("name", CHAINS)
def test_netx_is_the_engine_bit_for_bit(name: str, tmp_path: Path) -> None:
    written = CHAINS[name]().written()
    check(written, spikes(written), tmp_path)


def spikes(written: WrittenNetwork) -> np.ndarray:
    return (np.random.default_rng(9).random((STEPS, *written.network.inputs["x"])) < 0.3).astype(np.int64)


def check(written: WrittenNetwork, x: np.ndarray, folder: Path, **options: int) -> None:
    """Compare all layers from their first step on."""
    write_net(written, folder / "made.net")
    flat = chain_of(written)[0].kernels is None
    records = engine_run(written, x)
    steps = len(x) + written.latency
    layers = run_netx(folder / "made.net", folder, x.reshape(len(x), -1) if flat else x, steps, **options)
    assert len(layers) == len(written.network.populations)
    for population, got in zip(written.network.populations, layers, strict=True):
        expected = records.spikes[population.name][:, 0]
        np.testing.assert_array_equal(got.reshape(expected.shape)[population.onset :], expected[population.onset :])
        assert 0 < expected.mean() < 0.95, population.name


@pytest.mark.parametrize("make", [lambda: image(7, biased=True), lambda: Chain(4, (20,), True).dense(30).dense(10)])
def test_biases_start_with_each_layers_first_step(make: Callable[[], Chain], tmp_path: Path) -> None:
    written = make().written()
    check(written, spikes(written), tmp_path, reset_interval=STEPS + 10, reset_offset=1)


def test_a_graded_input_is_a_message_of_bits(tmp_path: Path) -> None:
    written = replace(image(9).written(), input_limits={"x": 9.0})
    x = np.random.default_rng(9).integers(-9, 10, (STEPS, 2, 9, 8))
    check(written, x, tmp_path, input_message_bits=16)


def with_first(written: WrittenNetwork, **change: object) -> WrittenNetwork:
    first, *rest = written.network.populations
    return replace(written, network=replace(written.network, populations=(replace(first, **change), *rest)))


def with_synapses(written: WrittenNetwork, *more: Synapses, **change: object) -> WrittenNetwork:
    first, *rest = written.network.synapses
    return replace(written, network=replace(written.network, synapses=(replace(first, **change), *rest, *more)))


def one_sign(written: WrittenNetwork) -> WrittenNetwork:
    return with_synapses(written, weight=csr_array(np.full((8, 6), -256)))


def eye(rows: int, columns: int) -> csr_array:
    return csr_array(np.eye(rows, columns, dtype=np.int32) * 2)


def two_inputs(written: WrittenNetwork) -> WrittenNetwork:
    return replace(written, network=replace(written.network, inputs={"x": (6,), "z": (6,)}))


def bias(first: int, **change: object) -> Change:
    return lambda written: with_first(written, bias_mant=np.array([first, *[0] * 7], np.int32), **change)


def early(written: WrittenNetwork) -> WrittenNetwork:
    noisy = bias(4000, bias_exp=6, vth_mant=1)(written)
    return with_synapses(noisy, Synapses("n0", "n0", eye(8, 8)))


REFUSED: dict[str, tuple[Change, str, str]] = {
    "soft reset": (
        lambda w: with_first(w, reset="subtract", reset_by=70),
        "n0",
        r"reset by subtraction of 70\): a .net names no reset, and the neuron that netx makes of it resets to 0",
    ),
    "no reset": (lambda w: with_first(w, reset="subtract"), "n0", r"no reset\): a .net names no reset"),
    "own decays": (
        lambda w: with_first(w, dv=np.arange(8, dtype=np.int32)),
        "n0",
        r"dv 0 to 7\): a .net's layer has one decay and one threshold for all its neurons",
    ),
    "refractory": (lambda w: with_first(w, refractory=2), "n0", "netx knows no refractory period"),
    "constant": (lambda w: with_first(w, constant=np.full(8, 70, np.int32)), "n0", "up to 70.*a constant enters"),
    "a read membrane": (lambda w: replace(w, values={"n1": 64.0}), "n1", "its membrane is read"),
    "two inputs": (two_inputs, "x", "beside it 'z'.*a .net has one input"),
    "two sources": (lambda w: with_synapses(w, Synapses("n1", "n0", eye(8, 5))), "n0", "fed by 'x', 'n1'.*one source"),
    "skip": (lambda w: with_synapses(w, Synapses("x", "n1", eye(5, 6))), "x", "it feeds 'n0', 'n1'"),
    "two delays": (lambda w: with_synapses(w, Synapses("x", "n0", eye(8, 6), wait=1)), "n0", "one source"),
    "long delay": (lambda w: with_synapses(w, wait=63), "n0", "delay 63 from 'x'.*at most 62 steps"),
    "delayed loop": (lambda w: with_synapses(w, Synapses("n0", "n0", eye(8, 8), wait=2)), "n0", "no recurrent layer"),
    "exponent": (lambda w: with_synapses(w, weight_exp=1), "n0", "weight_exp 1 from 'x'"),
    "inhibition alone": (one_sign, "n0", "weights from -256 to -256.*netx would store others"),
    "all zero": (lambda w: with_synapses(w, weight=csr_array((8, 6), dtype=np.int32)), "n0", "all zero"),
    "fine bias": (bias(65), "n0", "bias 65 of neuron 0.*in steps of 64"),
    "large bias": (bias(4095, bias_exp=7), "n0", "bias up to 524160.*netx takes up to 262080"),
    "late bias": (bias(64, onset=2), "n0", "first step 2, layer 1"),
    "early loop": (early, "n0", "it fires before its first step, and 'n0' would hear that"),
    "unfed": (lambda w: with_synapses(w, source="n0", weight=eye(8, 8)), "n0", "nothing of the input reaches it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_net_cannot_say_is_refused(name: str, tmp_path: Path) -> None:
    change, node, message = REFUSED[name]
    written = Chain(0, (6,)).dense(8).dense(5).written()
    write_net(written, tmp_path / "plain.net")
    with pytest.raises(RefusedError, match=message) as raised:
        write_net(change(written), tmp_path / "refused.net")
    assert raised.value.node == node
    assert raised.value.fix
    assert [path.name for path in tmp_path.iterdir()] == ["plain.net"]


def test_a_large_matrix_that_is_no_convolution_is_refused(tmp_path: Path) -> None:
    written = Chain(0, (2100,)).layer((2100,), eye(2100, 2100)).written()
    with pytest.raises(RefusedError, match=r"4410000 weights from 'x'.*at most 4194304"):
        write_net(written, tmp_path / "refused.net")


EXTREMES = (-256, -128, -100, -64, -3, 0, 0, 1, 30, 64, 127, 128, 254, 255)


def test_what_netx_keeps_is_known(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    given = {}
    for i in range(400):
        low, high = sorted(
            int(n) for n in rng.choice([-256, -128, -100, -64, -3, 0, 0, 1, 30, 64, 127, 128, 254, 255], 2)
        )
        step = int(rng.choice([1, 2, 2, 4, 32]))
        given[str(i)] = rng.integers(low // step, high // step + 1, (3, 4)) * step
        given[str(i)][0, :2] = low // step * step, high // step * step
    np.savez(tmp_path / "weights.npz", **given)
    NETX.run(HERE / "weights_worker.py", tmp_path)
    with np.load(tmp_path / "stored.npz") as stored:
        kept = {name: name in stored and np.array_equal(stored[name], weight) for name, weight in given.items()}
    assert kept == {name: netx_keeps([weight.astype(np.int32)]) for name, weight in given.items()}
    assert 50 < sum(kept.values()) < 350
