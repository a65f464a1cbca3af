"""The same integers through torch, on a GPU where there is one.

Layers that stand in no loop have all their synaptic sums taken at once, as one matrix product over steps and samples;
only the membranes go step by step. A product is taken in float32 where every sum it can have is below 2^24, else in
float64 below 2^53: floating point then adds whole numbers without rounding. What is beyond is refused.

Shapes: S steps run, B samples, N neurons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeport.deploy.loihi import limits
from spikeport.deploy.loihi.engine.layout import groups
from spikeport.deploy.loihi.engine.network import IntegerNetwork, Parameter, Population, Synapses
from spikeport.deploy.loihi.engine.packed import flat_inputs
from spikeport.deploy.loihi.engine.run import Records
from spikeport.errors import UsageError

Array = NDArray[np.generic]

TOP = 2**23


class TorchEngine:
    """An `IntegerNetwork` on a torch device; `run` is that of `Engine`."""

    def __init__(self, network: IntegerNetwork, device: str | torch.device = "cpu") -> None:
        self.network = network
        self.device = torch.device(device)
        self.weights = [_matrix(synapses, self.device) for synapses in network.synapses]

    def run(
        self,
        inputs_TBN: Mapping[str, Array],
        steps: int | None = None,
        spikes: Iterable[str] | None = None,
        u: Iterable[str] = (),
        v: Iterable[str] = (),
    ) -> Records:
        """Run every sample from the zero state; arguments, records and errors are those of `Engine.run`.

        Raises:
            UsageError: besides, where a sum of products could exceed 2^53.
        """
        flat = flat_inputs(self.network, inputs_TBN)
        timesteps, samples = next(iter(flat.values())).shape[:2]
        steps = steps or timesteps
        sent = {name: _extended(torch.from_numpy(x).to(self.device), steps) for name, x in flat.items()}
        states = {p.name: _State(p, steps, samples, self.device, p.name in {*u}, p.name in {*v})
                  for p in self.network.populations}  # fmt: skip
        sent |= {name: state.s for name, state in states.items()}
        for members in groups(self.network):
            self._run_group([self.network.populations[i] for i in members], states, sent, steps)
        keep = states if spikes is None else list(spikes)
        shapes = {p.name: p.shape for p in self.network.populations}

        def read(name: str, values_SBN: Tensor) -> Array:
            return values_SBN.cpu().numpy().reshape(steps, samples, *shapes[name])

        return Records(
            {name: read(name, states[name].s) for name in keep},
            {name: read(name, torch.stack(states[name].u_kept)) for name in u},
            {name: read(name, torch.stack(states[name].v_kept)) for name in v},
            {name: int(state.wraps) for name, state in states.items()},
            {name: int(state.clips) for name, state in states.items()},
        )

    def _run_group(
        self, members: list[Population], states: Mapping[str, _State], sent: Mapping[str, Tensor], steps: int
    ) -> None:
        """Run populations that need each other step by step; what comes from outside is summed up at once."""
        names = {p.name for p in members}
        outside = {p.name: self._delivered(p, sent, names, steps) for p in members}
        inside = [i for i, s in enumerate(self.network.synapses) if s.target in names and s.source in names]
        for t in range(steps):
            arriving = {name: total[t] for name, total in outside.items()}
            for i in inside:
                synapses = self.network.synapses[i]
                then = t - 1 - synapses.wait
                if then >= 0:
                    arriving[synapses.target] = arriving[synapses.target] + self._product(
                        i, sent[synapses.source][then]
                    )
            for population in members:
                states[population.name].step(t, arriving[population.name])

    def _delivered(self, population: Population, sent: Mapping[str, Tensor], members: set[str], steps: int) -> Tensor:
        """Return what all synapses from outside of `members` deliver, [S, B, N]."""
        samples = next(iter(sent.values())).shape[1]
        total = torch.zeros(steps, samples, population.size, dtype=torch.int64, device=self.device)
        if population.constant is not None:
            total[1:] += torch.from_numpy(population.constant.astype(np.int64)).to(self.device)
        for i, synapses in enumerate(self.network.synapses):
            lag = 1 + synapses.wait
            if synapses.target == population.name and synapses.source not in members and lag < steps:
                total[lag:] += self._product(i, sent[synapses.source][: steps - lag])
        return total

    def _product(self, i: int, values: Tensor) -> Tensor:
        """Return `(W values) << weight_exp` for [..., source N]."""
        synapses, weight = self.network.synapses[i], self.weights[i]
        largest = int(values.abs().max()) if values.numel() else 0
        bound = largest * int(np.max(abs(synapses.weight).sum(axis=1), initial=0))
        if bound >= 2**53:
            raise UsageError(
                f"synapses from '{synapses.source}' to '{synapses.target}'",
                f"a sum of products may reach {bound:.3g}, and this device counts to 2^53",
                "Send smaller numbers, or use Engine",
            )
        kind = torch.float32 if bound < 2**24 else torch.float64
        rows = values.reshape(-1, values.shape[-1]).to(kind)
        summed = (weight.to(kind) @ rows.T).T.to(torch.int64).reshape(*values.shape[:-1], -1)
        shift = synapses.weight_exp
        return summed << shift if shift >= 0 else summed >> -shift


def _matrix(synapses: Synapses, device: torch.device) -> Tensor:
    weight = synapses.weight
    if weight.nnz > 0.2 * weight.shape[0] * weight.shape[1]:
        return torch.from_numpy(weight.toarray().astype(np.float32)).to(device)
    entries = weight.tocoo()
    places = torch.from_numpy(np.stack(entries.coords).astype(np.int64))
    data = torch.from_numpy(entries.data.astype(np.float32))
    made: Tensor = torch.sparse_coo_tensor(places, data, weight.shape, check_invariants=True)
    return made.coalesce().to(device)


def _extended(values_TBN: Tensor, steps: int) -> Tensor:
    """Return `steps` steps, silent after the last given."""
    missing = steps - len(values_TBN)
    if missing <= 0:
        return values_TBN[:steps]
    return torch.cat([values_TBN, values_TBN.new_zeros(missing, *values_TBN.shape[1:])])


class _State:
    """A population's membranes and records."""

    def __init__(
        self, population: Population, steps: int, samples: int, device: torch.device, records_u: bool, records_v: bool
    ) -> None:
        zeros = torch.zeros(samples, population.size, dtype=torch.int64, device=device)
        self.population = population
        self.u, self.v, self.rest = zeros, zeros, zeros
        self.bias = _tensor(population.bias, device)
        self.keep_u = _tensor(limits.DECAY_ONE - population.du - 1, device)
        self.keep_v = _tensor(limits.DECAY_ONE - population.dv, device)
        self.threshold = _tensor(population.vth_mant, device) << 6
        self.reset_by = _tensor(population.reset_by, device)
        self.s = torch.zeros(steps, samples, population.size, dtype=torch.uint8, device=device)
        self.records_u, self.records_v = records_u, records_v
        self.u_kept: list[Tensor] = []
        self.v_kept: list[Tensor] = []
        self.wraps = torch.zeros((), dtype=torch.int64, device=device)
        self.clips = torch.zeros((), dtype=torch.int64, device=device)

    def step(self, t: int, arriving: Tensor) -> None:
        """Advance by step `t`."""
        if t >= self.population.onset:
            self._advance(t, arriving)
        if self.records_u:
            self.u_kept.append(self.u.to(torch.int32))
        if self.records_v:
            self.v_kept.append(self.v.to(torch.int32))

    def _advance(self, t: int, arriving: Tensor) -> None:
        population = self.population
        before = _int32(_decayed(self.u, self.keep_u) + (_int32(arriving) << 6))
        u = torch.where(before > TOP, before - 2 * TOP, torch.where(before <= -TOP, before + 2 * TOP, before))
        free = _int32(_decayed(self.v, self.keep_v) + u + self.bias)
        v = free.clamp(1 - TOP, TOP - 1)
        self.wraps += (u != before).sum()
        self.clips += (v != free).sum()
        if population.refractory:
            v = torch.where(self.rest > 0, 0, v)
            self.rest = (self.rest - 1).clamp(min=0)
        fires = v > self.threshold
        if population.refractory:
            self.rest = torch.where(fires, population.refractory, self.rest)
        self.s[t] = fires
        self.u = u
        self.v = torch.where(fires, v - self.reset_by if population.reset == "subtract" else 0, v)


def _tensor(values: Parameter, device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.int64)).to(device)


def _decayed(x: Tensor, keep: Tensor) -> Tensor:
    product = x * keep
    return torch.sign(product) * (product.abs() >> 12)


def _int32(x: Tensor) -> Tensor:
    return x.to(torch.int32).to(torch.int64)
