"""A runnable Lava script of a network, every process by name, and the integers that it reads.

The script needs Lava and nothing of ours. It gives the engine's spikes bit for bit.

A population that something other than the inputs drives must not start before its onset: there Lava's LIFReset puts
its state to 0, and what it fired before does not count.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.loihi import limits
from spikeport.deploy.loihi.engine import Population, Synapses
from spikeport.deploy.loihi.files.kernels import Kernels
from spikeport.deploy.loihi.files.network import WrittenNetwork, early_heard, reset_in_words, unlike_in_words
from spikeport.deploy.loihi.weights import sign_mode_that_keeps, split_constant
from spikeport.errors import UnfaithfulError
from spikeport.files import new_file

IntArray = NDArray[np.int32]

DENSE_FROM = 0.3
"""The share of stored weights from which a matrix is written as Lava's Dense."""
GRADED_BITS = 24
CONV_SIDE_MAX = 127
"""Lava's Conv counts in 8 bits."""


def write_script(written: WrittenNetwork, path: Path) -> None:
    """Write the script to `path`; it reads `network.npz` beside it.

    Raises:
        UnfaithfulError: Lava has no process for something.
    """
    check_script(written)
    text = script_text(written)
    with new_file(path) as aside:
        aside.write_text(text, "utf-8")


def check_script(written: WrittenNetwork) -> None:
    """Raise where Lava's processes cannot be the network."""
    for population in written.network.populations:
        if population.reset != "zero":
            raise UnfaithfulError(
                f"node '{population.name}' ({reset_in_words(population)})",
                "every process in the script is Lava's, and Lava's fixed-point LIF resets to 0",
                "Use a reset to zero, or run backend 'lava-fixed', which brings a process of its own",
            )
        if unlike := unlike_in_words(population):
            raise UnfaithfulError(
                f"node '{population.name}' ({unlike})",
                "every process in the script is Lava's, and Lava's fixed-point LIF shares them between its neurons",
                "Train one for all neurons, or run backend 'lava-fixed', which brings a process of its own",
            )
        if population.refractory:
            raise UnfaithfulError(
                f"node '{population.name}' (refractory {population.refractory})",
                "Lava's fixed-point LIF has no refractory period",
                "Leave it out, or run it on the engine",
            )
    if heard := early_heard(written.network):
        source, synapses = heard
        raise UnfaithfulError(
            f"node '{source.name}' (bias up to {int(source.bias.max())})",
            f"it fires before its first step, and '{synapses.target}' would hear that later",
            "Make the bias smaller than the threshold, or the delay shorter",
        )


def script_text(written: WrittenNetwork) -> str:
    """Return the script."""
    network = written.network
    template = Template(resources.files(__package__).joinpath("run_lava.txt").read_text("utf-8"))
    populations = {p.name: f"population{i}" for i, p in enumerate(network.populations)}
    scales = written.input_scales
    inputs = {n: (s, scales.get(n), written.largest_input(n)) for n, s in network.inputs.items()}
    return template.substitute(
        inputs=repr(inputs),
        shapes=repr({p.name: p.shape for p in network.populations}),
        onsets=repr({p.name: p.onset for p in network.populations}),
        latency=written.latency,
        values=repr(dict(written.values)),
        processes="\n".join(f"    {line}" for line in _processes(written)),
        populations=", ".join(f"{name!r}: {process}" for name, process in populations.items()),
    )


def _processes(written: WrittenNetwork) -> Iterator[str]:
    network = written.network
    names = {name: f"input{i}" for i, name in enumerate(network.inputs)}
    for name, process in names.items():
        yield f"{process} = Source(data=sent[{name!r}])"
    for i, population in enumerate(network.populations):
        names[population.name] = f"population{i}"
        yield f"# {population.name!r}"
        yield from _neurons(population, f"population{i}", written.driven)
    for i, synapses in enumerate(network.synapses):
        yield f"# {synapses.source!r} to {synapses.target!r}"
        source = f"{names[synapses.source]}.s_out"
        if synapses.wait:
            source = f"later({source}, {synapses.wait})"
        yield from _synapses(written, i, source, f"{names[synapses.target]}.a_in")


