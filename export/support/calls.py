"""Every function and tensor method that is converted or runs on the host, and some that are refused."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikeport.export.shapes import Shape
from spikeport.export.support.cases import IMAGE, LINE, Case, OfCurrents, OfValue, leaky

GROUP = "Calls"
Call = Callable[[Tensor, Tensor], Tensor]

# What is computed from the currents a and b: the user's spelling, and the call.
OF_CURRENTS: dict[str, dict[str, Call]] = {
    "sum": {
        "a + b": lambda a, b: a + b,
        "a += b": operator.iadd,
        "torch.add": torch.add,
        "a.add": lambda a, b: a.add(b),
        "a.add_": lambda a, b: a.add_(b),
    },
    "sum of a value with itself": {"a + a": lambda a, b: a + a},
    "sum with 0": {"a + 0": lambda a, b: a + 0},
    "sum with a constant": {
        "a + 1": lambda a, b: a + 1,
        "1 - a": lambda a, b: 1 - a,
        "a - 0.1": lambda a, b: a - 0.1,
        "torch.rsub(a, 1)": lambda a, b: torch.rsub(a, 1),
        "a + torch.ones(8)": lambda a, b: a + torch.ones(8),
    },
    "sum of a multiple": {"torch.add(a, b, alpha=2)": lambda a, b: torch.add(a, b, alpha=2)},
    "difference": {
        "a - b": lambda a, b: a - b,
        "a -= b": operator.isub,
        "torch.sub": torch.sub,
        "a.sub": lambda a, b: a.sub(b),
        "a.sub_": lambda a, b: a.sub_(b),
    },
    "negative": {"-a": lambda a, b: -a, "torch.neg": lambda a, b: torch.neg(a), "a.neg": lambda a, b: a.neg()},
    "product with a constant": {
        "a * 2": lambda a, b: a * 2,
        "a *= 2": lambda a, b: operator.imul(a, 2),  # type: ignore[no-untyped-call]
        "torch.mul(a, 2)": lambda a, b: torch.mul(a, 2),
        "a.mul(2)": lambda a, b: a.mul(2),
        "a.mul_(2)": lambda a, b: a.mul_(2),
    },
    "quotient by a constant": {
        "a / 2": lambda a, b: a / 2,
        "a /= 2": lambda a, b: operator.itruediv(a, 2),  # type: ignore[no-untyped-call]
        "torch.div(a, 2)": lambda a, b: torch.div(a, 2),
        "a.div(2)": lambda a, b: a.div(2),
        "a.div_(2)": lambda a, b: a.div_(2),
    },
    "product of two signals": {"a * b": lambda a, b: a * b, "torch.mul(a, b)": torch.mul},
    "quotient of two signals": {"a / b": lambda a, b: a / b},
    "concatenation": {
        "torch.cat([a, b], 1)": lambda a, b: torch.cat([a, b], 1),
        "torch.concat": lambda a, b: torch.concat([a, b], 1),
        "torch.concatenate": lambda a, b: torch.concatenate([a, b], 1),
    },
    "stacking": {"torch.stack([a, b], 1)": lambda a, b: torch.stack([a, b], 1)},
    "stacking, flattened": {"torch.stack([a, b], 1).flatten(1)": lambda a, b: torch.stack([a, b], 1).flatten(1)},
    "dropout, off in evaluation": {
        "F.dropout(a, training=self.training)": lambda a, b: F.dropout(a, training=False),
        "torch.dropout": lambda a, b: torch.dropout(a, 0.5, False),
    },
    "dropout, left on": {"F.dropout(a)": lambda a, b: F.dropout(a)},
    "reshape that changes nothing": {"a.view(a.size(0), 8)": lambda a, b: a.view(a.size(0), 8)},
    "slice": {
        "a[:, 2:]": lambda a, b: a[:, 2:],
        "a[:, ::2]": lambda a, b: a[:, ::2],
        "a[:, [3, 1]]": lambda a, b: a[:, [3, 1]],
        "torch.narrow": lambda a, b: torch.narrow(a, 1, 2, 4),
        "a.narrow": lambda a, b: a.narrow(1, 2, 4),
    },
    "slice of the batch": {"a[2:]": lambda a, b: a[2:]},
    "parts": {
        "torch.chunk": lambda a, b: torch.chunk(a, 2, 1)[0],
        "a.chunk": lambda a, b: a.chunk(2, 1)[1],
        "torch.split": lambda a, b: torch.split(a, 3, 1)[2],
        "a.split": lambda a, b: a.split([3, 5], 1)[1],  # type: ignore[no-untyped-call]  # torch gives it no types
    },
    "padding": {"F.pad(a, (1, 2))": lambda a, b: F.pad(a, (1, 2))},
    "matrix product": {
        "a @ b": lambda a, b: a.unsqueeze(2) @ b.unsqueeze(1),
        "torch.matmul": lambda a, b: torch.matmul(a.unsqueeze(2), b.unsqueeze(1)),
        "torch.bmm": lambda a, b: torch.bmm(a.unsqueeze(2), b.unsqueeze(1)),
        "a.matmul": lambda a, b: a.unsqueeze(2).matmul(b.unsqueeze(1)),
        "a.bmm": lambda a, b: a.unsqueeze(2).bmm(b.unsqueeze(1)),
        "torch.einsum": lambda a, b: torch.einsum("bi,bj->bij", a, b),
    },
    "activation": {
        "torch.relu": lambda a, b: torch.relu(a),
        "F.relu": lambda a, b: F.relu(a),
        "a.relu": lambda a, b: a.relu(),
        "F.gelu": lambda a, b: F.gelu(a),
        "F.silu": lambda a, b: F.silu(a),
        "torch.sigmoid": lambda a, b: torch.sigmoid(a),
        "F.sigmoid": lambda a, b: F.sigmoid(a),
        "a.sigmoid": lambda a, b: a.sigmoid(),
        "torch.tanh": lambda a, b: torch.tanh(a),
        "F.tanh": lambda a, b: F.tanh(a),
        "a.tanh": lambda a, b: a.tanh(),
        "torch.exp": lambda a, b: torch.exp(a),
        "a.exp": lambda a, b: a.exp(),
        "torch.sqrt": lambda a, b: torch.sqrt(torch.relu(a)),
        "a.sqrt": lambda a, b: a.relu().sqrt(),
        "a.clamp": lambda a, b: a.clamp(0, 1),
    },
    "softmax and norms": {
        "torch.softmax": lambda a, b: torch.softmax(a, 1),
        "F.softmax": lambda a, b: F.softmax(a, 1),
        "a.softmax": lambda a, b: a.softmax(1),
        "F.normalize": lambda a, b: F.normalize(a, dim=1),
        "F.layer_norm": lambda a, b: F.layer_norm(a, (8,)),
        "a.norm": lambda a, b: a.norm(dim=1, keepdim=True),
    },
    "sum or mean over a dimension": {
        "torch.sum": lambda a, b: torch.sum(a, 1, keepdim=True),
        "a.sum": lambda a, b: a.sum(1, keepdim=True),
        "torch.mean": lambda a, b: torch.mean(a, 1, keepdim=True),
        "a.mean": lambda a, b: a.mean(1, keepdim=True),
    },
    "new axes": {
        "torch.unsqueeze": lambda a, b: torch.unsqueeze(a, 1),
        "a.unsqueeze": lambda a, b: a.unsqueeze(1),
        "a.squeeze": lambda a, b: a.unsqueeze(1).squeeze(1),
    },
    "maximum over a dimension": {"a.amax(1)": lambda a, b: a.amax(1, keepdim=True)},
    "choice": {"torch.where": lambda a, b: torch.where(a > 0, a, b)},
    "functional layer": {"F.linear": lambda a, b: F.linear(a, torch.ones(8, 8))},
    "copies": {
        "a.detach()": lambda a, b: a.detach(),
        "torch.detach": lambda a, b: torch.detach(a),
        "a.clone()": lambda a, b: a.clone(),
        "torch.clone": lambda a, b: torch.clone(a),
        "a.contiguous()": lambda a, b: a.contiguous(),
        "a.float()": lambda a, b: a.float(),
    },
}
# What is computed from an image, or from a line.
OF_IMAGE: dict[str, dict[str, tuple[Shape, Callable[[Tensor], Tensor]]]] = {
    "flattening": {
        "torch.flatten(a, 1)": (IMAGE, lambda a: torch.flatten(a, 1)),
        "a.flatten(1)": (IMAGE, lambda a: a.flatten(1)),
        "a.view(a.size(0), -1)": (IMAGE, lambda a: a.view(a.size(0), -1)),
        "a.reshape(a.shape[0], -1)": (IMAGE, lambda a: a.reshape(a.shape[0], -1)),
        "torch.reshape": (IMAGE, lambda a: torch.reshape(a, (a.size(0), -1))),
    },
    "index": {
        "a[:, 1]": (IMAGE, lambda a: a[:, 1]),
        "torch.select": (IMAGE, lambda a: torch.select(a, 2, 3)),
        "a.select": (IMAGE, lambda a: a.select(3, 0)),
        "torch.unbind": (IMAGE, lambda a: torch.unbind(a, 1)[0]),
        "a.unbind": (IMAGE, lambda a: a.unbind(1)[1]),
    },
    "slice of an image": {
        "a[:, :, 1:4, ::2]": (IMAGE, lambda a: a[:, :, 1:4, ::2]),
        "a[..., 2:]": (IMAGE, lambda a: a[..., 2:]),
    },
    "concatenation along rows": {"torch.cat([a, a], 2)": (IMAGE, lambda a: torch.cat([a, a], 2))},
    "padding of an image": {
        "F.pad(a, (1, 0, 2, 1))": (IMAGE, lambda a: F.pad(a, (1, 0, 2, 1))),
        "F.pad(a, (1, 1), value=0.5)": (IMAGE, lambda a: F.pad(a, (1, 1), value=0.5)),
        "F.pad(a, (1, 1), 'reflect')": (LINE, lambda a: F.pad(a, (1, 1), "reflect")),
    },
    "functional resizing": {
        "F.interpolate(a, scale_factor=2)": (IMAGE, lambda a: F.interpolate(a, scale_factor=2)),
        "F.pixel_shuffle": ((8, 3, 3), lambda a: F.pixel_shuffle(a, 2)),
        "F.conv_transpose2d": (IMAGE, lambda a: F.conv_transpose2d(a, torch.ones(2, 3, 2, 2), stride=2)),
    },
    "another reshape": {"a.view(a.size(0), 4, 18)": (IMAGE, lambda a: a.view(a.size(0), 4, 18))},
    "transposition": {
        "torch.transpose": (LINE, lambda a: torch.transpose(a, 1, 2)),
        "a.transpose": (LINE, lambda a: a.transpose(1, 2)),
        "torch.permute": (IMAGE, lambda a: torch.permute(a, (0, 2, 3, 1))),
        "a.permute": (IMAGE, lambda a: a.permute(0, 2, 3, 1)),
    },
    "functional pooling": {
        "F.avg_pool2d(a, 2)": (IMAGE, lambda a: F.avg_pool2d(a, 2)),
        "F.avg_pool2d(a, 3, stride=1, padding=1)": (IMAGE, lambda a: F.avg_pool2d(a, 3, stride=1, padding=1)),
        "F.max_pool2d": (IMAGE, lambda a: F.max_pool2d(a, 2)),
        "F.avg_pool2d(a, 4, ceil_mode=True)": (IMAGE, lambda a: F.avg_pool2d(a, 4, ceil_mode=True)),
    },
}


def call_cases() -> Iterator[Case]:
    """Yield the cases."""
    for subject, forms in OF_CURRENTS.items():
        for spelling, call in forms.items():
            yield Case(GROUP, subject, f"`{spelling}`", lambda call=call: OfCurrents(call))  # type: ignore[misc]
    yield Case(GROUP, "concatenation", "`torch.cat([a, b], 1)` in front of a Linear", _Weighted)
    yield Case(GROUP, "states of a neuron", "`spk, mem = neuron(a)`", _ReadsMembrane)
    for subject, of_image in OF_IMAGE.items():
        for spelling, (shape, function) in of_image.items():
            yield Case(GROUP, subject, f"`{spelling}`", lambda f=function: OfValue(f), shape)  # type: ignore[misc]


class _Weighted(OfCurrents):
    """`after(it(cat(before(x), other(x))))`."""

    def __init__(self) -> None:
        super().__init__(lambda a, b: torch.cat([a, b], 1))
        self.it = nn.Linear(16, 8)

    def forward(self, x: Tensor) -> object:
        """Return the spikes behind the layer."""
        return self.after(self.it(self.call(self.before(x), self.other(x))))


class _ReadsMembrane(nn.Module):
    """Both the spikes and the membrane of a neuron that has both as nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.it = nn.Linear(8, 8), leaky(reset_mechanism="subtract", output=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both."""
        spk, mem = self.it(self.before(x))
        return spk, mem
