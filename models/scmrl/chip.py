"""The chip form: every operation is a weighted edge, a LIF or a coincidence of two spikes, in one step.

    patches   s = LIF(BN(Conv s)), strided convolutions instead of pooling
    position  x = LIF(BN(Conv3x3 s) + BN(W s)), a membrane shortcut in place of the sum of spikes
    gates     g[n] = LIF(wq . q[n]) of the own tokens' queries opens token n of the other modality's keys:
              a[c, n] = AND(k[c, n], g[n]); a slow LIF that pools a channel's tokens opens its values:
              b[c, n] = AND(v[c, n], h[c]), h causal: it remembers the steps before and knows none to come
    residual  r = LIF(BN(Ws a) + BN(Wt b)), the layer that the semantic alignment loss reads
    fusion    x' = LIF(BN(W1 x) + alpha BN(W2 r)), the cross-modal residual as a weighted edge
    MLP       y = LIF(BN(W down LIF(BN(W up x'))) + BN(W x'))

AND is a LIF without memory (tau 1) and threshold 1.5 that sums two spikes. The gate is QKFormer's token attention
(Zhou et al. 2024, arXiv:2403.16552), taken across modalities as in SNNergy (arXiv:2602.00701): linear in tokens and
without a product of spikes, where CCSSA multiplies two N x N matrices. Membrane shortcuts: Spike-driven Transformer
(Yao et al. 2023, arXiv:2307.01694).
"""

from __future__ import annotations

import snntorch
import torch
from torch import Tensor, nn

from spikeport.models.scmrl.layers import Activation, ConvNeuron, Neurons
from spikeport.models.scmrl.params import ScmrlParams
from spikeport.models.surrogate import SigmoidSurrogate

COINCIDENCE = 1.5


class Coincidence(nn.Module):
    """`AND(a, b)` of spikes: `s[t] = a[t] + b[t] > 1.5`, which remembers nothing."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.neuron: nn.Module = snntorch.Leaky(
            beta=0.0,
            threshold=COINCIDENCE,
            spike_grad=SigmoidSurrogate(slope),
            init_hidden=True,
            reset_mechanism="zero",
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return 1 where both are 1."""
        out: Tensor = self.neuron(a + b)
        return out


class Product(nn.Module):
    """What a coincidence is in an ANN: the product of both."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return `a b`."""
        return a * b


