"""A study's outcomes as Markdown tables, and its noise curves as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from spikeport.benchmarks.report.markdown import table
from spikeport.benchmarks.report.tables import Table
from spikeport.benchmarks.report.text import UNKNOWN
from spikeport.benchmarks.studies.comparing import CAPTION, Against, Key, against
from spikeport.benchmarks.studies.curves import write_curves
from spikeport.benchmarks.studies.plan import Study, recipe_of
from spikeport.benchmarks.studies.stored import CLEAN, Outcome
from spikeport.files import new_file
from spikeport.train.datasets import DATASETS

FILE, CURVES = "table.md", "curves.html"
BySeed = dict[int, Outcome]


def write_tables(study: Study, outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write `table.md` and, where there was noise, `curves.html`."""
    with new_file(folder / FILE) as aside:
        aside.write_text(render(study, outcomes), encoding="utf-8")
    found = {v: of for v, of in _by_variant(study, outcomes).items() if of}
    if any(score.where != CLEAN for of in found.values() for o in of.values() for score in o.scores):
        write_curves(study.name, found, folder / CURVES)


def render(study: Study, outcomes: Sequence[Outcome]) -> str:
    """Return the whole document."""
    by_variant = _by_variant(study, outcomes)
    parts = [f"# {study.name}", study.note, _about(study, outcomes), _clean(study, by_variant), _legend(study)]
    keys = dict.fromkeys(score.key for outcome in outcomes for score in outcome.scores if score.where != CLEAN)
    for where in dict.fromkeys(place for place, _ in keys):
        levels = sorted((level for place, level in keys if place == where and level is not None), reverse=True)
        parts += [f"## Noise at test time: {where}", _noisy(study, by_variant, where, levels)]
    if keys:
        parts.append(NOISE_CAPTION)
    if failed := [o for o in outcomes if o.status == "failed"]:
        parts += ["## Not trained", "\n".join(f"- {o.variant}, seed {o.seed}: {o.reason}" for o in failed)]
    parts.append(_changes(study))
    if study.cited:
        rows = tuple((c.what, f"{c.accuracy_percent:g}", c.source) for c in study.cited)
        parts += ["## Cited, not measured here", table(Table(("what", "accuracy, %", "source"), rows, 3))]
    return "\n\n".join(part for part in parts if part) + "\n"


NOISE_CAPTION = (
    "Accuracy in percent, mean over seeds, with the difference to the reference on the same noisy samples and its "
    "interval as above. The noise is in the test samples only, is drawn once for all variants, and is the same at "
    "every ratio but for its amount. `mean` is over the ratios of the table."
)


def _by_variant(study: Study, outcomes: Sequence[Outcome]) -> dict[str, BySeed]:
    return {v: {o.seed: o for o in outcomes if o.variant == v and o.status == "ok"} for v in study.variants}


def _about(study: Study, outcomes: Sequence[Outcome]) -> str:
    recipe = recipe_of(study, study.reference, study.seeds[0])
    counts = sorted({score.n for outcome in outcomes for score in outcome.scores})
    sizes = " or ".join(map(str, counts)) or "no"
    skipped = sum(outcome.skipped or 0 for outcome in outcomes)
    lines = f"Recipe `{Path(study.recipe).stem}`, {sizes} test samples of `{recipe.data.name}`."
    if note := DATASETS.get(recipe.data.name).note:
        lines += f" On the data: {note}."
    if skipped:
        lines += f" {skipped} unreadable samples were left out, over all runs."
    return lines


def _legend(study: Study) -> str:
    run = "in the folded run, which equals the step-by-step one up to rounding" if study.folded else "step by step"
    return (
        "Accuracy in percent on the test part, scored "
        f"{run}. Each run kept the weights of its best validation epoch; the test part chose nothing. "
        f"sd: over seeds (n - 1). s per run: all epochs with their validation, mean over seeds. {CAPTION}"
    )


def _clean(study: Study, by_variant: dict[str, BySeed]) -> str:
    seeds = sorted({seed for of in by_variant.values() for seed in of})
    listed = " ".join(map(str, seeds)) or "none yet"
    header = ("variant", f"by seed ({listed})", "mean ± sd", f"difference to {study.reference}", "s per run")
    rows = []
    for variant, of in by_variant.items():
        shares = {seed: o.scores[0].accuracy for seed, o in of.items()}
        rows.append(
            (
                variant,
                " ".join(f"{100 * shares[seed]:.1f}" if seed in shares else UNKNOWN for seed in seeds) or UNKNOWN,
                _spread(list(shares.values())),
                _difference(study, by_variant, variant, [(CLEAN, None)]),
                f"{fmean(o.train_seconds or 0.0 for o in of.values()):.1f}" if of else UNKNOWN,
            )
        )
    return table(Table(header, tuple(rows), len(header)))


def _noisy(study: Study, by_variant: dict[str, BySeed], where: str, levels: Sequence[float]) -> str:
    header = ("variant", "clean", *(f"{level:g} dB" for level in levels), "mean")
    rows = []
    for variant, of in by_variant.items():
        keys: list[Key] = [(where, level) for level in levels]
        cells = [_cell(study, by_variant, variant, [key]) for key in keys]
        clean = _mean(of, [(CLEAN, None)])
        rows.append((variant, clean, *cells, _cell(study, by_variant, variant, keys)))
    return table(Table(header, tuple(rows), len(header)))


def _cell(study: Study, by_variant: dict[str, BySeed], variant: str, keys: Sequence[Key]) -> str:
    mean = _mean(by_variant[variant], keys)
    if variant == study.reference or mean == UNKNOWN:
        return mean
    return f"{mean} ({_difference(study, by_variant, variant, keys)})"


def _mean(of: BySeed, keys: Sequence[Key]) -> str:
    found = [[o.at(*key) for key in keys] for o in of.values()]
    whole = [fmean(s.accuracy for s in scores if s) for scores in found if all(scores)]
    return f"{100 * fmean(whole):.1f}" if whole else UNKNOWN


def _difference(study: Study, by_variant: dict[str, BySeed], variant: str, keys: Sequence[Key]) -> str:
    if variant == study.reference:
        return "reference"
    mine, theirs = by_variant[variant], by_variant.get(study.reference, {})
    found = against(mine, theirs, keys)
    if found is None:
        return UNKNOWN
    partly = found.seeds < len(mine)
    return _told(found) + (f" over {found.seeds} common seeds" if partly else "")


def _told(found: Against) -> str:
    low, high = found.ci95
    return f"{100 * found.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _spread(shares: Sequence[float]) -> str:
    if not shares:
        return UNKNOWN
    mean = f"{100 * fmean(shares):.1f}"
    return f"{mean} ± {100 * stdev(shares):.1f}" if len(shares) > 1 else f"{mean} (one seed)"


def _changes(study: Study) -> str:
    """Return what is set, that of all variants once."""
    every = [set(own) for own in study.variants.values()]
    shared = [text for text in next(iter(study.variants.values())) if all(text in own for own in every)]
    lines = [f"- all: `{text}`" for text in (*study.set, *shared)]
    for variant, texts in study.variants.items():
        own = ", ".join(f"`{text}`" for text in texts if text not in shared)
        lines.append(f"- {variant}: {own or 'nothing else'}")
    return "\n".join(["## What each variant changes in the recipe", "", *lines])
