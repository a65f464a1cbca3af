# Lava is installed in the isolated environment alone.
# mypy: ignore-errors
"""Times Lava's own, unmodified processes on one sample: `python worker.py FOLDER`.

Runs in the isolated environment: Python 3.10 syntax. FOLDER holds `request.json` (the layers) and `arrays.npz`
(weights, input [T, *shape]); `answer.json` and `spikes.npz` are written beside them. Lava's images are (width, height,
channels) and its convolution flips kernels.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np


def main(folder: Path) -> None:
    """Compare what all layers do, then time the network with nothing but a sink."""
    begin = time.perf_counter()
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    request = json.loads((folder / "request.json").read_text())
    arrays = dict(np.load(folder / "arrays.npz"))
    imported = time.perf_counter() - begin
    steps, config = request["steps"], Loihi2SimCfg(select_tag="fixed_pt")

    first, sinks = build(request, arrays, every=True)
    first.run(condition=RunSteps(num_steps=steps), run_cfg=config)
    spikes = [as_rows(sink.data.get()) for sink in sinks]
    first.stop()

    begin = time.perf_counter()
    first, sinks = build(request, arrays, every=False)
    first.run(condition=RunSteps(num_steps=1), run_cfg=config)
    started = time.perf_counter() - begin
    seconds = []
    for _ in range(request["repeats"]):
        begin = time.perf_counter()
        first.run(condition=RunSteps(num_steps=steps), run_cfg=config)
        seconds.append(time.perf_counter() - begin)
    first.stop()
    np.savez(folder / "spikes.npz", **{f"layer{i}": rows for i, rows in enumerate(spikes)})
    answer = {"seconds_per_step": [s / steps for s in seconds], "import_s": imported, "start_s": started}
    (folder / "answer.json").write_text(json.dumps(answer))


def build(request, arrays, every):
    """Return a process and the sinks: of every layer, or of the last one only."""
    from lava.proc.conv.process import Conv
    from lava.proc.dense.process import Dense
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source
    from lava.proc.lif.process import LIF

    x = arrays["input"]
    shape = x.shape[1:]
    source = Source(data=np.moveaxis(x, 0, -1) if len(shape) == 1 else x.transpose(3, 2, 1, 0))
    out, sinks = source.s_out, []
    for i, layer in enumerate(request["layers"]):
        weight = arrays[f"weight{i}"]
        if layer["kind"] == "conv":
            kernel = weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1).copy()
            connection = Conv(weight=kernel, input_shape=shape[::-1], stride=layer["stride"], num_message_bits=0)
        else:
            if len(shape) == 3:
                out = out.flatten()
                weight = weight.reshape(len(weight), *shape).transpose(0, 3, 2, 1).reshape(len(weight), -1)
            connection = Dense(weights=weight)
        shape = tuple(layer["shape"])
        neurons = LIF(
            shape=shape[::-1], du=request["du"], dv=request["dv"], vth=layer["vth_mant"], bias_mant=0, bias_exp=0
        )
        out.connect(connection.s_in)
        connection.a_out.connect(neurons.a_in)
        out = neurons.s_out
        if every or i == len(request["layers"]) - 1:
            sink = Sink(shape=shape[::-1], buffer=request["steps"])
            out.connect(sink.a_in)
            sinks.append(sink)
    return source, sinks


def as_rows(data):
    """Lava's [..., T] -> [T, *shape] in our order."""
    return np.ascontiguousarray(data.transpose()).astype(np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
