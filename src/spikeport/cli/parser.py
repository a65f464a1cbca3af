"""The verbs and their options, declared without importing what they run."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import spikeport

EPILOG = "Each verb ends with the next command to try. `spikeport VERB --help` shows its options."


def build_parser() -> argparse.ArgumentParser:
    """Return the whole command line."""
    parser = argparse.ArgumentParser(
        prog="spikeport", description=(spikeport.__doc__ or "").splitlines()[0], epilog=EPILOG
    )
    parser.add_argument("--version", action="version", version=f"spikeport {spikeport.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for add in (_demo, _train, _export, _check, _deploy, _bench, _study, _report, _list, _env):
        add(verbs)
    return parser


Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _verb(verbs: Verbs, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_lazy(name))
    return parser


def _lazy(verb: str) -> Callable[[argparse.Namespace], int]:
    """Import a verb's module only when it runs."""

    def run(args: argparse.Namespace) -> int:
        code: int = importlib.import_module(f"spikeport.cli.{verb}_verb").run(args)
        return code

    return run


def _demo(verbs: Verbs) -> None:
    parser = _verb(verbs, "demo", "the whole path on real audio-visual digits, report at the end", "spikeport demo")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for everything it makes (default: demo)")
    parser.add_argument("--backend", action="append", metavar="NAME", help="backends to run (default: all)")
    parser.add_argument("--samples", type=_count, default=300, metavar="N", help="test samples per row (default: 300)")


def _train(verbs: Verbs) -> None:
    parser = _verb(verbs, "train", "train a recipe", "spikeport train av-digits --set data.noise.image=0.5")
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name, or a YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override one key of the recipe")
    _skip_bad(parser)
    parser.add_argument("--from", dest="start_from", metavar="RUN", help="begin with the weights of this run")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on after the last whole epoch")


def _export(verbs: Verbs) -> None:
    parser = _verb(verbs, "export", "export a run through NIR to a bundle, verified", "spikeport export runs/av-digits")
    parser.add_argument("source", type=Path, metavar="RUN", help="a folder that train wrote")
    parser.add_argument("--out", type=Path, metavar="NAME.bundle", help="the bundle's folder (default: NAME.bundle)")
    parser.add_argument("--samples", type=_count, default=64, metavar="N", help="verify on so many (default: 64)")
    parser.add_argument("--no-verify", action="store_true", help="write unverified; the manifest says so")
    _require_coverage(parser, "write nothing")
    parser.add_argument(
        "--l2",
        choices=("auto", "drop", "constant", "host"),
        help="what becomes of a network's L2 layer: dropped, a constant in the weights, or computed on the host. auto "
        "(the default) drops it where no decision can change, which is with one modality and a bias-free head, and "
        "else leaves it to the host; constants may change answers",
    )
    parser.add_argument(
        "--onnx",
        type=Path,
        metavar="FILE.onnx",
        help="also write one step of the network, its state going in and out, for edge runtimes; of an ANN's run, the "
        "ANN and no bundle",
    )


def _check(verbs: Verbs) -> None:
    parser = _verb(
        verbs, "check", "what would run where, and why not; runs nothing", "spikeport check av-digits.bundle"
    )
    _network(parser)
    _backends(parser, "backends to ask (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _deploy(verbs: Verbs) -> None:
    parser = _verb(
        verbs,
        "deploy",
        "lower a network to a backend, run samples, audit them",
        "spikeport deploy av-digits.bundle --backend lava-float",
    )
    _network(parser)
    parser.add_argument("--backend", required=True, metavar="NAME", help="`spikeport list backends` names them")
    parser.add_argument("--samples", type=_count, default=8, metavar="N", help="golden samples to run (default: 8)")
    _require_coverage(parser, "exit 1")
    parser.add_argument(
        "--compare", metavar="NAME", help="also run this backend, and compare every entry bit for bit: lava-fixed"
    )
    _weight_bits(parser)
    parser.add_argument(
        "--chip", metavar="NAME|FILE.yaml", help="place on loihi1, loihi2 or your own chip (default: the first two)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the deployment's folder (default: NAME.BACKEND)")


def _bench(verbs: Verbs) -> None:
    parser = _verb(
        verbs,
        "bench",
        "accuracy, spikes, SynOps and energy of networks on the same samples",
        "spikeport bench runs/av-digits --ann runs/av-digits-ann --backend all --json results.json",
    )
    parser.add_argument(
        "networks", nargs="*", type=Path, metavar="RUN|BUNDLE|zoo:NAME|FILE.nir", help="what to measure"
    )
    parser.add_argument("--suite", metavar="NAME", help="run one of the project's side-by-side measurements instead")
    _nir_reading(parser)
    _backends(parser, "backends to run, or `all` (default: none for a run, else reference)")
    _weight_bits(parser)
    parser.add_argument(
        "--ann",
        action="append",
        default=[],
        type=Path,
        metavar="RUN",
        help="the run of an ANN twin to compare with; again for each kind of twin (train --set kind=ann twin.kind=...)",
    )
    parser.add_argument("--data", metavar="NAME|FILE.npz", help="labelled samples (default: the recipe's test split)")
    parser.add_argument(
        "--data-param", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the dataset: folder=DIR"
    )
    parser.add_argument(
        "--encoding",
        action="append",
        default=[],
        metavar="INPUT[=NAME]",
        help="the data hold this input raw: encode it, by default as the network's recipe does",
    )
    parser.add_argument("--skip-bad", action="store_true", help="skip and count unreadable samples")
    parser.add_argument("--samples", type=_count, metavar="N", help="the first N samples (default: all)")
    parser.add_argument(
        "--floor",
        action="append",
        default=[],
        metavar="[ROW:]METRIC[<]=X",
        help="exit 1 where a row's figure is below this or missing: accuracy=0.9, reference:agreement.spikes=1; of a "
        "cost, above this: 'energy.horowitz45-compute.high_pj<=1e6'",
    )
    _require_coverage(parser, "exit 1")
    parser.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="NAME=A,B,..",
        help="also score under changed timesteps, weight_bits, threshold_scale, noise or snr_db (also of one input: "
        "snr_db.audio=0,10); again for another",
    )
    _energy(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write results.json")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report page")


