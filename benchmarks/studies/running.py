"""Training and scoring what a study names, one run after another or in several processes.

Shape suffixes: N samples.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikeport.benchmarks.studies.plan import Study, chosen, digest, noise_conditions, recipe_of
from spikeport.benchmarks.studies.processes import pool
from spikeport.benchmarks.studies.stored import CLEAN, Outcome, Scored, read_outcomes, write_outcomes
from spikeport.benchmarks.studies.table import write_tables
from spikeport.errors import SpikeportError, UnavailableError, UsageError
from spikeport.files import sha256
from spikeport.train.evaluate import evaluate
from spikeport.train.noise import Condition, corrupted
from spikeport.train.recipe import Recipe, parse_recipe, read_yaml
from spikeport.train.run import Run, check_same, train_run
from spikeport.train.samples import event_inputs, open_dataset

Say = Callable[[str], None]
Levels = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Task:
    """One training with its scores."""

    variant: str
    seed: int
    recipe: Recipe
    folder: Path
    conditions: tuple[Condition, ...]
    noise_seed: int | None
    folded: bool
    device: str

    @property
    def name(self) -> str:
        """What its folder is called."""
        return self.folder.name


def run_study(
    study: Study, out: Path, say: Say, only: Sequence[str] | None = None, jobs: int = 1, device: str = "auto"
) -> tuple[Outcome, ...]:
    """Train and score what is not yet in `out`; return the outcomes of all that was asked for.

    `out` holds the runs, `study.json`, `table.md` and, with noise, `curves.html`; all but the runs are written anew
    after each. A killed study goes on where it stood.

    Args:
        study: what to train.
        out: the study's folder.
        say: is told what has happened.
        only: so many of the variants.
        jobs: processes; more than one run torch on one thread each.
        device: "auto", "cpu" or "cuda".

    Raises:
        UsageError: `out` holds a run or a score of another recipe.
        ArtefactError: the data of a run cannot be opened; nothing was trained or written then.
    """
    tasks = _tasks(study, out, chosen(study, only), device)
    known = _known(study, out)
    todo = [task for task in tasks if not _is_done(task, known.get((task.variant, task.seed)))]
    if len(todo) < len(tasks):
        say(f"{len(tasks) - len(todo)} of {len(tasks)} runs are trained and scored already")
    _check_data(todo, say)
    out.mkdir(parents=True, exist_ok=True)
    for count, (task, outcome) in enumerate(_outcomes(todo, jobs, say), 1):
        # Read again: a second command may have worked on other variants of the same folder meanwhile.
        known = _known(study, out) | {(outcome.variant, outcome.seed): outcome}
        _write(study, out, known)
        say(f"[{count}/{len(todo)}] {task.name}: {_told(outcome)}")
    _write(study, out, known)
    return tuple(known[task.variant, task.seed] for task in tasks)


def _write(study: Study, out: Path, known: dict[tuple[str, int], Outcome]) -> None:
    mine = {key: outcome for key, outcome in known.items() if key[0] in study.variants}
    write_outcomes(out, study, mine)
    write_tables(study, tuple(mine.values()), out)


def run_one(task: Task) -> Outcome:
    """Train and score one network; what fails is told in the outcome, so that the others go on."""
    about = Outcome(variant=task.variant, seed=task.seed, recipe_sha256=digest(task.recipe))
    try:
        run = train_run(task.recipe, task.folder, task.device, resume=True, say=_warning(task))
        return about.model_copy(update=_trained(run) | _scored(task, run))
    except SpikeportError as error:
        return about.model_copy(update={"status": "failed", "reason": str(error)})
    # A long study must outlive a fault in one of its runs, whatever it is; the table names it.
    except Exception as error:
        return about.model_copy(update={"status": "failed", "reason": f"{type(error).__name__}: {error}"})


def _warning(task: Task) -> Say:
    """Tell of skipped samples at once, from whatever process the task runs in."""

    def say(line: str) -> None:
        sys.stderr.write(f"{task.name}: {line}\n")

    return say


def _tasks(study: Study, out: Path, variants: Sequence[str], device: str) -> list[Task]:
    """Return all runs, by seed and then by variant: a study that is stopped early has compared all of them."""
    found = []
    for seed in study.seeds:
        for variant in variants:
            recipe = recipe_of(study, variant, seed)
            folder = out / "runs" / f"{variant}-{seed}"
            _check_folder(folder, recipe)
            noise = noise_conditions(study, recipe)
            noise_seed = study.noise.seed if study.noise else None
            found.append(Task(variant, seed, recipe, folder, noise, noise_seed, study.folded, device))
    return found


def _check_folder(folder: Path, recipe: Recipe) -> None:
    """Raise before anything is trained where a run's folder belongs to another recipe."""
    file = folder / "recipe.yaml"
    if file.exists():
        fix = "Use the same study and --set, remove it, or name another --out"
        check_same(folder, parse_recipe(read_yaml(file)), recipe, "trained by", fix)


