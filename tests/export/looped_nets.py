"""Networks whose forward holds the loop over time, as snnTorch's tutorials and other authors write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import snntorch as snn
import torch
from snntorch import utils
from torch import Tensor, nn

T, B = 12, 3


class Two(nn.Module):
    """Two layers of neurons with states by hand."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1 = nn.Linear(10, 16), snn.Leaky(beta=0.9, **settings)
        self.fc2, self.lif2 = nn.Linear(16, 5), snn.Leaky(beta=0.8, **settings)
        for layer in (self.fc1, self.fc2):
            nn.init.normal_(layer.weight, std=0.7)

    def run(self, inputs: Any) -> tuple[list[Tensor], list[Tensor]]:
        mem1, mem2, spikes, membranes = self.lif1.init_leaky(), self.lif2.init_leaky(), [], []
        for x in inputs:
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return spikes, membranes


class Forward(Two):
    """Two layers with a forward of one's own."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **settings: Any) -> None:
        super().__init__(**settings)
        self.own = forward

    def forward(self, x: Tensor) -> Any:
        return self.own(self, x)


def constant(net: Any, x: Tensor) -> Any:
    """Tutorial 5: one still, both recordings."""
    spikes, membranes = net.run([x] * T)
    return torch.stack(spikes, dim=0), torch.stack(membranes, dim=0)


def by_index(net: Any, x: Tensor) -> Any:
    spikes, _ = net.run(x[t] for t in range(x.size(0)))
    return torch.stack(spikes)


def batch_first(net: Any, x: Tensor) -> Any:
    spikes, _ = net.run(x[:, t] for t in range(x.shape[1]))
    return torch.stack(spikes, dim=1)


def transposed(net: Any, x: Tensor) -> Any:
    spikes, _ = net.run(x.transpose(0, 1))
    return {"counts": torch.stack(spikes).sum(0), "last": spikes[-1]}


def last_axis(net: Any, x: Tensor) -> Any:
    spikes, _ = net.run(x[..., t] for t in range(x.shape[-1]))
    return torch.stack(spikes).mean(0).softmax(-1)


def frames(net: Any, x: Tensor) -> Any:
    spikes, membranes = net.run(step.view(step.size(0), -1) for step in x)
    return spikes, membranes[-1]


def added_up(net: Any, x: Tensor) -> Any:
    mem1, mem2, total = net.lif1.reset_mem(), net.lif2.reset_mem(), 0
    for _ in range(T):
        spk1, mem1 = net.lif1(net.fc1(x), mem1)
        spk2, mem2 = net.lif2(net.fc2(spk1), mem2)
        total = total + spk2
    return total / T


def before_the_loop(net: Any, x: Tensor) -> Any:
    """One current for all steps."""
    mem1, mem2, current, spikes = net.lif1.init_leaky(), net.lif2.init_leaky(), net.fc1(x.flatten(1)), []
    for _ in range(T):
        spk1, mem1 = net.lif1(current, mem1)
        spk2, mem2 = net.lif2(net.fc2(spk1), mem2)
        spikes.append(spk2)
    return torch.stack(spikes)


def written(net: Any, x: Tensor) -> Any:
    mem1, mem2, record = net.lif1.reset_mem(), net.lif2.reset_mem(), torch.zeros(T, len(x), 5)
    for t in range(T):
        spk1, mem1 = net.lif1(net.fc1(x), mem1)
        record[t], mem2 = net.lif2(net.fc2(spk1), mem2)
    return record


def twice_a_step(net: Any, x: Tensor) -> Any:
    """One sub-network for two inputs, with a state for each."""
    mem_a, mem_b, mem2, spikes = net.lif1.reset_mem(), net.lif1.reset_mem(), net.lif2.reset_mem(), []
    for t in range(len(x)):
        spk_a, mem_a = net.lif1(net.fc1(x[t, :, :10]), mem_a)
        spk_b, mem_b = net.lif1(net.fc1(x[t, :, 10:]), mem_b)
        spk2, mem2 = net.lif2(net.fc2(spk_a + spk_b), mem2)
        spikes.append(spk2)
    return torch.stack(spikes)


def hidden(net: Any, x: Tensor) -> Any:
    """States inside of the neurons, reset at the start."""
    utils.reset(net)
    return torch.stack([net.lif2(net.fc2(net.lif1(net.fc1(x[t])))) for t in range(len(x))])


def readout(net: Any, x: Tensor) -> Any:
    spikes, _ = net.run([x] * T)
    return net.head(torch.stack(spikes, 1).flatten(1))


def with_readout() -> nn.Module:
    net = Forward(readout)
    net.head = nn.Linear(5 * T, 4)
    return net


def reset_inside(net: Any, x: Tensor) -> Any:
    spikes = []
    for t in range(len(x)):
        if t == 6:
            utils.reset(net)
        spikes.append(net.lif2(net.fc2(net.lif1(net.fc1(x[t])))))
    return torch.stack(spikes)


def weighted_by_time(net: Any, x: Tensor) -> Any:
    return torch.stack(net.run([x * (t + 1) for t in range(T)])[0])


def backwards(net: Any, x: Tensor) -> Any:
    return torch.stack(net.run(x[len(x) - 1 - t] for t in range(len(x)))[0])


def other_half(net: Any, x: Tensor) -> Any:
    return torch.stack(net.run([x] * 6 + [x * 0] * 6)[0])


def by_value(net: Any, x: Tensor) -> Any:
    return torch.stack(net.run(x[t] if x[t].sum() > 3 else x[0] for t in range(len(x)))[0])


def from_one(net: Any, x: Tensor) -> Any:
    mem, spikes = torch.ones(len(x[0]), 16), []
    mem2 = net.lif2.reset_mem()
    for t in range(len(x)):
        spk, mem = net.lif1(net.fc1(x[t]), mem)
        spk2, mem2 = net.lif2(net.fc2(spk), mem2)
        spikes.append(spk2)
    return torch.stack(spikes)


def normalised(net: Any, x: Tensor) -> Any:
    return by_index(net, x / x.max())


def every_other(net: Any, x: Tensor) -> Any:
    spikes, _ = net.run(x[t] for t in range(len(x)))
    return torch.stack(spikes[::2])


class Listed(nn.Module):
    """Neurons in a list of the author's."""

    def __init__(self, neurons: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.neurons = nn.Linear(10, 6), neurons
        self.neurons.append(snn.Leaky(beta=0.9))
        nn.init.normal_(self.fc.weight, std=0.7)

    def forward(self, x: Tensor) -> Tensor:
        mem, spikes = self.neurons[0].init_leaky(), []
        for t in range(len(x)):
            spk, mem = self.neurons[0](self.fc(x[t]), mem)
            spikes.append(spk)
        return torch.stack(spikes)


def random_input(net: Any, x: Tensor) -> Any:
    return torch.stack(net.run(torch.bernoulli(x) for _ in range(T))[0])


def still() -> Tensor:
    return torch.rand(B, 10, generator=torch.Generator().manual_seed(1))


def window(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(2))
