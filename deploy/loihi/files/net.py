"""Writing lava-dl's `.net`: an HDF5 file with one group a layer, which netx builds Lava processes from.

Layout: `layer/<i>/` with `type`, `shape` (channels, height, width), `weight` (PyTorch's order), `bias`, the settings of
a convolution, `delay`, and `neuron/`. netx takes iDecay - 1 for du and vDecay for dv, and shifts the bias by 6 bits.

Source: lava-dl 0.6.0, `lava/lib/dl/netx/hdf5.py`.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spikeport.deploy.loihi.engine import Population
from spikeport.deploy.loihi.files.chain import Link, chain_of
from spikeport.deploy.loihi.files.network import WrittenNetwork
from spikeport.export.shapes import Shape
from spikeport.files import new_file


def write_net(written: WrittenNetwork, path: Path) -> None:
    """Write the network to `path`.

    netx gives the engine's spikes from each layer's first step on. Where neurons have a bias, it must be told when a
    sample starts: `Network(path, reset_interval=STEPS, reset_offset=1)`, with the steps from one sample to the next.
    A graded input needs `input_message_bits`.

    Raises:
        RefusedError: `.net` cannot say something: node, value, reason and fix.
    """
    links = chain_of(written)
    (shape,) = written.network.inputs.values()
    with new_file(path) as aside, h5py.File(aside, "w") as file:
        layers = file.create_group("layer")
        _layer(layers, "input", shape if links and links[0].kernels is not None else (prod(shape),))
        image = False
        for link in links:
            if image and link.weight is not None:
                _layer(layers, "flatten", (1, 1, link.weight.shape[1]))
            _write(layers, link)
            image = link.kernels is not None


def _layer(layers: Any, kind: str, shape: Shape) -> Any:
    layer = layers.create_group(str(len(layers)))
    layer.create_dataset("type", data=np.array([kind], dtype="S10"))
    layer["shape"] = np.array(shape)
    return layer


def _write(layers: Any, link: Link) -> None:
    if link.kernels is not None:
        layer = _layer(layers, "conv", link.population.shape)
        layer["weight"] = link.kernels.weight
        layer["inChannels"], layer["outChannels"] = link.kernels.image[0], link.population.shape[0]
        layer["kernelSize"] = np.array(link.kernels.weight.shape[2:])
        for name in ("stride", "padding", "dilation", "groups"):
            layer[name] = np.array(getattr(link.kernels, name))
    else:
        assert link.weight is not None
        kind = "dense" if link.back is None else "dense_rec"
        layer = _layer(layers, kind, (link.population.size, 1, 1))
        layer["inFeatures"], layer["outFeatures"] = link.weight.shape[1], link.population.size
        layer.create_dataset("weight", data=link.weight, compression="gzip")
        if link.back is not None:
            layer.create_dataset("weight_rec", data=link.back, compression="gzip")
        if link.delay:
            layer["delay"] = link.delay
    if np.any(link.bias):
        layer["bias"] = _bias(link)
    _neuron(layer.create_group("neuron"), link.population)


def _bias(link: Link) -> Any:
    """Return [N], or for a convolution one a channel where they agree, else all of them (width, height, channels)."""
    if link.kernels is None:
        return link.bias
    maps = link.bias.reshape(link.population.shape)
    alike = np.all(maps == maps[:, :1, :1])
    return maps[:, 0, 0] if alike else maps.transpose(2, 1, 0)


def _neuron(group: Any, population: Population) -> None:
    group["type"] = np.bytes_("CUBA")
    group["iDecay"], group["vDecay"] = population.du + 1, population.dv
    group["vThMant"], group["refDelay"] = population.vth_mant, 1
    group["gradedSpike"] = False
