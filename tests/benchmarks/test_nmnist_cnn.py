"""The accuracy of a bare NIR network on recordings: scores by an independent loop, and what is refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
from bench_nets import conv, graph, sink, source
from nmnist_files import REAL, write_folder

from spikeport.benchmarks.nmnist_cnn import main, on_backends, report, resets, score
from spikeport.deploy import backends
from spikeport.export.graph import ChipGraph
from spikeport.export.interpreter import run
from spikeport.export.nir_file import write_nir
from spikeport.export.resets import with_soft_reset
from spikeport.train.datasets.nmnist import NMnistData, binned, read_events, recordings

SINABS = REAL.parents[1] / "nir" / "cnn_sinabs.nir"


def rows_to_digits(theta: float = 3.0) -> ChipGraph:
    """A generated recording of digit d has events in row d alone: each row's events go to its neuron."""
    weight = np.zeros((10, 2, 34, 34))
    for digit in range(10):
        weight[digit, :, digit] = 1
    cell = nir.IF(r=np.ones(10), v_threshold=np.full(10, theta), v_reset=np.zeros(10))
    nodes = {
        "input": source(2, 34, 34),
        "flat": nir.Flatten({"input": np.array([2, 34, 34])}, 0, -1),
        "fc": nir.Affine(weight.reshape(10, -1), np.zeros(10)),
        "cell": cell,
        "output": sink(10),
    }
    names = list(nodes)
    return graph(nodes, list(pairwise(names)))


def test_scores_are_the_spikes_of_a_whole_run(tmp_path: Path) -> None:
    data = NMnistData(folder=write_folder(tmp_path, per_digit=2), steps=40)
    hard = rows_to_digits()
    found = score(resets(hard), data, batch=7, progress=lambda _: None)
    chosen = recordings(tmp_path / "Train")
    x = np.stack([binned(read_events(path), data) for path in chosen.paths], axis=1).astype(float)
    for reset, variant in {"hard": hard, "soft": with_soft_reset(hard)}.items():
        np.testing.assert_array_equal(found.by_variant[reset], run(variant, {"input": x}).nodes["output"].sum(0))
    assert found.by_variant["soft"].sum() > found.by_variant["hard"].sum() > 0
    assert found.labels_N.tolist() == chosen.labels_N.tolist()
    assert "| hard | 20 of 20 | 1.0000 | 0.8389 to 1.0000 | 0 |" in report(found)


def test_the_command_prints_both_resets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path, per_digit=2)
    (tmp_path / "Train" / "4" / "00000.bin").write_bytes(b"abc")
    file = tmp_path / "net.nir"
    write_nir(file, rows_to_digits())
    argv = [str(file), "--data", str(tmp_path), "--batch", "1"]
    assert main(argv) == 1
    assert "00000.bin" in capsys.readouterr().err
    assert main([*argv, "--skip-bad"]) == 0
    out = capsys.readouterr().out
    assert "19 recordings (1 unreadable ones skipped); in-sample" in out
    assert out.count("19 of 19") == 2


def test_a_backend_is_compared_with_float(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = NMnistData(folder=write_folder(tmp_path, per_digit=2), steps=40)
    found = score(on_backends(rows_to_digits(), data, {"loihi": backends.get("loihi")}), data, 7, lambda _: None)
    np.testing.assert_array_equal(found.by_variant["loihi"], found.by_variant["hard"])
    write_nir(tmp_path / "net.nir", rows_to_digits())
    argv = [str(tmp_path / "net.nir"), "--data", str(tmp_path), "--backend", "loihi", "--weight-bits"]
    assert main([*argv, "4"]) == 0
    assert "loihi - hard: +0.0000, 95 %" in capsys.readouterr().out
    assert main([*argv, "0"]) == 2


def test_what_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = conv(np.random.default_rng(0), 2, 3, (3, 3), side=(34, 34))
    other = graph({"input": source(3, 34, 34), "c": one, "output": sink(1)}, [("input", "c"), ("c", "output")])
    write_nir(tmp_path / "other.nir", other)
    write_nir(tmp_path / "net.nir", rows_to_digits())
    write_folder(tmp_path, per_digit=1)
    assert main([str(tmp_path / "other.nir"), "--data", str(tmp_path)]) == 2
    assert main([str(tmp_path / "net.nir"), "--data", str(tmp_path / "nowhere")]) == 1
    assert main([str(tmp_path / "net.nir"), "--data", str(tmp_path), "--dt", "1e-8"]) == 2
    assert main([str(tmp_path / "net.nir"), "--data", str(tmp_path), "--dt", "nan"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4
    assert "[2, 34, 34]" in errors[0]
    for file in tmp_path.glob("Train/*/*.bin"):
        file.write_bytes(b"x")
    assert main([str(tmp_path / "net.nir"), "--data", str(tmp_path), "--skip-bad"]) == 1
    assert "no recording is left" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not (SINABS.exists() and REAL.is_dir()), reason="the shared files are not on this machine")
def test_the_papers_network_on_real_recordings() -> None:
    from spikeport.export.stages import network_of_nir

    net = network_of_nir(SINABS, 1e-3).chips[0].graph
    found = score(resets(net), NMnistData(folder=REAL, per_class=10), 25, lambda _: None)
    right = {reset: int((y.argmax(1) == found.labels_N).sum()) for reset, y in found.by_variant.items()}
    assert right["hard"] >= 98
    assert right["soft"] >= 95
