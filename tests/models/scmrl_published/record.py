"""Record what the authors' code gives: `python record.py CHECKOUT`, a checkout of Brain-Cog-Lab/S-CMRL at 3be3df7.

Needs torch and einops; what the model's files import beside them and never call is replaced by empty modules. Their
code has no licence and is not here: it is read from the checkout, and `numbers.npz` holds what came out.
A fault is mended in the text that is run.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import (
    ALPHA,
    CASES,
    CHANNELS,
    CLASSES,
    HEADS,
    LABELS,
    MLP_RATIO,
    NUMBERS,
    SIZE,
    SMOOTHING,
    TEMPERATURE,
    Case,
    T,
    direction,
    draw,
    embeds,
    in_order,
    inputs,
)
from torch import Tensor, nn

EMPTY = ("timm", "timm.models", "timm.models.layers", "timm.models.registry", "timm.models.vision_transformer")
ABSENT = {
    "timm.models.layers": ("to_2tuple", "trunc_normal_", "DropPath"),
    "timm.models.registry": ("register_model",),
    "timm.models.vision_transformer": ("_cfg",),
    "torchvision": ("transforms",),
    "torchvision.ops": ("DeformConv2d",),
    "torchvision.utils": (),
}
MODEL = "braincog.model_zoo.spikformer"
BY_CASE = {
    "audio alone": (
        (r"^patch_embed", "audio_patch_embed"),
        (r"^block\.0\.attn", "audio_block.attn.spatial_attn"),
        (r"^block\.0\.mlp", "mlp.0.mlp"),
    ),
    "cmci": (
        (r"^block\.0\.attn\.fc1$", "joint.audio.conv"),
        (r"^block\.0\.attn\.fc2$", "joint.visual.conv"),
        (r"^block\.0\.attn\.v_lif$", "joint.meet.lif"),
        (r"^block\.0\.attn\.mlp\.mlp", "joint.mlp"),
        (r"^head\.0$", "head.joint.conv"),
        (r"^head\.1$", "head.audio.conv"),
        (r"^head\.2$", "head.visual.conv"),
        (r"^head$", "heads"),
    ),
    "spatial": ((r"^block\.(.)\.attn", r"block.\1.attn.spatial_attn"),),
    "temporal": ((r"^block\.(.)\.attn", r"block.\1.attn.temporal_attn"),),
}
THEIRS = (
    (r"^block\.0", "audio_block"),
    (r"^block\.1", "visual_block"),
    (r"^mlp\.0\.mlp", "audio.mlp"),
    (r"^mlp\.1\.mlp", "visual.mlp"),
    (r"mlp\.fc1_", "mlp.up."),
    (r"mlp\.fc2_", "mlp.down."),
    (r"^(\w+)_patch_embed\.proj_(conv|bn|lif)$", r"\1.embed.0.\2"),
    (r"^(\w+)_patch_embed\.proj_(conv|bn|lif)(\d)$", r"\1.embed.\3.\2"),
    (r"^(\w+)_patch_embed\.rpe_", r"\1.position."),
    (r"^(\w+)_block\.attn\.(\w+)_attn\.(q|k|v|proj)_", r"\1.\2.\3."),
    (r"^(\w+)_block\.attn\.(\w+)_attn\.attn_lif$", r"\1.\2.attended.lif"),
    (r"^(\w+)_block\.trans_linear$", r"\1.align.conv"),
    (r"^(\w+)_block\.trans_lif$", r"\1.align.lif"),
    (r"^head$", "head.joint.conv"),
)
"""What leads from their names to roles."""


def load(checkout: Path, mended: tuple[str, ...]) -> Any:
    """Return the module of their model, the faults named mended."""
    for name in [n for n in sys.modules if n.startswith("braincog")]:
        del sys.modules[name]
    for name in {*EMPTY, *ABSENT}:
        module = types.ModuleType(name)
        vars(module).update(dict.fromkeys(ABSENT.get(name, ())))
        sys.modules[name] = module
    layers = sys.modules["timm.models.layers"]
    layers.to_2tuple = lambda n: (n, n)  # type: ignore[attr-defined]
    layers.trunc_normal_ = nn.init.trunc_normal_  # type: ignore[attr-defined]
    sys.modules["timm.models.registry"].register_model = lambda f: f  # type: ignore[attr-defined]
    for name in ("braincog", "braincog.model_zoo", "braincog.base"):
        package = types.ModuleType(name)
        package.__path__ = [str(checkout / name.replace(".", "/"))]
        sys.modules[name] = package
    module = types.ModuleType(MODEL)
    text = (checkout / MODEL.replace(".", "/")).with_suffix(".py").read_text()
    if "scrambled-heads" in mended:
        text = _once(text, "x = x.reshape(N, B, T, C)", "x = x.permute(0, 1, 3, 2, 4).reshape(N, B, T, C)")
    exec(compile(text, MODEL, "exec"), vars(module))
    node = importlib.import_module("braincog.base.node.node").MyNode
    detach = "detached-membrane" not in mended

    def neuron(v_threshold: float = 1.0, **given: Any) -> Any:
        threshold = v_threshold if "attention-threshold" in mended else 1.0
        return node(threshold=threshold, mem_detach=detach, **given)

    module.MyNode = neuron  # type: ignore[attr-defined]
    return module


def _once(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise SystemExit(f"the checkout's model holds {old!r} {text.count(old)} times, not once: is it at 3be3df7?")
    return text.replace(old, new)


def alignment(checkout: Path) -> Callable[..., Tensor]:
    """Return their `class_contrastive_loss`, the one function of a script that is a program otherwise."""
    tree = ast.parse((checkout / "SNN" / "train_snn.py").read_text())
    tree.body = [f for f in tree.body if isinstance(f, ast.FunctionDef) and f.name == "class_contrastive_loss"]
    found: dict[str, Any] = {"torch": torch, "F": nn.functional}
    exec(compile(tree, "train_snn.py", "exec"), found)
    loss: Callable[..., Tensor] = found["class_contrastive_loss"]
    return loss


def build(checkout: Path, name: str, case: Case) -> nn.Module:
    """Return their network with our weights."""
    module = load(checkout, case.mended)
    size = {"img_size_h": SIZE, "img_size_w": SIZE, "embed_dims": CHANNELS, "num_heads": HEADS}
    given = {"step": T, "num_classes": CLASSES, "mlp_ratios": MLP_RATIO, "alpha": ALPHA, **size}
    if name == "audio alone":
        net: nn.Module = module.Spikformer(**given, in_channels=1, **case.theirs)
    else:
        net = module.AudioVisualSpikformer(**given, in_channels=3, **{"interaction": "Add", **case.theirs})
    with torch.no_grad():
        for role, layer in layers(name, net):
            if not role.endswith(".lif"):
                stem, kind = role.rsplit(".", 1)
                for part, value in layer.state_dict(keep_vars=True).items():
                    if part != "num_batches_tracked":
                        named = f"norm.{part}" if kind == "bn" else part
                        value.copy_(torch.from_numpy(draw(stem, named, tuple(value.shape))))
    return net


def layers(case: str, net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield their layers by role, those that their forward never uses left out."""
    for path, layer in net.named_modules():
        role = _role(case, path)
        if re.fullmatch(r"(audio|visual|joint|head)\..*\.(conv|bn|lif)", role):
            yield role, layer


