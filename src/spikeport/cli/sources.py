"""What the verbs name on the command line: networks and backends."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from spikeport.errors import ArtefactError, UsageError
from spikeport.export.bundle import Bundle, is_bundle
from spikeport.export.graph import Edge
from spikeport.export.stages import StagedNetwork, network_of_nir
from spikeport.models.zoo import located

if TYPE_CHECKING:
    from spikeport.deploy.loihi.weight_bits import WeightBits


def open_network(args: argparse.Namespace) -> tuple[StagedNetwork, Bundle | None]:
    """Return the network named by BUNDLE|zoo:NAME|FILE.nir with --dt, --register and --if-step."""
    path = located(args.network)
    if is_bundle(path):
        if args.dt is not None or args.register or args.if_step:
            raise UsageError(f"{path}", "a bundle says its own dt and registers", "Drop --dt, --register and --if-step")
        bundle = Bundle.open(path)
        return bundle.network, bundle
    if path.is_dir():
        raise ArtefactError(str(path), "it is a folder without a manifest.json", "Name a bundle or a .nir file")
    return network_of_nir(path, args.dt, registers_of(args), args.if_step), None


def registers_of(args: argparse.Namespace) -> list[Edge] | None:
    """Return the edges given by --register, `None` where none is."""
    return [_edge(text) for text in args.register] if args.register else None


def weight_bits_of(args: argparse.Namespace) -> WeightBits | None:
    """Return the bits given by --weight-bits, `None` without."""
    from spikeport.deploy.loihi.weight_bits import WeightBits

    return None if args.weight_bits is None else WeightBits.parse(args.weight_bits)


def backend_names(wanted: Iterable[str] | None, default: Iterable[str]) -> list[str]:
    """Return the backends asked for; `all` stands for every one. An unknown name is an error before anything runs."""
    from spikeport.deploy import backends

    names: list[str] = []
    for name in wanted or default:
        if name != "all" and name not in backends:
            backends.get(name)
        names += [n for n in (backends if name == "all" else [name]) if n not in names]
    return names


def _edge(text: str) -> Edge:
    source, colon, target = text.partition(":")
    if not (source and colon and target):
        raise UsageError(f"--register {text}", "it is not an edge", "Write it as source:target")
    return (source, target)


def meaning_of(args: argparse.Namespace) -> list[str]:
    """Return the options that say what a bare file leaves open, as they were given, for the next command."""
    said = ["--dt", str(args.dt)] if args.dt is not None else []
    said += [word for text in args.register or [] for word in ("--register", text)]
    return said + (["--if-step", args.if_step] if args.if_step else [])
