"""Batch norms in float64: a chip graph folds them into its weights, and a folded form has none of their roundings."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import fx, nn


class NormsInFloat64(fx.Interpreter):
    """Runs a traced step whose batch norms compute in float64 and round once, at their output."""

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Normalise in float64: the folded form has no intermediate values, whose rounding has no bound."""
        layer = self.fetch_attr(str(target))
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            (x,) = (*args, *kwargs.values())
            fields = (layer.running_mean, layer.running_var, layer.weight, layer.bias)
            mean, var, weight, bias = (f if f is None else f.double() for f in fields)
            return F.batch_norm(x.double(), mean, var, weight, bias, eps=layer.eps).to(x.dtype)
        return super().call_module(target, args, kwargs)