def _energy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--energy-model",
        action="append",
        default=[],
        type=Path,
        metavar="FILE.yaml",
        help="an energy model of your own, beside those that `spikeport list energy-models` names",
    )
    parser.add_argument(
        "--measure-energy",
        nargs="?",
        type=float,
        const=5.0,
        metavar="SECONDS",
        help="read joules of ANN and snnTorch network from the CPU's counter, in windows this long (default: 5)",
    )
    parser.add_argument(
        "--cross-technology",
        nargs="?",
        const="horowitz45-compute",
        metavar="MODEL",
        help="also hold chips for spiking networks only against an ANN priced by MODEL (default: %(const)s), marked",
    )


def _study(verbs: Verbs) -> None:
    parser = _verb(
        verbs,
        "study",
        "train variants of a recipe over seeds and compare them in a table",
        "spikeport study av-digits --out studies/av-digits --jobs 2",
    )
    parser.add_argument("study", metavar="NAME|FILE.yaml", help="`spikeport list studies` names them")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="its folder; what is there is kept")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override a key of every recipe")
    _skip_bad(parser)
    parser.add_argument("--seeds", metavar="0,1,2", help="instead of the study's")
    parser.add_argument("--only", metavar="NAME,..", help="these variants only")
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="so many processes, of one thread each")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def _report(verbs: Verbs) -> None:
    parser = _verb(verbs, "report", "redraw a report from results.json", "spikeport report results.json --html r.html")
    parser.add_argument("results", type=Path, metavar="results.json|BUNDLE|zoo:NAME", help="of a bundle: its --card")
    parser.add_argument("other", type=Path, nargs="?", metavar="OTHER.json", help="lay this beside it, row by row")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--html", type=Path, metavar="FILE", help="write the page instead of the terminal's table")
    form.add_argument("--markdown", action="store_true", help="print Markdown")
    form.add_argument("--card", action="store_true", help="print a model card in Markdown")
    form.add_argument("--neurobench", type=Path, metavar="FILE", help="write one row in NeuroBench's keys and format")
    parser.add_argument("--row", metavar="ID", help="which row, for --neurobench (default: the first spiking one)")


def _list(verbs: Verbs) -> None:
    parser = _verb(verbs, "list", "list what there is", "spikeport list backends")
    parser.add_argument(
        "what", choices=("models", "recipes", "datasets", "backends", "energy-models", "layers", "studies", "zoo")
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _env(verbs: Verbs) -> None:
    _verb(verbs, "env", "a paste-ready block for a bug report", "spikeport env")


def _network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", type=Path, metavar="BUNDLE|zoo:NAME|FILE.nir")
    _nir_reading(parser)


def _nir_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dt", type=float, metavar="S", help="a bare .nir file's time step in seconds")
    parser.add_argument("--register", action="append", metavar="u:w", help="an edge that carries the step before")
    parser.add_argument("--if-step", choices=("euler", "per-step"), help="how I and IF nodes integrate r I")


def _skip_bad(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--skip-bad", action="store_true", help="skip bad samples and name them: --set data.params.skip_bad=true"
    )


def _require_coverage(parser: argparse.ArgumentParser, consequence: str) -> None:
    parser.add_argument(
        "--require-coverage",
        type=float,
        metavar="X",
        help=f"{consequence} where of a node less than this share of the neurons fired and did not always fire, 0 to 1",
    )


def _weight_bits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weight-bits",
        metavar="N|N,LAYER=N",
        help="bits of the weights where a backend quantises, 1 to 8, also by layer of neurons (default: 8)",
    )


def _backends(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--backend", action="append", metavar="NAME", help=text)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return value
