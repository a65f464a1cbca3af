"""How each ATen product is counted. A rule gets the ledger, the operation's name, its result and its arguments.

Shape suffixes: B batch of matrices, N rows, K the axis summed over, M columns, Q queries, S keys.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from spikeport.benchmarks.counting.torch_counter.fan import Geometry, conv_fan_out, matrix_fan_out
from spikeport.benchmarks.counting.torch_counter.ledger import ADDITION, Ledger
from spikeport.benchmarks.counting.torch_counter.products import attention, coincidences
from spikeport.errors import UnfaithfulError

_ALIGNED = 8


def _matrices(ledger: Ledger, name: str, a_BNK: Tensor, b_BKM: Tensor) -> None:
    """Count `a @ b` of [B, N, K] and [B, K, M]."""
    if b_BKM in ledger.constants:
        _weighted(ledger, ledger.constants.name(b_BKM) or name, a_BNK, b_BKM)
    elif a_BNK in ledger.constants:
        _weighted(ledger, ledger.constants.name(a_BNK) or name, b_BKM.mT, a_BNK.mT)
    else:
        nonzero_B, graded_B = coincidences(a_BNK, b_BKM)
        rows = a_BNK.shape[0] * a_BNK.shape[1]
        ledger.product(name, a_BNK.device).add(nonzero_B, graded_B, rows, a_BNK.numel() * b_BKM.shape[2])


def _weighted(ledger: Ledger, name: str, x_BNK: Tensor, weight_BKM: Tensor) -> None:
    rows, batch = x_BNK.transpose(0, 1), len(x_BNK)
    if batch == 1 or weight_BKM.stride(0) == 0:
        rows, weight_BKM = (x_BNK[0] if batch == 1 else x_BNK), weight_BKM[:1]
    elif ledger.options.by_sample:
        reason = f"it is {batch} products at once, and which of their rows are one sample's is not known"
        raise UnfaithfulError(f"layer '{name}'", reason, "Count it without by_sample")
    ledger.store(name, weight_BKM)
    fan = partial(matrix_fan_out, weight_BKM, -1, ledger.options.nonzero_weights_only)
    ledger.events(name, rows, tuple(weight_BKM.shape[:2]), fan, weight_BKM, ledger.use(weight_BKM))


def mm(ledger: Ledger, name: str, out: Tensor, a: Tensor, b: Tensor, **_: Any) -> None:
    """`a @ b`."""
    _matrices(ledger, name, a.unsqueeze(0), b.unsqueeze(0))


def _addition(ledger: Ledger, name: str, c: Tensor | None, beta: float = 1, alpha: float = 1) -> None:
    """List what is done besides a product: `beta * c + alpha * product`."""
    if c is not None and beta != 0:
        ledger.leave_out(ledger.constants.name(c) or f"{name}:addition", ADDITION)
    if alpha != 1 or beta not in (0, 1):
        ledger.leave_out(f"{name}:scale", "the multiplication of its results by a number; its products are counted")


def addmm(ledger: Ledger, name: str, out: Tensor, c: Tensor, a: Tensor, b: Tensor, **scale: Any) -> None:
    """`c + a @ b`."""
    _addition(ledger, name, c, **scale)
    mm(ledger, name, out, a, b)


def bmm(ledger: Ledger, name: str, out: Tensor, a: Tensor, b: Tensor, **_: Any) -> None:
    """A batch of products."""
    _matrices(ledger, name, a, b)


def baddbmm(ledger: Ledger, name: str, out: Tensor, c: Tensor, a: Tensor, b: Tensor, **scale: Any) -> None:
    """`c + a @ b` of batches."""
    _addition(ledger, name, c, **scale)
    _matrices(ledger, name, a, b)


def mv(ledger: Ledger, name: str, out: Tensor, a: Tensor, v: Tensor, **_: Any) -> None:
    """A matrix and a vector."""
    mm(ledger, name, out, a, v.unsqueeze(1))


def addmv(ledger: Ledger, name: str, out: Tensor, c: Tensor, a: Tensor, v: Tensor, **scale: Any) -> None:
    """`c + a @ v`."""
    _addition(ledger, name, c, **scale)
    mv(ledger, name, out, a, v)


def dot(ledger: Ledger, name: str, out: Tensor, a: Tensor, b: Tensor) -> None:
    """Two vectors."""
    mm(ledger, name, out, a.unsqueeze(0), b.unsqueeze(1))


def convolution(
    ledger: Ledger, name: str, out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any
) -> None:
    """A convolution of any number of dimensions."""
    if weight not in ledger.constants:
        ledger.leave_out(name, "a convolution whose kernel depends on the input has no rule")
        return
    _addition(ledger, name, bias)
    stride, padding, dilation, transposed, output_padding, groups = geometry
    g = Geometry(tuple(stride), tuple(padding), tuple(dilation), transposed, tuple(output_padding), groups)
    shape = tuple(x.shape[1:])
    name = ledger.constants.name(weight) or name
    ledger.store(name, weight)
    fan = partial(conv_fan_out, weight, shape, g, ledger.options.nonzero_weights_only)
    ledger.events(name, x, shape, fan, weight, (ledger.use(weight), g))


def fused_attention(
    ledger: Ledger,
    name: str,
    out: Any,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *_: Any,
    attn_mask: Tensor | None = None,
    **__: Any,
) -> None:
    """Scaled dot-product attention in one operation; masked pairs cost nothing."""
    if q.shape[:-2] != k.shape[:-2]:
        ledger.leave_out(name, "attention with fewer key heads than query heads has no rule")
        return
    ledger.leave_out(f"{name}:softmax", "the scale, mask and softmax of its scores; its two products are counted")
    keep = torch.ones((q.shape[-2], k.shape[-2]), dtype=torch.bool, device=q.device)
    if is_causal:
        keep = keep.tril()
    if attn_mask is not None:
        keep = keep & (attn_mask if attn_mask.dtype is torch.bool else ~attn_mask.isneginf())
    keep = keep.expand(*q.shape[:-2], *keep.shape[-2:])
    nonzero_B, graded_B = attention(q, k, v, keep)
    dense = q.shape[:-1].numel() * k.shape[-2] * (q.shape[-1] + v.shape[-1])
    ledger.product(name, q.device).add(nonzero_B, graded_B, q.shape[:-1].numel(), dense)


def padded_attention(
    ledger: Ledger, name: str, out: Any, q: Tensor, k: Tensor, v: Tensor, *args: Any, scale: float | None = None
) -> None:
    """The same as CUDA's flash kernel takes it: heads padded with zeros to a multiple of 8 columns.

    Torch hands it the scale of the heads before, by which the padding is known.
    """
    width = q.shape[-1]
    before = width if scale is None else round(scale**-2)
    if scale is None or scale != before**-0.5 or not width - _ALIGNED < before <= width:
        reason = "its dense MACs, if its heads were padded to a multiple of 8: a scale of one's own hides their size"
        ledger.leave_out(f"{name}:padding", reason)
        before = width
    fused_attention(ledger, name, out, q[..., :before], k[..., :before], v[..., :before], *args)


def biased_attention(
    ledger: Ledger,
    name: str,
    out: Any,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_bias: Tensor | None,
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *_: Any,
    **__: Any,
) -> None:
    """The same as CUDA's other kernels take it."""
    fused_attention(ledger, name, out, q, k, v, dropout_p, is_causal, attn_mask=attn_bias)


RULES: dict[str, Callable[..., None]] = {
    "mm": mm,
    "addmm": addmm,
    "bmm": bmm,
    "baddbmm": baddbmm,
    "mv": mv,
    "addmv": addmv,
    "dot": dot,
    "convolution": convolution,
    "_scaled_dot_product_flash_attention_for_cpu": fused_attention,
    "_scaled_dot_product_flash_attention": padded_attention,
    "_scaled_dot_product_efficient_attention": biased_attention,
    "_scaled_dot_product_cudnn_attention": biased_attention,
}
