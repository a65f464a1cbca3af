"""A golden recording of another form than its bundle's stages is refused, though every hash fits."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged import Arrays, change_golden, copied, put_hashes_right
from proof_nets import plain_bundle

from spikeport.errors import ArtefactError
from spikeport.export.bundle import Bundle
from spikeport.export.proof import replay
from spikeport.export.recording import FLOAT32


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("plain") / "net.bundle")


@pytest.fixture
def bundle(plain: Path, tmp_path: Path) -> Path:
    return copied(plain, tmp_path)


def put(name: str, change: Any) -> Any:
    def apply(arrays: Arrays) -> None:
        arrays[name] = change(arrays[name])

    return apply


def at_once(x: Any, value: float) -> Any:
    x = x.astype(np.float64)
    x[3, 2, 0] = value
    return x


GARBAGE = {
    "a node missing": (lambda a: a.pop(SPIKES), "stage 'core', node .* it is missing"),
    "an output missing": (lambda a: a.pop("output/logits"), "output 'logits'"),
    "an input missing": (lambda a: a.pop("input/x"), "input 'x'"),
    "a stage missing": (lambda a: [a.pop(n) for n in list(a) if n.startswith("node/")], "stage 'core'"),
    "another node": (lambda a: a.update({"node/core/ghost": a[SPIKES]}), "node 'ghost'"),
    "another stage": (lambda a: a.update({"node/ghost/x": a[SPIKES]}), "stage 'ghost'"),
    "another output": (lambda a: a.update({"output/ghost": a["output/logits"]}), "output 'ghost'"),
    "another input": (lambda a: a.update({"input/ghost": a["input/x"]}), "input 'ghost'"),
    "another tensor": (lambda a: a.update({"tensor/ghost": a["input/x"]}), "tensor 'ghost'"),
    "another host": (lambda a: a.update({"host/ghost/x": a["input/x"]}), "host stage 'ghost'"),
    "a host's value": (lambda a: a.update({"host/readout/x": a["input/x"]}), "value 'spikes/x'|value 'x'"),
    "another kind": (lambda a: a.update({"secret/ghost": a["input/x"]}), "nothing is called 'secret/ghost'"),
    "no kind": (lambda a: a.update({"ghost": a["input/x"]}), "nothing is called 'ghost'"),
    "fewer steps": (lambda a: put(SPIKES, lambda x: x[:-1])(a), "19 steps"),
    "more steps": (lambda a: put(SPIKES, lambda x: np.concatenate([x, x]))(a), "40 steps"),
    "steps of the input": (lambda a: put("input/x", lambda x: x[:-1])(a), "not \\(20, 8, 8\\)"),
    "fewer samples": (lambda a: put(SPIKES, lambda x: x[:, :3])(a), "its shape"),
    "no samples": (lambda a: [put(n, lambda x: x[:, :0])(a) for n in a if x_like(a[n])], "its shape"),
    "another shape": (lambda a: put(SPIKES, lambda x: x[..., :3])(a), "its shape"),
    "a number alone": (lambda a: put(SPIKES, lambda x: np.array(1))(a), "its shape"),
    "NaN in": (lambda a: put("input/x", lambda x: at_once(x, np.nan))(a), "'x': it is no number at step 3, sample 2"),
    "NaN out": (lambda a: put("output/logits", lambda x: x * np.nan)(a), "'logits': it is no number"),
    "infinite": (lambda a: put(SPIKES, lambda x: at_once(x, np.inf))(a), "it is no number at step 3, sample 2"),
    "a spike of 2": (lambda a: put(SPIKES, lambda x: at_once(x, 2))(a), "a spike is 0 or 1"),
    "half a spike": (lambda a: put(SPIKES, lambda x: at_once(x, 0.5))(a), "a spike is 0 or 1"),
    "text": (lambda a: put(SPIKES, lambda x: x.astype("U4"))(a), "not numbers"),
    "complex": (lambda a: put("output/logits", lambda x: x + 0j)(a), "not numbers"),
    "arithmetic": (lambda a: a.update({"unit_roundoff/core": np.array(0.5)}), "none of an arithmetic"),
    "two arithmetics": (lambda a: a.update({"unit_roundoff/core": np.ones(2)}), "golden recording"),
    "of no stage": (lambda a: a.update({"unit_roundoff/ghost": np.array(FLOAT32)}), "stage 'ghost'"),
}  # fmt: skip
SPIKES = ""


def x_like(x: Any) -> bool:
    return x.ndim > 1


@pytest.mark.parametrize(("change", "said"), GARBAGE.values(), ids=GARBAGE.keys())
def test_a_golden_recording_of_another_form_is_refused(
    change: Any, said: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Bundle.open(bundle).network.chips[0].graph.spiking[0]
    monkeypatch.setitem(globals(), "SPIKES", f"node/core/{node}")
    change_golden(bundle, change)
    opened = Bundle.open(bundle)
    with pytest.raises(ArtefactError, match=said) as error:
        replay(opened)
    assert "golden.npz" in str(error.value)


def test_an_answer_of_another_shape(bundle: Path) -> None:
    change_golden(bundle, put("output/logits", lambda x: x[..., :2]))
    found = replay(Bundle.open(bundle)).disagreement
    assert found is not None
    assert found.reason == "its shape is (1, 8, 2), and onnxruntime gives (1, 8, 3)"


def test_an_entry_that_stands_twice(bundle: Path) -> None:
    with zipfile.ZipFile(bundle / "golden.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("input/x.npy", archive.read("input/x.npy"))
    put_hashes_right(bundle)
    with pytest.raises(ArtefactError, match="stands twice"):
        replay(Bundle.open(bundle))
