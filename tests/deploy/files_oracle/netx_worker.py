"""Has netx build FOLDER's `network.net` and runs it: `python netx_worker.py FOLDER`.

Runs in an isolated environment: Python 3.10 syntax, numpy, h5py, lava-nc and lava-dl. FOLDER holds `input.npy`
[steps, *shape] and `options.json`, for netx; the spikes of layer i are written to `layer<i>.npy`. lava-dl's training
part, which netx imports for one helper of other neurons, is stood in for: it would need torch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "deploy" / "lava" / "worker"))
from main import import_lava, show_child_errors


def stand_in() -> None:
    """Let netx import without torch."""
    for name in ("torch", "lava.lib.dl.slayer", "lava.lib.dl.slayer.neuron", "lava.lib.dl.slayer.neuron.rf"):
        sys.modules[name] = ModuleType(name)
    sys.modules["torch"].tensor = np.ndarray
    sys.modules["lava.lib.dl.slayer.neuron.rf"].neuron_params = None


def main(folder: Path) -> None:
    """Answer the request in `folder`."""
    from lava.lib.dl.netx import hdf5
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    sent = np.load(folder / "input.npy")
    network = hdf5.Network(net_config=str(folder / "network.net"), **json.loads((folder / "options.json").read_text()))
    if sent.ndim == 4:
        sent = sent.transpose(0, 3, 2, 1)
    Source(data=np.moveaxis(sent, 0, -1)).s_out.connect(network.inp)
    sinks = [Sink(shape=layer.out.shape, buffer=len(sent)) for layer in network.layers]
    for layer, sink in zip(network.layers, sinks, strict=True):
        layer.out.connect(sink.a_in)
    config = Loihi2SimCfg(select_tag="fixed_pt")
    network.run(condition=RunSteps(num_steps=len(sent)), run_cfg=config)
    for i, sink in enumerate(sinks):
        np.save(folder / f"layer{i}.npy", sink.data.get().astype(np.int64).T)
    network.stop()


if __name__ == "__main__":
    if sys.version_info >= (3, 11):  # noqa: UP036 - the worker also runs on 3.10, where Lava needs no help
        import_lava()
    stand_in()
    show_child_errors()
    main(Path(sys.argv[1]))