def _role(case: str, path: str) -> str:
    for theirs, role in (*BY_CASE.get(case, ()), *THEIRS):
        path = re.sub(theirs, role, path)
    return path


def call(name: str, net: nn.Module, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Return what their network gives for [T, B, *] inputs, which it takes as [B, T, *]."""
    audio, visual = (given[side].transpose(0, 1) for side in ("audio", "visual"))
    out = net(audio) if name == "audio alone" else net((audio, visual))
    return out if isinstance(out, tuple) else (out,)


def keep(spikes: dict[str, Tensor], role: str, _neuron: Any, _given: Any, out: Tensor) -> None:
    """Keep what a neuron gave, channels before tokens; their alignment layer has them the other way round."""
    spikes[role] = (out.transpose(1, 2) if role.endswith(".align") else out).detach()


def record(checkout: Path, name: str, case: Case) -> dict[str, np.ndarray]:
    """Run one case."""
    net = build(checkout, name, case)
    given = {side: torch.from_numpy(x) for side, x in inputs().items()}
    spikes: dict[str, Tensor] = {}
    margins: list[float] = []
    for role, layer in layers(name, net):
        if role.endswith(".lif"):
            layer.register_forward_hook(partial(keep, spikes, role.removesuffix(".lif")))
            inner = layer.calc_spike

            def fire(layer: Any = layer, inner: Callable[[], None] = inner) -> None:
                above = (layer.mem - layer.threshold).detach().abs()
                margins.append(float(above[above > 0].min()))
                inner()

            layer.calc_spike = fire
    with torch.no_grad():
        logits = call(name, net.eval(), given)[0]
    found = {"logits": logits.numpy()}
    wanted = [role for role in in_order(spikes) if name == "published" or not embeds(role)]
    bits = np.concatenate([spikes[role].numpy().astype(bool).ravel() for role in wanted])
    found["spikes"] = np.packbits(bits)
    rates = {role: float(x.mean()) for role, x in spikes.items()}
    low, high = (f(rates, key=rates.__getitem__) for f in (min, max))
    say(f"{name}: {len(bits)} entries, rates {rates[low]:.3f} ({low}) to {rates[high]:.3f} ({high})")
    say(f"  margin {min(margins):.1e} in evaluation")
    margins.clear()
    labels_B = torch.tensor(LABELS)
    out = call(name, net.train(), given)
    heads = out if name == "cmci" else out[:1]
    losses = [nn.functional.cross_entropy(head, labels_B, label_smoothing=SMOOTHING) for head in heads]
    if case.theirs.get("contrastive"):
        losses.append(alignment(checkout)(out[1], out[2], labels_B, None, temperature=TEMPERATURE))
    sum(losses).backward()  # type: ignore[union-attr]
    say(f"  margin {min(margins):.1e} in training, losses {[round(x.item(), 6) for x in losses]}")
    found["trained_logits"] = out[0].detach().numpy()
    found["losses"] = np.array([x.item() for x in losses])
    found["gradients"] = np.array(list(gradients(name, net)))
    return found


def gradients(name: str, net: nn.Module) -> Iterator[tuple[float, float]]:
    """Yield the norm and the sum along a direction of every parameter's gradient, by role."""
    found = {}
    for role, layer in layers(name, net):
        stem, kind = role.rsplit(".", 1)
        for part, value in layer.named_parameters(recurse=False):
            if kind != "lif":
                named = f"norm.{part}" if kind == "bn" else part
                grad = torch.zeros_like(value) if value.grad is None else value.grad
                found[f"{stem} {named}"] = grad.double().numpy().ravel()
    for key in in_order(found):
        yield float(np.linalg.norm(found[key])), float(found[key] @ direction(*key.split(" "), found[key].size))


def say(what: str) -> None:
    """Write a line; a margin is how near a membrane came to its threshold without meeting it."""
    sys.stdout.write(f"{what}\n")


def main(checkout: Path) -> None:
    """Write `numbers.npz`."""
    found = {}
    for name, case in CASES.items():
        found |= {f"{name}/{key}": value for key, value in record(checkout, name, case).items()}
    np.savez_compressed(NUMBERS, **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