def _check_data(tasks: Sequence[Task], say: Say) -> None:
    """Raise before anything is trained where the data of a run cannot be opened: it would fail like all others."""
    for recipe in {task.recipe.data.model_dump_json(): task.recipe for task in tasks}.values():
        say(f"opening {recipe.data.name}")
        open_dataset(recipe)


def _known(study: Study, out: Path) -> dict[tuple[str, int], Outcome]:
    """Return the outcomes in `out`, but failures of another recipe, which say nothing of this one.

    Raises:
        UsageError: scores that would stand in the same table are of another recipe.
    """
    found = {}
    for (variant, seed), outcome in read_outcomes(out).items():
        if variant in study.variants and outcome.recipe_sha256 != digest(recipe_of(study, variant, seed)):
            if outcome.status == "failed":
                continue
            reason = f"it has scores of '{variant}' with seed {seed} by another recipe"
            raise UsageError(str(out), reason, "Use the same study and --set, or name another --out")
        found[variant, seed] = outcome
    return found


def _is_done(task: Task, known: Outcome | None) -> bool:
    weights = task.folder / "weights.safetensors"
    if known is None or known.status != "ok" or not weights.exists():
        return False
    if known.folded != task.folded or known.noise_seed != task.noise_seed or known.weights_sha256 != sha256(weights):
        return False
    return {score.key for score in known.scores} >= {(CLEAN, None), *(_key(c) for c in task.conditions)}


def _key(condition: Condition) -> tuple[str, float]:
    """Return where the noise is and its ratio, which is the same on all noisy inputs."""
    (level_db,) = set(condition.snr_db.values())
    return condition.where, level_db


def _trained(run: Run) -> dict[str, object]:
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "weights_sha256": sha256(run.path / "weights.safetensors"),
        "train_seconds": round(sum(row["seconds"] for row in rows), 3),
        "epochs": len(rows),
        "val_accuracy": max(row["val_accuracy"] for row in rows),
    }


def _scored(task: Task, run: Run) -> dict[str, object]:
    test = open_dataset(task.recipe).split("test")
    events = event_inputs(task.recipe)
    seed = task.noise_seed or 0
    # An input that the network does not take changes no answer, so that several conditions may be one to it.
    known: dict[Levels, tuple[NDArray[np.bool_], float]] = {}
    scores = []
    for where, level_db, snr_db in [(CLEAN, None, {}), *((*_key(c), c.snr_db) for c in task.conditions)]:
        seen = tuple((name, level) for name, level in snr_db.items() if name in run.network.input_names)
        if seen not in known:
            started = time.monotonic()
            noisy = corrupted(test, dict(seen), seed, events)
            answers_N = evaluate(run, noisy, folded=task.folded).argmax(1).numpy()
            known[seen] = answers_N == test.labels, time.monotonic() - started
        hits_N, seconds = known[seen]
        scores.append(Scored.of(where, level_db, hits_N, seconds))
    data = task.recipe.data
    samples = hashlib.sha256(f"{data.name} {data.split_seed} {test.labels.tolist()}".encode())
    return {
        "samples_sha256": samples.hexdigest(),
        "noise_seed": task.noise_seed,
        "folded": task.folded,
        "skipped": test.skipped,
        "scores": tuple(scores),
    }


def _told(outcome: Outcome) -> str:
    if outcome.status == "failed":
        return f"failed: {outcome.reason}"
    clean = outcome.at(CLEAN, None)
    assert clean is not None
    return (
        f"trained in {outcome.train_seconds:.0f} s, {100 * clean.accuracy:.1f} % of {clean.n} clean test samples, "
        f"{len(outcome.scores) - 1} noise conditions scored"
    )


def _outcomes(tasks: Sequence[Task], jobs: int, say: Say) -> Iterator[tuple[Task, Outcome]]:
    """Yield the outcomes as they come."""
    if jobs == 1 or len(tasks) < 2:
        for task in tasks:
            say(f"{task.name}: training")
            yield task, run_one(task)
        return
    with pool(min(jobs, len(tasks))) as workers:
        of = {workers.submit(run_one, task): task for task in tasks}
        for future in as_completed(of):
            try:
                yield of[future], future.result()
            except BrokenProcessPool:
                fix = "Give it again with fewer --jobs: it goes on where it stood"
                raise UnavailableError("a process of the study", "it was killed, perhaps for memory", fix) from None