class WeightedSum(nn.Module):
    """`LIF(BN(A a) + scale BN(B b))`: two edges into one population."""

    def __init__(self, a: nn.Module, b: nn.Module, neuron: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.a, self.b, self.neuron, self.scale = a, b, neuron, scale

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the spikes."""
        current = self.a(a) + self.b(b) if self.scale == 1 else self.a(a) + self.scale * self.b(b)
        out: Tensor = self.neuron(current)
        return out


class Shortcut(nn.Module):
    """`LIF(BN(A f(x)) + BN(W x))`: a membrane shortcut around `f` and its last convolution."""

    def __init__(self, inner: nn.Module, join: WeightedSum) -> None:
        super().__init__()
        self.inner, self.join = inner, join

    def forward(self, x: Tensor) -> Tensor:
        """Return the spikes."""
        out: Tensor = self.join(self.inner(x), x)
        return out


class TokenGate(nn.Module):
    """`a[c, n] = AND(k[c, n], g[n])`, g[n] = LIF(BN(w . q[n]))."""

    def __init__(self, channels: int, activation: Activation, both: nn.Module) -> None:
        super().__init__()
        self.q = ConvNeuron(channels, channels, activation())
        self.k = ConvNeuron(channels, channels, activation())
        self.gate = ConvNeuron(channels, 1, activation())
        self.spread = _ones(1, channels, 1, 1)
        self.both = both

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """Return the other modality's keys at the own modality's open tokens."""
        out: Tensor = self.both(self.k(other), self.spread(self.gate(self.q(own))))
        return out


class TraceGate(nn.Module):
    """`b[c, n] = AND(v[c, n], h[c])`, h[c] = a slow LIF of BN(w[c] . q[c]), which pools a channel's tokens."""

    def __init__(
        self, channels: int, tokens: tuple[int, int], activation: Activation, slow: nn.Module, both: nn.Module
    ):
        super().__init__()
        self.q = ConvNeuron(channels, channels, activation())
        self.v = ConvNeuron(channels, channels, activation())
        self.trace = ConvNeuron(channels, channels, slow, kernel_size=tokens, groups=channels)
        rows, columns = tokens
        # A transposed pooling: each channel's one spike reaches all tokens.
        self.spread = _ones(channels, channels, rows, columns, padding=(rows - 1, columns - 1), groups=channels)
        self.both = both

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """Return the other modality's values in the own modality's open channels."""
        out: Tensor = self.both(self.v(other), self.spread(self.trace(self.q(own))))
        return out


class ChipSide(nn.Module):
    """Gates, residual, fusion and MLP of one modality."""

    def __init__(self, params: ScmrlParams, tokens: tuple[int, int], neurons: Neurons) -> None:
        super().__init__()
        channels, lif = params.channels, neurons.plain
        self.gates = nn.ModuleList()
        if "spatial" in params.branches:
            self.gates.append(TokenGate(channels, lif, neurons.both()))
        if "temporal" in params.branches:
            self.gates.append(TraceGate(channels, tokens, lif, neurons.slow(), neurons.both()))
        self.edges = nn.ModuleList([edge(channels, channels) for _ in self.gates])
        self.residual = lif()
        self.meet = WeightedSum(edge(channels, channels), edge(channels, channels), lif(), params.alpha)
        self.mlp = chip_mlp(channels, params.mlp_ratio * channels, lif)

    def forward(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens and the residual, all spikes."""
        current: Tensor | None = None
        for to_residual, gate in zip(self.edges, self.gates, strict=True):
            part = to_residual(gate(own, other))
            current = part if current is None else current + part
        residual = self.residual(current)
        return self.mlp(self.meet(own, residual)), residual


class Gates(nn.Module):
    """Everything behind the embeddings, in one step."""

    def __init__(self, params: ScmrlParams, tokens: tuple[int, int], neurons: Neurons) -> None:
        super().__init__()
        self.audio = ChipSide(params, tokens, neurons)
        self.visual = ChipSide(params, tokens, neurons)

    def forward(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return both modalities' tokens, then both residuals."""
        out_audio, residual_audio = self.audio(audio, visual)
        out_visual, residual_visual = self.visual(visual, audio)
        return out_audio, out_visual, residual_audio, residual_visual


def edge(before: int, after: int, kernel_size: int = 1, padding: int = 0) -> nn.Sequential:
    """Return a convolution with its batch norm, which folds into it."""
    conv = nn.Conv2d(before, after, kernel_size, padding=padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after))


def chip_position(channels: int, lif: Activation) -> Shortcut:
    """Return `LIF(BN(Conv3x3 s) + BN(W s))`."""
    join = WeightedSum(edge(channels, channels, kernel_size=3, padding=1), edge(channels, channels), lif())
    return Shortcut(nn.Identity(), join)


def chip_mlp(channels: int, hidden: int, lif: Activation) -> Shortcut:
    """Return `LIF(BN(W down LIF(BN(W up x))) + BN(W x))`."""
    join = WeightedSum(edge(hidden, channels), edge(channels, channels), lif())
    return Shortcut(ConvNeuron(channels, hidden, lif()), join)


def _ones(before: int, after: int, rows: int, columns: int, **geometry: object) -> nn.Conv2d:
    """Return a convolution whose weights are 1 and stay so."""
    conv = nn.Conv2d(before, after, (rows, columns), bias=False, **geometry)  # type: ignore[arg-type]
    conv.weight = nn.Parameter(torch.ones_like(conv.weight), requires_grad=False)
    return conv
