"""Backends side by side, bit for bit: equal ones are, and one entry that differs is found and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deploy_nets import inputs, mlp

from spikeport.deploy.compare import Difference, compare, lines
from spikeport.deploy.lava import fixed_backend, float_backend
from spikeport.deploy.loihi.backend import backend
from spikeport.errors import UsageError


def test_the_same_integers_compare_as_equal() -> None:
    net = mlp()
    x = inputs(net)
    ours, theirs = backend.lower(net, x).run(x), fixed_backend.lower(net, x).run(x)
    found = compare("core", ours, theirs)
    assert found == Difference(sum(v.size for v in theirs.nodes.values()), 0, None)
    assert lines({"core": found}, "loihi", "lava-fixed") == [
        f"core: loihi and lava-fixed differ in 0 of {found.entries:,} entries"
    ]


def test_the_earliest_entry_that_differs_is_named() -> None:
    net = mlp()
    x = inputs(net)
    ours = backend.lower(net, x).run(x)
    altered = {name: np.array(values) for name, values in ours.nodes.items()}
    altered["y"][4, 0, 7] ^= 1
    altered["h"][6, 1, 2] ^= 1
    found = compare("core", ours, replace(ours, nodes=altered))
    # `out` shows what `y` does, and was not altered.
    assert (found.differing, found.first) == (2, ("y", 4, 0, (7,)))
    assert "first at node 'y', step 4, sample 0, neuron (7,)" in lines({"core": found}, "a", "b")[0]


def test_backends_of_other_clocks_are_not_compared() -> None:
    net = mlp()
    x = inputs(net)
    with pytest.raises(UsageError, match="another time"):
        compare("core", backend.lower(net, x).run(x), replace(float_backend.lower(net).run(x), latency_steps={}))


def test_a_bare_file_has_nothing_to_compare_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from spikeport.cli import main
    from spikeport.export.nir_file import write_nir

    write_nir(tmp_path / "net.nir", mlp())
    assert (
        main(["deploy", str(tmp_path / "net.nir"), "--dt", "1e-3", "--backend", "loihi", "--compare", "lava-fixed"])
        == 2
    )
    assert "carries no samples" in capsys.readouterr().err
