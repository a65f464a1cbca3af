"""Which other files does an ONNX file read? A tensor may keep its data outside, at any path.

onnxruntime would read them, and no hash covers them. The protobuf is walked here field by field, its tensors passed
over, since `spikeport check` imports no onnx. Field numbers: onnx.proto of ONNX 1.16 and later.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spikeport.errors import ArtefactError

# For each message the fields that lead to a tensor, with the message that they hold.
_LEADS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "tensor": {},
}
_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def refuse_external_data(path: Path) -> None:
    """Raise unless all tensors of the ONNX file lie in the file itself.

    Raises:
        ArtefactError: one lies elsewhere, or the file is no protobuf.
    """
    content = memoryview(path.read_bytes())
    waiting = [("model", content)]
    while waiting:
        kind, message = waiting.pop()
        try:
            fields = list(_fields(message))
        except (IndexError, ValueError):
            raise ArtefactError(str(path), "it is no readable ONNX file", "Export the bundle again") from None
        if kind == "tensor" and any(number in (_EXTERNAL_DATA, _DATA_LOCATION) and value for number, value in fields):
            (*_, name) = (b"", *(value for number, value in fields if number == _NAME and not isinstance(value, int)))
            raise ArtefactError(
                f"{path}: tensor '{bytes(name).decode(errors='replace')}'",
                "its data lie in another file, which no hash covers",
                "Store them inside, with onnx.save(model, path, save_as_external_data=False)",
            )
        for number, value in fields:
            if number in _LEADS[kind] and not isinstance(value, int):
                waiting.append((_LEADS[kind][number], value))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield number and content of each field: what has a length as bytes, a varint as its value.

    Raises:
        IndexError, ValueError: it is cut short, or no protobuf of this century (groups).
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        # Readers of protobuf drop what exceeds 32 bits.
        number, wire = (key & 0xFFFFFFFF) >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(message):
            raise ValueError("cut short")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that starts at `at`, and where the next begins."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number without an end")
