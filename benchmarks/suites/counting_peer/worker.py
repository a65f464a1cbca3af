# The peers are installed in the isolated environment alone.
# mypy: ignore-errors
"""Times NeuroBench or SpikingJelly over plain inference: `python worker.py FOLDER`.

FOLDER holds `request.json` (case, peer, pairs); `answer.json` is written beside it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from nets import forward, network, ratios, spikes
from torch.utils.data import DataLoader, TensorDataset


def main(folder: Path) -> None:
    """Time the peer, and keep what it counted."""
    request = json.loads((folder / "request.json").read_text())
    torch.set_num_threads(1)
    net, x = network(request["case"]), spikes(request["case"])
    counted = {}
    run = {"neurobench": neurobench, "spikingjelly": spikingjelly}[request["peer"]](net, x, counted)
    with torch.no_grad():
        pairs = ratios(lambda: forward(net, x), run, request["pairs"])
    (folder / "answer.json").write_text(json.dumps({"pairs": pairs, "counted": counted}))


def neurobench(net, x, counted):
    """Synaptic operations and activation sparsity, in its own harness."""
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
    from neurobench.models import SNNTorchModel

    loader = DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=len(x))

    def run():
        # a live Benchmark keeps its hooks, and a second one would double every count
        benchmark = Benchmark(SNNTorchModel(net), loader, [], [], [[], [ActivationSparsity, SynapticOperations]])
        operations = benchmark.run(quiet=True)["SynapticOperations"]
        benchmark.workload_metric_manager.cleanup_hooks(benchmark.model)
        del benchmark.workload_metric_manager
        counted.update(ac=operations["Effective_ACs"] * len(x), mac=operations["Effective_MACs"] * len(x))

    return run


def spikingjelly(net, x, counted):
    """Its synaptic operations alone."""
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

    def run():
        counter = SynOpCounter()
        with DispatchCounterMode([counter]):
            forward(net, x)
        counted.update(ac=counter.get_total(), mac=0)

    return run


if __name__ == "__main__":
    main(Path(sys.argv[1]))
