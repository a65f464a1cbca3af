"""The registered model `s-cmrl`."""

from __future__ import annotations

from spikeport.models.family import Family
from spikeport.models.scmrl.build import build
from spikeport.models.scmrl.params import ScmrlParams
from spikeport.models.scmrl.twin import twin
from spikeport.models.sides import input_names

FAMILY = Family(params=ScmrlParams, build=build, twin=twin, inputs=input_names)
