"""The registered model `l2-actspikenet`."""

from __future__ import annotations

from spikeport.models.family import Family
from spikeport.models.l2act.build import build
from spikeport.models.l2act.params import L2ActParams
from spikeport.models.l2act.twin import twin
from spikeport.models.sides import input_names

FAMILY = Family(params=L2ActParams, build=build, twin=twin, inputs=input_names)
