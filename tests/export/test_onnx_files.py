"""Every file that a stage reads is in the bundle's hash: data outside of a file are refused, wherever they hang."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from damaged import copied, put_hashes_right
from google.protobuf.descriptor import Descriptor
from hostile_nir import external_link, external_root, outside_data, virtual_data
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper
from onnx.external_data_helper import set_external_data

from spikeport.errors import ArtefactError
from spikeport.export import onnx_files
from spikeport.export.bundle import Bundle
from spikeport.export.onnx_files import refuse_external_data
from spikeport.models import zoo

ELSEWHERE = ("weights.bin", "../weights.bin", "/etc/hostname", "")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return copied(zoo.zoo_path("av-digits"), tmp_path)


def tensor(location: str | None, name: str = "w") -> TensorProto:
    made = helper.make_tensor(name, TensorProto.FLOAT, [2], np.ones(2, np.float32).tobytes(), raw=True)
    if location is not None:
        set_external_data(made, location)
    return made


def node(**attributes: Any) -> NodeProto:
    return helper.make_node("Constant", [], ["y"], "n", **attributes)


def graph(nodes: list[NodeProto] | None = None, **kinds: Any) -> GraphProto:
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    return helper.make_graph(nodes or [], "g", [], [y], **kinds)


def model(of: GraphProto, **kinds: Any) -> onnx.ModelProto:
    return helper.make_model(of, **kinds)


def sparse(values: TensorProto, indices: TensorProto) -> Any:
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[4])


def trained(inner: GraphProto) -> onnx.ModelProto:
    made = model(graph())
    made.training_info.append(onnx.TrainingInfoProto(algorithm=inner))
    return made


def function(inner: NodeProto) -> onnx.ModelProto:
    made = helper.make_function("own", "f", [], ["y"], [inner], [helper.make_opsetid("", 18)])
    return model(graph(), functions=[made])


def attribute(**kinds: Any) -> AttributeProto:
    return AttributeProto(name="a", **kinds)


def with_attribute(a: AttributeProto) -> onnx.ModelProto:
    made = node()
    made.attribute.append(a)
    return model(graph([made]))


PLACES: dict[str, Callable[[TensorProto], onnx.ModelProto]] = {
    "initializer": lambda t: model(graph(initializer=[tensor(None, "v"), t])),
    "sparse values": lambda t: model(graph(sparse_initializer=[sparse(t, tensor(None))])),
    "sparse indices": lambda t: model(graph(sparse_initializer=[sparse(tensor(None), t)])),
    "constant": lambda t: model(graph([node(value=t)])),
    "list of tensors": lambda t: with_attribute(attribute(tensors=[tensor(None), t])),
    "sparse attribute": lambda t: with_attribute(attribute(sparse_tensor=sparse(t, tensor(None)))),
    "sparse list": lambda t: with_attribute(attribute(sparse_tensors=[sparse(t, tensor(None))])),
    "inner graph": lambda t: with_attribute(attribute(g=graph([node(value=t)]))),
    "list of graphs": lambda t: with_attribute(attribute(graphs=[graph(), graph(initializer=[t])])),
    "function": lambda t: function(node(value=t)),
    "training": lambda t: trained(graph(initializer=[t])),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_data_elsewhere_are_refused_by_name(place: Callable[[TensorProto], onnx.ModelProto], tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(place(tensor(None)).SerializeToString())
    refuse_external_data(path)
    for location in ELSEWHERE:
        path.write_bytes(place(tensor(location, "weight of x")).SerializeToString())
        with pytest.raises(ArtefactError, match=r"x\.onnx: tensor 'weight of x'.*another file"):
            refuse_external_data(path)


def test_the_way_to_every_tensor_is_onnxs_own() -> None:
    """What leads to a TensorProto by onnx's descriptors is what the walk follows; a new place would show here."""
    names = {
        "ModelProto": "model", "TrainingInfoProto": "training", "FunctionProto": "function", "GraphProto": "graph",
        "SparseTensorProto": "sparse", "NodeProto": "node", "AttributeProto": "attribute", "TensorProto": "tensor",
    }  # fmt: skip

    def leads(message: Descriptor, seen: frozenset[str] = frozenset()) -> bool:
        inner = [f.message_type for f in message.fields if f.message_type and f.message_type.name not in seen]
        return message.name == "TensorProto" or any(leads(m, seen | {message.name}) for m in inner)

    for message, short in names.items():
        fields = getattr(onnx, message).DESCRIPTOR.fields
        wanted = {f.number: names.get(f.message_type.name) for f in fields if f.message_type and leads(f.message_type)}
        assert onnx_files._LEADS[short] == ({} if short == "tensor" else wanted)
    numbers = {f.name: f.number for f in TensorProto.DESCRIPTOR.fields}
    assert (numbers["name"], numbers["external_data"], numbers["data_location"]) == (
        onnx_files._NAME,
        onnx_files._EXTERNAL_DATA,
        onnx_files._DATA_LOCATION,
    )


def test_a_tag_of_more_than_32_bits_hides_nothing(tmp_path: Path) -> None:
    """Readers of protobuf drop the bits above: field 13 again."""
    hidden = bytes([0xEA, 0x80, 0x80, 0x80, 0x70, 1, 0])
    weight = TensorProto(name="w").SerializeToString() + hidden
    inner = bytes([0x2A, len(weight)]) + weight
    (tmp_path / "x.onnx").write_bytes(bytes([0x3A, len(inner)]) + inner)
    with pytest.raises(ArtefactError):
        refuse_external_data(tmp_path / "x.onnx")


@pytest.mark.parametrize("content", [b"\x3a\xff\x01", b"\x3b", b"not a model", b"\xff" * 12], ids=str)
def test_what_is_no_protobuf(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(ArtefactError, match=r"x\.onnx"):
        refuse_external_data(tmp_path / "x.onnx")


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin"])
def test_a_bundle_whose_readout_reads_another_file(location: str, bundle: Path) -> None:
    """onnx and onnxruntime would follow: the weights would be others than those in the hash."""
    path = bundle / "01_readout.onnx"
    read = onnx.load(path)
    (weight,) = (w for w in read.graph.initializer if len(w.dims) == 2)
    size = 4 * weight.dims[0] * weight.dims[1]
    (bundle / location).write_bytes(bytes(size))
    weight.raw_data = bytes(size)
    set_external_data(weight, location, length=size)
    weight.ClearField("raw_data")
    path.write_bytes(read.SerializeToString())
    put_hashes_right(bundle)
    if location == "weights.bin":
        (weight,) = (w for w in onnx.load(path).graph.initializer if len(w.dims) == 2)
        assert not onnx.numpy_helper.to_array(weight).any()
    with pytest.raises(ArtefactError, match="another file"):
        Bundle.open(bundle)


@pytest.mark.parametrize("attack", [external_link, external_root, outside_data, virtual_data])
def test_a_bundle_whose_graph_reads_another_file(attack: Any, bundle: Path) -> None:
    other = Path(shutil.copy(bundle / "00_core.nir", bundle.parent / "other.nir"))
    with h5py.File(bundle / "00_core.nir", "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        (weighted, *_) = (name.removesuffix("/weight") for name in names if name.endswith("/weight"))
        file["node/nodes"].move(f"/{weighted}", "n0")
        attack(file, other)
    put_hashes_right(bundle)
    with pytest.raises(ArtefactError, match=r"00_core\.nir"):
        Bundle.open(bundle)
