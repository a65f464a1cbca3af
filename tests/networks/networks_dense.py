"""Networks of dense layers: the tutorials' classifiers and regressions, and how people vary their loops.

Shapes: T time, B batch, N features.
"""

from __future__ import annotations

import snntorch as snn
import torch
import torch.nn.functional as F
from network_case import Case, by_step, by_window, held, spikes, values
from snntorch import surrogate, utils
from torch import nn


class Quickstart(nn.Module):
    """Decays of each neuron's own, learned; the image is held for all steps."""

    def __init__(self, num_steps=15):
        super().__init__()
        self.num_steps = num_steps
        self.fc1 = nn.Linear(16, 12)
        self.lif1 = snn.Leaky(beta=0.9)
        self.fc2 = nn.Linear(12, 5)
        self.lif2 = snn.Leaky(beta=torch.rand(5) * 0.5 + 0.45, learn_beta=True)

    def forward(self, x):
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for _ in range(self.num_steps):
            cur1 = self.fc1(x.flatten(1))
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec), torch.stack(mem2_rec)


class Tutorial5(nn.Module):
    """Membranes by `reset_mem`, lists of all steps stacked on axis 0."""

    def __init__(self):
        super().__init__()
        self.num_steps = 15
        self.fc1 = nn.Linear(16, 12)
        self.lif1 = snn.Leaky(beta=0.95)
        self.fc2 = nn.Linear(12, 5)
        self.lif2 = snn.Leaky(beta=0.95)

    def forward(self, x):
        mem1 = self.lif1.reset_mem()
        mem2 = self.lif2.reset_mem()
        spk2_rec, mem2_rec = [], []
        for step in range(self.num_steps):  # noqa: B007
            cur1 = self.fc1(x)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