def _call(name: str, process: str, **settings: object) -> Iterator[str]:
    """The lines that make a process; strings are code."""
    yield f"{name} = {process}("
    listed = ", ".join(f"{key}={value}" for key, value in settings.items())
    yield from textwrap.wrap(listed, 110, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    yield ")"


def _neurons(population: Population, name: str, driven: bool) -> Iterator[str]:
    settings: dict[str, object] = {"shape": (population.size,), "du": population.du, "dv": population.dv}
    settings |= {"vth": population.vth_mant, "bias_mant": f"NUMBERS['{name}.bias_mant']"}
    settings["bias_exp"] = population.bias_exp
    held = driven and population.onset > 0
    if held:
        # Lava counts steps from 1, and the interval is longer than the run.
        settings |= {"reset_interval": "steps + 2", "reset_offset": population.onset + 1}
    yield from _call(name, "LIFReset" if held else "LIF", **settings)
    if population.constant is not None:
        yield from _constant(population, name, population.constant)


def _constant(population: Population, name: str, constant: IntArray) -> Iterator[str]:
    """Synapses from a source that always spikes."""
    exponent, mode = split_constant(population.name, constant)
    weight = f"NUMBERS['{name}.constant'][:, None] >> {exponent}"
    yield f"{name}_one = Source(data=np.ones((1, steps), dtype=np.int32))"
    yield from _call(
        f"{name}_constant", "Dense", weights=weight, weight_exp=exponent, sign_mode=f"SignMode.{mode.upper()}"
    )
    yield f"{name}_one.s_out.connect({name}_constant.s_in)"
    yield f"{name}_constant.a_out.connect({name}.a_in)"


def _synapses(written: WrittenNetwork, i: int, source: str, target: str) -> Iterator[str]:
    synapses, name = written.network.synapses[i], f"synapses{i}"
    message_bits = GRADED_BITS if synapses.source in written.network.inputs else 0
    kernels = written.kernels.get(i)
    if kernels is not None and conv_is_exact(synapses, kernels, written):
        yield from _conv(name, kernels, message_bits)
        yield f"as_image({source}, {', '.join(map(str, kernels.image))}).connect({name}.s_in)"
        yield f"{name}.a_out.transpose((2, 1, 0)).flatten().connect({target})"
        return
    mode = sign_mode_that_keeps(f"synapses from '{synapses.source}' to '{synapses.target}'", synapses.weight)
    dense = synapses.weight.nnz >= DENSE_FROM * np.prod(synapses.weight.shape)
    yield from _call(
        name,
        "Dense" if dense else "Sparse",
        weights=f"matrix('{name}')" + (".toarray()" if dense else ""),
        weight_exp=synapses.weight_exp,
        sign_mode=f"SignMode.{mode.upper()}",
        num_message_bits=message_bits,
    )
    yield f"{source}.connect({name}.s_in)"
    yield f"{name}.a_out.connect({target})"


def _conv(name: str, kernels: Kernels, message_bits: int) -> Iterator[str]:
    channels, height, width = kernels.image
    # Lava convolves where NIR correlates, and its order is width before height.
    yield f"{name}_kernels = NUMBERS['{name}.kernels'].astype(np.int32)[:, :, ::-1, ::-1]"
    yield from _call(
        name,
        "Conv",
        weight=f"{name}_kernels.transpose(0, 3, 2, 1)",
        input_shape=(width, height, channels),
        stride=kernels.stride[::-1],
        padding=kernels.padding[::-1],
        dilation=kernels.dilation[::-1],
        groups=kernels.groups,
        num_message_bits=message_bits,
    )


def conv_is_exact(synapses: Synapses, kernels: Kernels, written: WrittenNetwork) -> bool:
    """Whether Lava's Conv is these synapses: it knows no exponent, and its sums wrap at 24 bits."""
    return synapses.weight_exp == 0 and sums_fit(synapses, kernels, written) and max(kernels.image[1:]) <= CONV_SIDE_MAX


def sums_fit(synapses: Synapses, kernels: Kernels, written: WrittenNetwork) -> bool:
    """Whether no sum of the convolution can leave 24 bits, where Lava's Conv wraps it."""
    sums = np.abs(kernels.weight.astype(np.int64)).sum(axis=(1, 2, 3)).max(initial=0)
    largest = written.largest_input(synapses.source) if synapses.source in written.network.inputs else 1
    return bool(sums * largest <= limits.STATE_MAX)
