"""Bundles: whole or not there, and every changed byte is found."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from export_nets import DT, leaky, spikes_like, torch_outputs
from torch import nn

from spikeport.errors import ArtefactError, SpikeportError, UnfaithfulError, UsageError
from spikeport.export.audit import audit
from spikeport.export.bundle import Bundle, Golden, is_bundle
from spikeport.export.interpreter import run
from spikeport.export.manifest import read_manifest
from spikeport.export.network import GOLDEN_SAMPLES, Description, export_network
from spikeport.export.onnx_macs import macs_per_call
from spikeport.export.onnx_stage import HOST_TOLERANCE, HostFunction, export_window, host_difference
from spikeport.export.recording import FLOAT32, Recording
from spikeport.files import sha256
from spikeport.models.network import SpikeRate, SpikingNetwork, core_network

ABOUT = Description("net", {}, {"seed": 1})
FILES = ("manifest.json", "00_core.nir", "01_readout.onnx", "golden.npz")
X = spikes_like((8,), steps=20, batch=10)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.lif = nn.Linear(8, 6), nn.Linear(4, 6), leaky()
        for layer in (self.a, self.b):
            nn.init.normal_(layer.weight)

    def forward(self, p, q):
        return self.lif(self.a(p) + self.b(q))


def model(readout: bool = True) -> SpikingNetwork:
    torch.manual_seed(0)
    core = nn.Sequential(nn.Linear(8, 12), leaky(reset_mechanism="zero"), nn.Linear(12, 6), leaky())
    for layer in core:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.6)
    return core_network(core, SpikeRate(6, 3) if readout else None, ("x",))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("made") / "net.bundle"
    export_network(model(), {"x": X}, DT, path, ABOUT)
    return path


@pytest.fixture
def bundle(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy.bundle"))


def left_behind(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_bundle_carries_its_own_proof(made):
    opened = Bundle.open(made)
    assert left_behind(made) == sorted(FILES)
    golden, stage = opened.golden(), opened.network.chips[0]
    assert golden.inputs["x"].shape == (20, GOLDEN_SAMPLES, 8)
    np.testing.assert_array_equal(golden.inputs["x"], X[:, :GOLDEN_SAMPLES].numpy())
    nodes = golden.nodes["core"]
    recording = Recording(nodes, dict.fromkeys(nodes, 0), 20, FLOAT32)
    agreement = audit(stage.graph, {"x": golden.inputs["x"]}, recording)
    assert agreement.exact
    assert all(0 < nodes[n].mean() < 1 for n in stage.graph.spiking)
    host = opened.network.stages[1]
    assert host.kind == "host"
    logits = HostFunction(host.path)({"input": nodes["output"]})["output"]
    net = model().eval()
    with torch.no_grad():
        wanted = net({"x": X[:, :GOLDEN_SAMPLES]}).numpy()
    np.testing.assert_allclose(logits, wanted, atol=1e-5)
    np.testing.assert_allclose(golden.outputs["logits"][0], wanted, atol=1e-5)
    manifest = opened.manifest
    assert (manifest.dt_s, manifest.timesteps, manifest.provenance) == (DT, 20, {"seed": 1})
    assert manifest.verification.status == "exact"
    assert manifest.verification.samples == 10
    assert manifest.verification.entries > 20 * 10 * (12 + 6)
    assert is_bundle(made)
    assert not is_bundle(made.parent)
    text = (made / "manifest.json").read_text()
    assert read_manifest(made / "manifest.json").dump() == text


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("place", [0, 0.5, -1])
def test_a_changed_byte_anywhere_is_named(bundle, name, place):
    Bundle.open(bundle)
    content = bytearray((bundle / name).read_bytes())
    at = place if place in (0, -1) else int(place * len(content))
    content[at] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(ArtefactError, match=name.replace(".", r"\.")):
        Bundle.open(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_truncated_file_is_named(bundle, name):
    content = (bundle / name).read_bytes()
    for damage in (content[:-1], content[: len(content) // 2], b""):
        (bundle / name).write_bytes(damage)
        if name == "manifest.json" and damage == content[:-1]:
            continue  # its last byte is the end of the line
        with pytest.raises(ArtefactError, match=name.replace(".", r"\.")):
            Bundle.open(bundle)
    (bundle / name).unlink()
    with pytest.raises(ArtefactError, match=name.replace(".", r"\.")):
        Bundle.open(bundle)


def edited(bundle: Path, change) -> None:
    path = bundle / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


EDITS = {
    "path upwards": lambda m: m["stages"][0].update(file="../outside.nir"),
    "absolute path": lambda m: m["stages"][0].update(file="/etc/passwd"),
    "path into a folder": lambda m: m["stages"][0].update(file="x/00_core.nir"),
    "hidden name": lambda m: m["stages"][0].update(file=".."),
    "no name": lambda m: m["stages"][0].update(file=""),
    "NUL in a name": lambda m: m["stages"][0].update(file="a\0b"),
    "a hash of another length": lambda m: m["stages"][0].update(sha256="00"),
    "unknown key": lambda m: m.update(more=1),
    "unknown kind": lambda m: m["stages"][0].update(kind="magic"),
    "another schema": lambda m: m.update(schema=99),
    "no schema": lambda m: m.pop("schema"),
    "no dt": lambda m: m.pop("dt_s"),
    "dt of 0": lambda m: m.update(dt_s=0),
    "dt of text": lambda m: m.update(dt_s="fast"),
    "NaN": lambda m: m.update(dt_s=float("nan")),
    "no steps": lambda m: m.update(timesteps=0),
    "stages of text": lambda m: m.update(stages="core"),
    "an edge that is not there": lambda m: m["stages"][0].update(registers=[["a", "b"]]),
    "no register": lambda m: m["stages"][0].update(registers=[]),
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS.keys())
def test_a_manifest_that_says_otherwise_is_refused(bundle, change):
    edited(bundle, lambda m: None)
    Bundle.open(bundle)
    edited(bundle, change)
    with pytest.raises(SpikeportError):
        Bundle.open(bundle)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "3", "{", '{"schema": 1}', "[" * 100_000, '{"schema": ' + "9" * 5000 + "}", "\ufeff{}", "\x00"],
    ids=["empty", "null", "list", "number", "cut", "bare", "deep", "long number", "mark", "zero byte"],
)
def test_json_that_is_no_manifest(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"manifest\.json"):
        read_manifest(tmp_path / "manifest.json")


def test_manifests_that_are_no_text(tmp_path):
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArtefactError, match="JSON"):
        Bundle.open(tmp_path)
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(ArtefactError, match="JSON"):
        Bundle.open(tmp_path)
    with pytest.raises(ArtefactError, match="no manifest"):
        Bundle.open(tmp_path / "nowhere")


def test_a_golden_file_that_is_none_is_refused_although_its_hash_fits(bundle):
    objects = bundle / "objects.npz"
    np.savez(objects, **{"input/x": np.array([{}], dtype=object)})
    broken = bundle / "broken.npz"
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("input/x.npy", b"\x93NUMPY nonsense")
    np.save(bundle / "bare.npy", np.ones(3))
    contents = [
        (bundle / "bare.npy").read_bytes(),
        objects.read_bytes(),
        broken.read_bytes(),
        b"PK\x03\x04",
        b"plain",
        b"",
    ]
    for content in contents:
        (bundle / "golden.npz").write_bytes(content)
        edited(bundle, lambda m: m.update(golden_sha256=sha256(bundle / "golden.npz")))
        with pytest.raises(ArtefactError, match=r"golden\.npz"):
            Bundle.open(bundle).golden()


def test_golden_round_trip(tmp_path):
    x, s, y = (np.random.default_rng(0).random(n) for n in ((2, 3, 4), (2, 3, 5), (1, 3, 2)))
    golden = Golden({"x": x}, {"core": {"a.b": s, "deep/name": s + 1}}, {"logits": y})
    golden.save(tmp_path / "golden.npz")
    again = Golden.load(tmp_path / "golden.npz")
    np.testing.assert_array_equal(again.inputs["x"], x)
    np.testing.assert_array_equal(again.nodes["core"]["deep/name"], s + 1)
    np.testing.assert_array_equal(again.outputs["logits"], y)
    assert set(again.nodes["core"]) == {"a.b", "deep/name"}


def test_an_onnx_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"not a model")
    with pytest.raises(ArtefactError, match=r"x\.onnx"):
        HostFunction(tmp_path / "x.onnx")


def test_nothing_is_overwritten(bundle):
    before = {n: sha256(bundle / n) for n in FILES}
    with pytest.raises(UsageError, match="exists"):
        export_network(model(), {"x": X}, DT, bundle, ABOUT)
    file = bundle / "manifest.json"
    with pytest.raises(UsageError, match="exists"):
        export_network(model(), {"x": X}, DT, file, ABOUT)
    assert {n: sha256(bundle / n) for n in FILES} == before


STEPS = ("drafts.write_nir", "drafts.sha256", "host_draft.export_window", "network.sha256", "network.Manifest")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_a_stop_in_the_middle_leaves_nothing(tmp_path, monkeypatch, step, error):
    def stop(*args, **kwargs):
        assert any(p.name.startswith(".net") for p in tmp_path.iterdir())  # it was being written
        raise error

    monkeypatch.setattr(f"spikeport.export.{step}", stop)
    with pytest.raises(type(error)):
        export_network(model(), {"x": X[:5]}, DT, tmp_path / "net.bundle", ABOUT)
    assert left_behind(tmp_path) == []


def wrong_reset(monkeypatch) -> None:
    """A converter that errs: the audit is what stands between it and the user."""
    from spikeport.export import convert as convert_package
    from spikeport.export.graph import ChipGraph

    right = convert_package.builder.Builder.graph

    def graph(self) -> ChipGraph:
        for node in self.nodes.values():
            if hasattr(node, "v_reset"):
                node.v_reset = node.v_reset + 0.5
        return right(self)

    monkeypatch.setattr(convert_package.builder.Builder, "graph", graph)


def test_a_mismatch_writes_nothing_but_without_verification_it_says_so(tmp_path, monkeypatch):
    wrong_reset(monkeypatch)
    with pytest.raises(UnfaithfulError, match="it is not the model"):
        export_network(model(), {"x": X}, DT, tmp_path / "net.bundle", ABOUT)
    assert left_behind(tmp_path) == []
    opened = export_network(model(), {"x": X}, DT, tmp_path / "net.bundle", ABOUT, check=False)
    assert opened.manifest.verification.status == "skipped"
    assert opened.manifest.verification.samples == opened.manifest.verification.entries == 0
    golden = opened.golden()
    recording = Recording(golden.nodes["core"], dict.fromkeys(golden.nodes["core"], 0), 20, FLOAT32)
    assert not audit(opened.network.chips[0].graph, {"x": golden.inputs["x"]}, recording).exact


def test_a_plain_module_and_its_single_tensor(tmp_path):
    core = model(readout=False).core
    opened = export_network(core, X, DT, tmp_path / "net.bundle", ABOUT)
    assert opened.network.inputs == {"input": (8,)}
    spikes = run(opened.network.chips[0].graph, {"input": X.numpy()}).nodes["output"]
    np.testing.assert_array_equal(spikes, torch_outputs(core.eval(), X)[0].numpy())


def test_inputs_go_by_the_networks_names_not_by_forwards(tmp_path):
    """The network's first name is forward's first argument, whatever forward calls it."""
    p, q = spikes_like((8,), steps=20), spikes_like((4,), steps=20, seed=3)
    for names in (("q", "p"), ("image", "sound")):
        torch.manual_seed(0)
        net = core_network(TwoInputs(), None, names).eval()
        named = dict(zip(names, (p, q), strict=True))
        opened = export_network(net, named, DT, tmp_path / f"{names[0]}.bundle", ABOUT)
        assert opened.network.inputs == {names[0]: (8,), names[1]: (4,)}
        spikes = run(opened.network.chips[0].graph, {n: x.numpy() for n, x in named.items()}).nodes["output"]
        with torch.no_grad():
            np.testing.assert_array_equal(spikes, net(named).numpy())


@pytest.mark.parametrize(
    ("sample", "match"),
    [
        ({"x": X[0]}, r"\[T, B, \*shape\]"),
        ({"x": X[:0]}, r"\[T, B, \*shape\]"),
        ({"x": X[..., :5]}, "one step of the model fails"),
        ({"y": X}, "Give one tensor for each"),
        ({"x": X, "y": X}, "Give one tensor for each"),
        ({"x": X / 0}, "NaN"),
        ({"x": X.to(torch.uint8)}, "dtype"),
        ({"x": X.double()}, "dtype"),
    ],
)
def test_samples_that_do_not_fit(tmp_path, sample, match):
    with pytest.raises(UsageError, match=match):
        export_network(model(), sample, DT, tmp_path / "net.bundle", ABOUT)
    assert left_behind(tmp_path) == []


def test_inputs_of_unequal_length_are_refused(tmp_path):
    net = core_network(TwoInputs(), None, ("p", "q"))
    for p, q in ((X, X[:5, :, :4]), (X[:5], X[..., :4]), (X[:, :5], X[..., :4])):
        with pytest.raises(UsageError, match="same T and B"):
            export_network(net, {"p": p, "q": q}, DT, tmp_path / "net.bundle", ABOUT)


class Last(nn.Module):
    """Several things that a window readout may do."""

    def forward(self, spikes_TBN):
        total = spikes_TBN.flatten(2).sum(0)
        return torch.softmax(total / spikes_TBN.shape[0] + spikes_TBN[-1].flatten(1), 1)


@pytest.mark.parametrize(("readout", "shape"), [(SpikeRate(6, 3), (6,)), (Last(), (2, 3))], ids=["rate", "softmax"])
def test_an_onnx_readout_equals_torch_for_other_t_and_b(tmp_path, readout, shape):
    path = tmp_path / "readout.onnx"
    export_window(readout, [torch.zeros(20, 1, *shape)], ["input"], ["output"], path)
    function = HostFunction(path)
    for steps, batch in ((20, 1), (1, 1), (1, 5), (7, 3), (100, 17)):
        x = spikes_like(shape, steps, batch, seed=steps)
        with torch.no_grad():
            wanted = readout(x).numpy()
        got = function({"input": x.numpy()})["output"]
        assert got.shape == wanted.shape
        assert host_difference(wanted, got) < HOST_TOLERANCE
    assert host_difference(wanted, wanted + 1) > HOST_TOLERANCE
    assert str(tmp_path).encode() not in path.read_bytes()
    if isinstance(readout, SpikeRate):
        macs, left_out = macs_per_call(path)
        assert macs == 18
        assert left_out


def test_export_is_reproducible(tmp_path, made):
    export_network(model(), {"x": X}, DT, tmp_path / "net.bundle", ABOUT)
    again = Bundle.open(tmp_path / "net.bundle")
    golden, other = again.golden(), Bundle.open(made).golden()
    for name in other.nodes["core"]:
        np.testing.assert_array_equal(golden.nodes["core"][name], other.nodes["core"][name])
