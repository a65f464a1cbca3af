"""Our networks under NeuroBench's harness.

```python
model = TorchModel(ForNeuroBench(network))
model.add_activation_module(snntorch.SpikingNeuron)
Benchmark(model, loader, [], [ChooseMaxCount()], [static, workload]).run()
```

NeuroBench gives (B, T, ...) and takes (B, T, C). Its `SNNTorchModel` resets top-level neurons alone; a
`SpikingNetwork` resets each of its own, so `TorchModel` is the wrapper that leaves this to it. Imports no NeuroBench.

Shape suffixes: B samples, T steps, N a step's own shape, C classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from spikeport.errors import UsageError
from spikeport.models.network import SpikingNetwork


class ForNeuroBench(nn.Module):
    """Runs a network of one input on x_BTN and returns its answer as y_BTC: one step where it reads out the window.

    Raises:
        UsageError: the network takes several inputs, and NeuroBench gives one.
    """

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        if len(network.input_names) != 1:
            reason = f"it takes {', '.join(network.input_names)}, and NeuroBench gives one tensor"
            raise UsageError("the network", reason, "Export its results: spikeport report --neurobench")
        self.network = network
        self.train(network.training)

    def forward(self, x_BTN: Tensor) -> Tensor:
        """Return y_BTC."""
        (name,) = self.network.input_names
        answer: Tensor = self.network({name: x_BTN.transpose(0, 1)})
        if self.network.reads_out:
            return answer.flatten(1).unsqueeze(1)
        return answer.flatten(2).transpose(0, 1)
