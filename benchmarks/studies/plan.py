"""What a study is: a YAML file that names a recipe, its variants, seeds, and noise at test time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from spikeport.errors import UsageError, did_you_mean
from spikeport.train.checks import validated
from spikeport.train.datasets import DATASETS
from spikeport.train.noise import GRID_DB, JOINT, Condition, conditions
from spikeport.train.recipe import Recipe, load_recipe, read_yaml, to_yaml

FOLDER = Path(__file__).resolve().parent
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Seed = Annotated[int, Field(ge=0)]
Named = Annotated[str, Field(pattern=NAME)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NoisePart(_Part):
    """Noise at test time, see `spikeport.train.noise`.

    Attributes:
        inputs: which are noisy, each alone; `joint` for all of them at once; by default each and all.
        snr_db: the ratios.
        seed: of the draws: every variant meets the same noisy samples.
    """

    inputs: tuple[str, ...] | None = Field(default=None, min_length=1)
    snr_db: tuple[float, ...] = Field(default=GRID_DB, min_length=1)
    seed: Seed = 0


class Cited(_Part):
    """A figure that someone else published, printed apart from ours."""

    what: str
    accuracy_percent: Annotated[float, Field(ge=0, le=100)]
    source: str


class Study(_Part):
    """Variants of one recipe that are compared.

    Attributes:
        name: of the study.
        note: what it asks, for the head of its table.
        recipe: a recipe's name, or a YAML file beside the study's.
        set: what all variants change in the recipe, as `a.b=value`.
        variants: what each changes besides.
        seeds: each variant is trained once with each.
        reference: the variant that all others are compared with.
        noise: conditions at test time besides clean samples.
        folded: score in the folded run, which equals the step-by-step one up to rounding and is faster.
        cited: others' figures.
    """

    name: Named
    note: str = ""
    recipe: str
    set: tuple[str, ...] = ()
    variants: dict[Named, tuple[str, ...]] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(min_length=1)
    reference: str
    noise: NoisePart | None = None
    folded: bool = False
    cited: tuple[Cited, ...] = ()


def study_names() -> list[str]:
    """Return the names of the studies that ship with spikeport."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_study(name_or_path: str | Path, overrides: Sequence[str] = (), seeds: Sequence[int] | None = None) -> Study:
    """Return the study named, or in the YAML file named.

    Args:
        name_or_path: which.
        overrides: `a.b=value`, for the recipes of all variants, over what these say.
        seeds: instead of the study's.

    Raises:
        UsageError: there is no such study, a key does not fit, or two variants are the same training.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if str(name_or_path) not in study_names():
            fix = did_you_mean(str(name_or_path), study_names()) + "; or name a YAML file"
            raise UsageError(f"study '{name_or_path}'", "there is no such study", fix)
        path = FOLDER / f"{name_or_path}.yaml"
    study = validated(Study, read_yaml(path), "")
    if study.recipe.endswith((".yaml", ".yml")):
        study = study.model_copy(update={"recipe": str(path.parent / study.recipe)})
    changes = {variant: (*own, *overrides) for variant, own in study.variants.items()}
    study = study.model_copy(update={"variants": changes} | ({} if seeds is None else {"seeds": tuple(seeds)}))
    _check(study)
    return study


def recipe_of(study: Study, variant: str, seed: int) -> Recipe:
    """Return what `variant` trains with `seed`."""
    return load_recipe(study.recipe, [*study.set, *study.variants[variant], f"seed={seed}"])


def digest(recipe: Recipe) -> str:
    """Return the hex SHA-256 of `recipe`."""
    return hashlib.sha256(to_yaml(recipe).encode()).hexdigest()


def noise_conditions(study: Study, recipe: Recipe) -> tuple[Condition, ...]:
    """Return the noise that the study asks for, on the inputs of the recipe's dataset."""
    if study.noise is None:
        return ()
    kind = DATASETS.get(recipe.data.name)
    names = tuple(kind.shapes(validated(kind.params, recipe.data.params, "data.params")))
    every = tuple(conditions(names, study.noise.snr_db))
    known = dict.fromkeys(condition.where for condition in every)
    wanted = known if study.noise.inputs is None else study.noise.inputs
    for name in wanted:
        if name not in known:
            reason = f"'{recipe.data.name}' has no such input" + (" beside another" if name == JOINT else "")
            raise UsageError(f"key 'noise.inputs': '{name}'", reason, did_you_mean(name, known))
    return tuple(condition for condition in every if condition.where in wanted)


def chosen(study: Study, only: Iterable[str] | None) -> tuple[str, ...]:
    """Return the variants named, all by default, in the study's order."""
    wanted = list(study.variants if only is None else only)
    for name in wanted:
        _known(name, study.variants, "--only")
    return tuple(name for name in study.variants if name in wanted)


def _check(study: Study) -> None:
    _known(study.reference, study.variants, "key 'reference'")
    _different("seeds", study.seeds)
    if study.noise is not None:
        _different("noise.snr_db", study.noise.snr_db)
    for override in (text for own in ((study.set), *study.variants.values()) for text in own):
        if override.partition("=")[0] == "seed":
            raise UsageError(f"'{override}' in a study", "its seeds are a key of their own", "Use seeds, or --seeds")
    trained: dict[str, str] = {}
    for variant in study.variants:
        recipe = recipe_of(study, variant, study.seeds[0])
        noise_conditions(study, recipe)
        twin = trained.setdefault(digest(recipe), variant)
        if twin != variant:
            reason = "with what is set for all they are the same training"
            raise UsageError(f"variants '{twin}' and '{variant}'", reason, "Drop one, or a --set")


def _known(name: str, known: Mapping[str, object], where: str) -> None:
    if name not in known:
        raise UsageError(f"{where} '{name}'", "the study has no such variant", did_you_mean(name, known))


def _different(key: str, values: Sequence[float]) -> None:
    if len(set(values)) != len(values):
        raise UsageError(f"key '{key}'", "a value stands there twice", "List each once")
