"""The registered model `s-cmrl`."""

from __future__ import annotations

from spikeport.models.family import Family
from spikeport.models.scmrl.build import build, input_names
from spikeport.models.scmrl.params import ScmrlParams
from spikeport.models.scmrl.twin import twin

FAMILY = Family(params=ScmrlParams, build=build, twin=twin, inputs=input_names)
