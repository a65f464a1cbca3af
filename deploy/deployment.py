"""A deployment on disk: what a backend needs, what becomes of every node, and what the samples did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.deploy.backend import Backend, explain_stage
from spikeport.deploy.loihi.mapper.show import write_mappings
from spikeport.deploy.mapped import Mappings, map_programs
from spikeport.deploy.pipeline import NetworkRun, lower_network, run_network
from spikeport.deploy.quantised import Losses, losses_of
from spikeport.export.audit import Agreement, audit
from spikeport.export.coverage import Coverage, cover
from spikeport.export.recording import Recording
from spikeport.export.stages import StagedNetwork
from spikeport.files import new_folder, refuse_existing

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Deployment:
    """The outcome of a deployment.

    Attributes:
        path: its folder.
        agreements: each chip stage's audit against the reference; empty where there were no samples.
        coverage: what the samples exercised, as the backend ran them; `None` where there were none.
        as_declared: every stage is exact, or runs on a backend that quantises and says so.
        mappings: where each chip stage lies on a chip's cores, for a backend that can say.
        losses: what integers cost each chip stage, for a backend that quantises.
        run: the run itself, `None` where there were no samples.
    """

    path: Path
    agreements: Mapping[str, Agreement]
    as_declared: bool
    mappings: Mappings = field(default_factory=dict)
    losses: Losses = field(default_factory=dict)
    run: NetworkRun | None = None
    coverage: Coverage | None = None


def deploy_network(
    network: StagedNetwork,
    backend: Backend,
    out: Path,
    inputs_TB: Mapping[str, Array] | None,
    samples: int,
    chips: Sequence[str] = (),
) -> Deployment:
    """Lower `network`, write the new folder `out`, run at most `samples` of the inputs and audit them.

    A backend that can place its programs does so on `chips`, by default on every chip that is known.

    Raises:
        UnfaithfulError: the backend refuses a node.
        UnavailableError: the backend cannot run here.
        UsageError: `out` exists.
    """
    refuse_existing(out)
    programs = lower_network(network, backend, inputs_TB)
    run = run_network(network, programs, {n: x[:, :samples] for n, x in inputs_TB.items()}) if inputs_TB else None
    agreements = audit_run(network, run) if run else {}
    mappings = map_programs(programs, run, chips)
    with new_folder(out) as folder:
        for stage in network.chips:
            place = folder / stage.name
            place.mkdir()
            programs[stage.name].save(place)
            verdicts = [asdict(verdict) for verdict in explain_stage(backend, stage)]
            (place / "explain.json").write_text(json.dumps(verdicts, indent=2) + "\n", encoding="utf-8")
            if stage.name in mappings:
                write_mappings(mappings[stage.name], place / "mapping.json")
            if run:
                _save_recording(place / "recording.npz", run.recordings[stage.name])
    as_declared = all(found.exact or (run and stage in run.quantised) for stage, found in agreements.items())
    coverage = cover_run(network, run) if run else None
    return Deployment(out, agreements, as_declared, mappings, losses_of(programs), run, coverage)


def audit_run(network: StagedNetwork, run: NetworkRun) -> dict[str, Agreement]:
    """Audit every chip stage of a run on the inputs that it was given."""
    return {
        stage.name: audit(stage.graph, run.chip_inputs[stage.name], run.recordings[stage.name])
        for stage in network.chips
    }


def cover_run(network: StagedNetwork, run: NetworkRun) -> Coverage:
    """Return what a run exercised of every spiking node on a chip."""
    return cover((stage.name, stage.graph, run.recordings[stage.name]) for stage in network.chips)


def _save_recording(path: Path, recording: Recording) -> None:
    latency = {f"latency_steps/{name}": np.array(steps) for name, steps in recording.latency_steps.items()}
    nodes = {f"node/{name}": values for name, values in recording.nodes.items()}
    np.savez_compressed(path, timesteps=np.array(recording.timesteps), **nodes, **latency)  # type: ignore[arg-type]