class WholeWindow(nn.Module):
    """State-space neurons, that take all steps at once."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(9, 12)
        self.lif1 = snn.StateLeaky(beta=0.9, channels=12)
        self.fc2 = nn.Linear(12, 5)
        self.lif2 = snn.StateLeaky(beta=0.9, channels=5)

    def forward(self, x_TBN):
        spk1, _ = self.lif1(self.fc1(x_TBN))
        spk2, _ = self.lif2(self.fc2(spk1))
        return spk2


class Deltas(nn.Module):
    """DeltaLeaky with its pair of states in the author's hands."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(9, 12)
        self.delta1 = snn.DeltaLeaky(delta_threshold=0.3, beta=0.8)
        self.fc2 = nn.Linear(12, 5)
        self.lif2 = snn.Leaky(beta=0.8)

    def forward(self, x):
        state1 = self.delta1.reset_mem()
        mem2 = self.lif2.reset_mem()
        spk_rec = []
        for step in range(x.size(0)):
            spk1, state1 = self.delta1(self.fc1(x[step]), state1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spk_rec.append(spk2)
        return torch.stack(spk_rec)


class PooledCurrents(nn.Module):
    """A pooling of values behind a dense layer, and the batch's size in a view."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(16, 24)
        self.lif1 = snn.Leaky(beta=0.9, init_hidden=True)
        self.fc2 = nn.Linear(12, 5)
        self.lif2 = snn.Leaky(beta=0.9, init_hidden=True)

    def forward(self, x):
        batch_size = x.shape[0]
        cur1 = F.max_pool1d(self.fc1(x.view(batch_size, -1)), 2)
        spk1 = self.lif1(cur1)
        return self.lif2(self.fc2(spk1.view(batch_size, -1)))


def population():
    grad = surrogate.fast_sigmoid()
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(16, 20),
        snn.Leaky(beta=0.9, spike_grad=grad, init_hidden=True),
        nn.Linear(20, 50),
        snn.Leaky(beta=0.9, spike_grad=grad, init_hidden=True, output=True),
    )


class MembraneRegression(nn.Module):
    """The answer is the membrane of a neuron that never resets."""

    def __init__(self, timesteps=20, hidden=12):
        super().__init__()
        self.timesteps, self.hidden = timesteps, hidden
        self.fc_in = nn.Linear(1, hidden)
        self.lif_in = snn.Leaky(
            beta=torch.rand(hidden), threshold=torch.rand(hidden), learn_beta=True, learn_threshold=True
        )
        self.fc_hidden = nn.Linear(hidden, hidden)
        self.lif_hidden = snn.Leaky(
            beta=torch.rand(hidden), threshold=torch.rand(hidden), learn_beta=True, learn_threshold=True
        )
        self.fc_out = nn.Linear(hidden, 1)
        self.li_out = snn.Leaky(beta=torch.rand(1), threshold=1.0, learn_beta=True, reset_mechanism="none")

    def forward(self, x):
        mem_1, mem_2, mem_3 = self.lif_in.reset_mem(), self.lif_hidden.reset_mem(), self.li_out.reset_mem()
        mem_3_rec = []
        for step in range(self.timesteps):
            spk_1, mem_1 = self.lif_in(self.fc_in(x[step, :, :]), mem_1)
            spk_2, mem_2 = self.lif_hidden(self.fc_hidden(spk_1), mem_2)
            _, mem_3 = self.li_out(self.fc_out(spk_2), mem_3)
            mem_3_rec.append(mem_3)
        return torch.stack(mem_3_rec)


class RecurrentRegression(nn.Module):
    """RLeaky with spikes and membranes in the author's hands, `for step in x`."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(1, 12)
        self.rlif1 = snn.RLeaky(beta=0.9, linear_features=12, spike_grad=surrogate.atan())
        self.fc2 = nn.Linear(12, 2)
        self.rlif2 = snn.RLeaky(beta=0.9, linear_features=2)

    def forward(self, x):
        spk1, mem1 = self.rlif1.init_rleaky()
        spk2, mem2 = self.rlif2.init_rleaky()
        spk2_rec, mem2_rec = [], []
        for step in x:
            spk1, mem1 = self.rlif1(self.fc1(step), spk1, mem1)
            spk2, mem2 = self.rlif2(self.fc2(spk1), spk2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


class ByHand(nn.Module):
    """A neuron written in torch, whose membrane comes in and goes out."""

    def __init__(self):
        super().__init__()
        self.beta, self.threshold = 0.9, 1.0
        self.spike = surrogate.fast_sigmoid(slope=25)
        self.fc1 = nn.Linear(9, 12)
        self.fc2 = nn.Linear(12, 5)
        self.lif2 = snn.Leaky(beta=0.9, init_hidden=True)

    def forward(self, x, mem):
        mem = self.beta * mem + self.fc1(x)
        spk = self.spike(mem - self.threshold)
        out = self.lif2(self.fc2(spk))
        return out, mem - spk * self.threshold


def by_hand_loop(net, x_TB):
    utils.reset(net)
    mem = torch.zeros(x_TB.shape[1], 12)
    spk_rec, mem_rec = [], []
    for x in x_TB:
        spk, mem = net(x, mem)
        spk_rec.append(spk)
        mem_rec.append(mem)
    return torch.stack(spk_rec), torch.stack(mem_rec)


class StepsArgument(nn.Module):
    """The number of steps is an argument with a default; spikes are summed as the loop goes."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(16, 12), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(12, 5), snn.Leaky(beta=0.9)

    def forward(self, x, num_steps=18):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        total = 0
        for _ in range(num_steps):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            total = total + spk2
        return total / num_steps


class StepsAttribute(nn.Module):
    """Encoded input, read as x[step]."""

    def __init__(self):
        super().__init__()
        self.num_steps = 16
        self.fc1, self.lif1 = nn.Linear(9, 12), snn.Leaky(beta=0.85)
        self.fc2, self.lif2 = nn.Linear(12, 5), snn.Leaky(beta=0.85)

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk_rec, mem_rec = [], []
        for step in range(self.num_steps):
            spk1, mem1 = self.lif1(self.fc1(x[step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spk_rec.append(spk2)
            mem_rec.append(mem2)
        return {"spikes": torch.stack(spk_rec), "membrane": torch.stack(mem_rec)}


class StepsOfInput(nn.Module):
    """Synaptic neurons over as many steps as the input has; a plain list of all steps is returned."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(9, 12), snn.Synaptic(alpha=0.7, beta=0.85)
        self.fc2, self.lif2 = nn.Linear(12, 5), snn.Synaptic(alpha=0.7, beta=0.85)

    def forward(self, x):
        syn1, mem1 = self.lif1.init_synaptic()
        syn2, mem2 = self.lif2.init_synaptic()
        spk_rec = []
        for step in range(x.size(0)):
            spk1, syn1, mem1 = self.lif1(self.fc1(x[step]), syn1, mem1)
            spk2, syn2, mem2 = self.lif2(self.fc2(spk1), syn2, mem2)
            spk_rec.append(spk2)
        return spk_rec


class LiquidState(nn.Module):
    """A fixed recurrent reservoir and a readout that is trained."""

    def __init__(self):
        super().__init__()
        self.w_in = nn.Linear(9, 20)
        self.lsm = snn.RSynaptic(alpha=0.8, beta=0.8, all_to_all=True, linear_features=20)
        for weight in self.lsm.recurrent.parameters():
            weight.requires_grad_(False)
        self.readout = nn.Linear(20, 4)
        self.lif_out = snn.Leaky(beta=0.9)

    def forward(self, x):
        spk, syn, mem = self.lsm.init_rsynaptic()
        mem_out = self.lif_out.init_leaky()
        liquid, out = [], []
        for step in range(x.size(0)):
            spk, syn, mem = self.lsm(self.w_in(x[step]), spk, syn, mem)
            spk_out, mem_out = self.lif_out(self.readout(spk), mem_out)
            liquid.append(spk)
            out.append(spk_out)
        return torch.stack(out), torch.stack(liquid)


class LastAxis(nn.Module):
    """`utils.reset(self)` in forward, time on the last axis, spikes stacked there again."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(9, 12), snn.Leaky(beta=0.9, init_hidden=True)
        self.fc2, self.lif2 = nn.Linear(12, 5), snn.Leaky(beta=0.9, init_hidden=True)

    def forward(self, x):
        utils.reset(self)
        out = []
        for t in range(x.shape[-1]):
            out.append(self.lif2(self.fc2(self.lif1(self.fc1(x[..., t])))))  # noqa: PERF401
        return torch.stack(out)


CASES = (
    Case(2, "quickstart: a learned decay a neuron, held input", Quickstart, values(3, 1, 4, 4), by_window, gain=2),
    Case(3, "tutorial 5: reset_mem, held input", Tutorial5, values(3, 16), by_window, gain=2),
    Case(6, "tutorial 8: StateLeaky, whole window", WholeWindow, spikes(16, 3, 9), by_window, gain=2),
    Case(8, "DeltaLeaky, states by hand", Deltas, spikes(16, 3, 9), by_window, gain=3),
    Case(9, "max_pool1d behind Linear, view(batch)", PooledCurrents, held(values(3, 4, 4), 15), by_step, gain=1.5),
    Case(10, "population code of 50 outputs", population, held(values(3, 1, 4, 4), 15), by_step, gain=3),
    Case(11, "regression by the membrane", MembraneRegression, values(20, 3, 1), by_window, gain=2),
    Case(12, "regression by RLeaky, for step in x", RecurrentRegression, values(20, 3, 1), by_window, gain=1.5),
    Case(16, "a neuron by hand, feedback=", ByHand, spikes(18, 3, 9), by_hand_loop, {"feedback": {"mem": 1}}, gain=3),
    Case(17, "num_steps argument, spikes averaged", StepsArgument, values(3, 16), by_window, gain=2),
    Case(18, "num_steps attribute, x[step], a dictionary", StepsAttribute, spikes(16, 3, 9), by_window, gain=3),
    Case(19, "x.size(0), Synaptic, a list", StepsOfInput, spikes(14, 3, 9), by_window, gain=2),
    Case(20, "liquid state machine of RSynaptic", LiquidState, spikes(15, 3, 9), by_window, gain=1.5),
    Case(21, "utils.reset(self), x[..., t]", LastAxis, spikes(3, 9, 16), by_window, gain=3),
)
