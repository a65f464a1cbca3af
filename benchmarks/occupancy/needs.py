"""What each population needs of a chip's cores, by the mapper's own rules of a list and of a synapse's bits.

Weights that differ take 8 bits, as the quantiser gives by default; those that are all alike take the narrowest width
that there is. None is taken to round to 0, which would save its synapse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from spikeport.benchmarks.occupancy.pattern import Counts, fan
from spikeport.benchmarks.occupancy.structure import Hop, Structure
from spikeport.deploy.loihi.limits import WEIGHT_BITS
from spikeport.deploy.loihi.mapper.chip import Chip, Memory
from spikeport.deploy.loihi.mapper.lists import Connection


@dataclass(frozen=True)
class LayerNeed:
    """What one population needs.

    Attributes:
        neurons: of it.
        synapses: that end there, unrolled.
        fan_in: the most sources that one neuron hears.
        neuron_words: the most words that the synapses of one neuron take, alone on a core.
        words: the fewest that all synapses take, however they are cut.
        kernel_words: the same where kernels are shared: every weight of a kernel once, without indices.
        reached: how many neurons each element of each source reaches, [N].
    """

    neurons: int
    synapses: int
    fan_in: int
    neuron_words: int
    words: int
    kernel_words: int
    reached: Mapping[str, Counts] = field(repr=False)


def needs_of(structure: Structure, chip: Chip) -> dict[str, LayerNeed]:
    """Return what each layer needs on `chip`, in order."""
    return {name: _need(structure, name, chip.memory) for name in structure.layers}


def _need(structure: Structure, name: str, memory: Memory) -> LayerNeed:
    zero = np.zeros(structure.layers[name], np.int64)
    heard, lists = zero.copy(), zero.copy()
    for of_source in structure.axons(name, "in").values():
        heard += of_source
    synapses = words = kernel_words = 0
    for hop in structure.into(name):
        bits, out = synapse_bits(hop, memory), fan(hop.patterns, "out")
        lists += fan(hop.patterns, "in") * memory.words(1, bits)
        unrolled = _words(out, bits, memory)
        synapses += int(out.sum())
        words += unrolled
        kernel_words += unrolled if hop.kernel is None else min(unrolled, _kernel_words(hop, hop.kernel, memory))
    reached = structure.axons(name, "out")
    return LayerNeed(zero.size, synapses, int(heard.max()), int(lists.max()), words, kernel_words, reached)


def synapse_bits(hop: Hop, memory: Memory) -> int:
    """Return the bits of a synapse, as the mapper counts them."""
    return _connection(hop, hop.wait).synapse_bits(memory)


def _connection(hop: Hop, wait: int) -> Connection:
    bits = WEIGHT_BITS if hop.learned else 1
    return Connection(hop.source, hop.target, csr_array((1, 1)), 0, wait, bits)


def _kernel_words(hop: Hop, kernel: int, memory: Memory) -> int:
    width = _connection(hop, 0).synapse_bits(memory) - memory.index_bits
    return -(-kernel * width // memory.word_bits)


def _words(out_N: Counts, bits: int, memory: Memory) -> int:
    """Return the fewest words of one list a source, summed."""
    lengths, times = np.unique(out_N, return_counts=True)
    return int((least_words(int(lengths.max(initial=0)), bits, memory)[lengths] * times).sum())


@cache
def least_words(most: int, bits: int, memory: Memory) -> NDArray[np.int64]:
    """Return the fewest words of lists of 0 to `most` synapses, over all ways to cut each onto cores.

    A list may take fewer words cut than whole: a core's blocks end at a word, and full ones need not fill theirs.
    """
    piece = most if memory.synapses_per_block is None else min(memory.synapses_per_block, most)
    whole = np.array([memory.words(n, bits) for n in range(piece + 1)], np.int64)
    if memory.synapses_per_block is None:
        # One header and one rounding up: cutting never saves a word.
        return whole
    least = np.zeros(most + 1, np.int64)
    for n in range(1, most + 1):
        few = min(piece, n)
        least[n] = (whole[1 : few + 1] + least[n - few : n][::-1]).min()
    return least
