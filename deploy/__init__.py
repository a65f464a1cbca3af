"""Backends: each takes a chip stage from a bundle and runs it, or says why not.

The package can be called: `spikeport.deploy(bundle, backend)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikeport.callable_package import make_callable
from spikeport.registry import Registry

if TYPE_CHECKING:
    from spikeport.deploy.backend import Backend

backends: Registry[Backend] = Registry("backend")
backends.register("reference", "spikeport.deploy.reference:backend")
backends.register("norse", "spikeport.deploy.norse:backend")
backends.register("lava-float", "spikeport.deploy.lava:float_backend")
backends.register("loihi", "spikeport.deploy.loihi.backend:backend")
backends.register("lava-fixed", "spikeport.deploy.lava:fixed_backend")

make_callable(__name__, "spikeport.deploy.call:deploy")
