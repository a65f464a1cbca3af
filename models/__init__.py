"""snnTorch networks and their ANN twins, by name. Importing this package imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikeport.registry import Registry

if TYPE_CHECKING:
    from spikeport.models.family import Family

MODELS: Registry[Family] = Registry("model")
MODELS.register("av-digits", "spikeport.models.av_digits:FAMILY")
MODELS.register("mlp", "spikeport.models.mlp:FAMILY")
MODELS.register("s-cmrl", "spikeport.models.scmrl.family:FAMILY")
MODELS.register("l2-actspikenet", "spikeport.models.l2act.family:FAMILY")
