# NeuroBench is installed in the isolated environment alone.
# mypy: ignore-errors
"""Runs NeuroBench's harness over our networks: `python worker.py FOLDER`; `answer.json` is written there."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(folder):
    """Answer every request: by name the network, the data, the batch size and how often to run."""
    request = json.loads((folder / "request.json").read_text())
    sys.path[:0] = [request["source"], str(Path(__file__).parent)]
    answer = {name: results(**case) for name, case in request["cases"].items()}
    (folder / "answer.json").write_text(json.dumps(answer))


def results(net, data, batch, runs=1, pruned=0.0, drop_last=False, right=False):
    import peer_nets as nets
    import snntorch
    import torch
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics import static, workload
    from neurobench.models import SNNTorchModel, TorchModel
    from neurobench.processors.postprocessors import ChooseMaxCount
    from torch.utils.data import DataLoader, TensorDataset

    from spikeport.benchmarks.neurobench import ForNeuroBench

    x, y = getattr(nets, data)(), nets.labels()
    if net in nets.BARE:
        model = SNNTorchModel(nets.BARE[net]())
    else:
        model = TorchModel(ForNeuroBench(nets.network(pruned, net == "readout")))
        model.add_activation_module(snntorch.SpikingNeuron)
    if right:
        with torch.no_grad():
            y = model(x).sum(1).argmax(1)
    metrics = [
        [static.ParameterCount, static.Footprint, static.ConnectionSparsity],
        [
            *(workload.ClassificationAccuracy, workload.ActivationSparsity, workload.ActivationSparsityByLayer),
            *(workload.MembraneUpdates, workload.SynapticOperations, workload.NeuronOperations),
        ],
    ]
    loader = DataLoader(TensorDataset(x, y), batch_size=batch, drop_last=drop_last)
    with torch.no_grad():
        benchmark = Benchmark(model, loader, [], [ChooseMaxCount()], metrics)
        return [benchmark.run(quiet=True) for _ in range(runs)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
