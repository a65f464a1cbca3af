"""Recurrent, attentive and hand-made networks, and neurons with settings of their own.

Shapes: T time, B batch, N features, L tokens.
"""

from __future__ import annotations

from itertools import pairwise

import snntorch as snn
import torch
import torch.nn.functional as F
from network_case import Case, by_step, by_window, spikes, values
from snntorch.functional import quant
from torch import nn


class Trainable(nn.Module):
    """Laid out as a Lightning module is: loss, metric and optimiser beside forward."""

    def __init__(self):
        super().__init__()
        self.loss = nn.CrossEntropyLoss()
        self.fc1, self.lif1 = nn.Linear(9, 16), snn.Leaky(beta=0.9, init_hidden=True)
        self.fc2, self.lif2 = nn.Linear(16, 16), snn.Leaky(beta=0.9, init_hidden=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.lif2(self.fc2(self.lif1(self.fc1(x)))))

    def training_step(self, batch, _):
        x_TBN, y = batch
        return self.loss(sum(self(x) for x in x_TBN), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Deep(nn.Module):
    """Layers and neurons in ModuleLists, walked in every step."""

    def __init__(self, sizes=(9, 16, 12, 5)):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.neurons = nn.ModuleList(snn.Leaky(beta=0.85, init_hidden=True, output=True) for _ in sizes[1:])

    def forward(self, x):
        for layer, neuron in zip(self.layers, self.neurons, strict=True):
            x, *rest = neuron(layer(x))
        return x, rest[0]


class SpikingLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(2, 4, 3), nn.AvgPool2d(2)
        self.lif = snn.Leaky(beta=0.8, init_hidden=True)
        self.lstm = snn.SLSTM(36, 12, threshold=0.1, init_hidden=True)
        self.fc, self.out = nn.Linear(12, 5), snn.Leaky(beta=0.8, init_hidden=True)

    def forward(self, x):
        x = self.pool(self.lif(self.conv(x)))
        return self.out(self.fc(self.lstm(x.flatten(1))))


class Attention(nn.Module):
    """Spikes as queries, keys and values; no softmax."""

    def __init__(self, width=8):
        super().__init__()
        self.scale = width**-0.5
        self.q, self.lif_q = nn.Linear(width, width), snn.Leaky(beta=0.7, init_hidden=True)
        self.k, self.lif_k = nn.Linear(width, width), snn.Leaky(beta=0.7, init_hidden=True)
        self.v, self.lif_v = nn.Linear(width, width), snn.Leaky(beta=0.7, init_hidden=True)
        self.lif_a = snn.Leaky(beta=0.7, init_hidden=True, threshold=0.2)
        self.proj, self.lif_p = nn.Linear(width, width), snn.Leaky(beta=0.7, init_hidden=True)

    def forward(self, x):
        q, k, v = self.lif_q(self.q(x)), self.lif_k(self.k(x)), self.lif_v(self.v(x))
        a = self.lif_a((q @ k.transpose(-2, -1)) @ v * self.scale)
        return self.lif_p(self.proj(a))


class Policy(nn.Module):
    """Membranes kept on the module; the odds of each action by the summed membranes of the last layer."""

    def __init__(self, num_steps=15):
        super().__init__()
        self.num_steps = num_steps
        self.fc1, self.lif1 = nn.Linear(4, 16), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(16, 3), snn.Leaky(beta=0.9)
        self.mem1 = self.mem2 = None

    def forward(self, state):
        self.mem1, self.mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        total = torch.zeros(state.shape[0], 3)
        for _ in range(self.num_steps):
            spk1, self.mem1 = self.lif1(self.fc1(state), self.mem1)
            _, self.mem2 = self.lif2(self.fc2(spk1), self.mem2)
            total += self.mem2
        return F.softmax(total / self.num_steps, dim=-1)


class Tokens(nn.Module):
    """An embedding, neurons in a plain list, an LSTM; the answer is of the last token."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.fc1, self.fc2 = nn.Linear(8, 12), nn.Linear(12, 12)
        self.lifs = [snn.Leaky(beta=0.8), snn.Leaky(beta=0.8)]
        self.lstm = snn.SLSTM(12, 10, threshold=0.1)
        self.head = nn.Linear(10, 2)

    def forward(self, tokens):
        mems = [lif.init_leaky() for lif in self.lifs]
        syn, mem = self.lstm.init_slstm()
        for t in range(tokens.size(1)):
            x = self.embed(tokens[:, t])
            for i, fc in enumerate((self.fc1, self.fc2)):
                x, mems[i] = self.lifs[i](fc(x), mems[i])
            spk, syn, mem = self.lstm(x, syn, mem)
        return self.head(spk)


class Alphas(nn.Module):
    """Alpha with its default reset."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(9, 12), snn.Alpha(alpha=0.9, beta=0.8)
        self.fc2, self.lif2 = nn.Linear(12, 5), snn.Alpha(alpha=0.9, beta=0.8)

    def forward(self, x):
        exc1, inh1, mem1 = self.lif1.init_alpha()
        exc2, inh2, mem2 = self.lif2.init_alpha()
        out = []
        for step in range(x.size(0)):
            spk1, exc1, inh1, mem1 = self.lif1(self.fc1(x[step]), exc1, inh1, mem1)
            spk2, exc2, inh2, mem2 = self.lif2(self.fc2(spk1), exc2, inh2, mem2)
            out.append(spk2)
        return torch.stack(out)


class Quantised(nn.Module):
    """A membrane of few levels, and a layer of which only the strongest fires."""

    def __init__(self):
        super().__init__()
        levels = quant.state_quant(num_bits=6, uniform=True, threshold=1.0)
        self.fc1, self.lif1 = nn.Linear(9, 12), snn.Leaky(beta=0.8, init_hidden=True, state_quant=levels)
        self.fc2, self.lif2 = nn.Linear(12, 5), snn.Leaky(beta=0.8, init_hidden=True, inhibition=True)

    def forward(self, x):
        return self.lif2(self.fc2(self.lif1(self.fc1(x))))


class ConvLSTM(nn.Module):
    """Frames [B, T, ...] read as x[:, t] by a convolutional spiking LSTM."""

    def __init__(self):
        super().__init__()
        self.lstm1 = snn.SConv2dLSTM(1, 4, 3, max_pool=2, threshold=0.3)
        self.lstm2 = snn.SConv2dLSTM(4, 4, 3, threshold=0.05)
        self.fc, self.lif = nn.Linear(64, 5), snn.Leaky(beta=0.9)

    def forward(self, x):
        syn1, mem1 = self.lstm1.init_sconv2dlstm()
        syn2, mem2 = self.lstm2.init_sconv2dlstm()
        mem3 = self.lif.init_leaky()
        out = []
        for t in range(x.size(1)):
            spk1, syn1, mem1 = self.lstm1(x[:, t], syn1, mem1)
            spk2, syn2, mem2 = self.lstm2(spk1, syn2, mem2)
            spk3, mem3 = self.lif(self.fc(spk2.flatten(1)), mem3)
            out.append(spk3)
        return torch.stack(out)


def tokens():
    return torch.randint(0, 20, (3, 14), generator=torch.Generator().manual_seed(7))


CASES = (
    Case(24, "a Lightning layout, linear read-out", Trainable, spikes(15, 3, 9), by_step, gain=3),
    Case(25, "ModuleLists, x, *rest = ...", Deep, spikes(15, 3, 9), by_step, gain=3),
    Case(26, "conv, AvgPool, SLSTM", SpikingLSTM, spikes(15, 2, 2, 8, 8), by_step, gain=2.5),
    Case(27, "spiking self-attention by matmul", Attention, spikes(15, 2, 5, 8), by_step, gain=3),
    Case(28, "policy, membranes on self, softmax", Policy, values(3, 4), by_window, gain=3),
    Case(30, "Embedding, a plain list of neurons, SLSTM", Tokens, tokens, by_window, gain=3),
    Case(31, "Alpha with its default reset", Alphas, spikes(15, 3, 9), by_window, gain=4),
    Case(32, "state_quant, inhibition", Quantised, spikes(15, 3, 9), by_step, gain=3),
    Case(33, "SConv2dLSTM, x[:, t]", ConvLSTM, spikes(2, 12, 1, 8, 8), by_window, gain=2.5),
)
