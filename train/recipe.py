"""Recipes: everything that decides a training, in one frozen object that YAML holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from spikeport.errors import UsageError, did_you_mean
from spikeport.models import MODELS
from spikeport.train.checks import validated
from spikeport.train.datasets import DATASETS
from spikeport.train.encodings import ENCODINGS, EncodingSpec
from spikeport.train.losses import LossSpec, loss_params

FOLDER = Path(__file__).resolve().parent / "recipes"
Count = Annotated[int, Field(gt=0)]
Bits = Annotated[int, Field(ge=1, le=8)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelPart(_Part):
    """A registered model and its parameters; `spikeport list models` names them."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)


class DataPart(_Part):
    """A registered dataset.

    Attributes:
        name: its name.
        params: its own parameters.
        noise: Gaussian noise by input, in standard deviations of each feature, in training and in test.
        split_seed: fixes the parts, and the pairs and noise of validation and test: the same samples
            for every training seed.
    """

    name: str
    params: dict[str, Any] = Field(default_factory=dict)
    noise: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    split_seed: Annotated[int, Field(ge=0)] = 0


class TrainingPart(_Part):
    """How to train: AdamW with a linear warm-up and a cosine decay to zero, cross-entropy and what else is named.

    Attributes:
        epochs: passes over the training part.
        batch_size: samples a step; a smaller last batch is dropped.
        lr: peak learning rate.
        warmup: share of all steps in which the learning rate rises to `lr`.
        weight_decay: of AdamW.
        clip_norm: largest gradient norm.
        label_smoothing: share of each label that is spread over all classes.
        losses: others, of what the network's segments write.
        accumulate: batches whose gradients one step of the optimizer takes together.
        precision: of products; `bf16` computes them in bfloat16 (membranes, losses and weights stay in float32).
        patience: epochs without a better validation accuracy after which training stops; 0: never.
    """

    epochs: Count = 8
    batch_size: Count = 64
    lr: Annotated[float, Field(gt=0)] = 2e-3
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    patience: Annotated[int, Field(ge=0)] = 0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    losses: tuple[LossSpec, ...] = ()
    accumulate: Count = 1
    precision: Literal["float32", "bf16"] = "float32"


class QuantisationPart(_Part):
    """Fake quantisation in training: the numbers that Loihi will hold, see `spikeport.models.fake_quantised`.

    Attributes:
        weight_bits: of all weights before neurons, sign included; the readout stays in float on the host.
        layers: others, by the neuron's path in the core.
    """

    weight_bits: Bits = 8
    layers: dict[str, Bits] = Field(default_factory=dict)


class TwinPart(_Part):
    """Which ANN `kind=ann` trains: see `spikeport.models.twin.Equivalent`.

    Attributes:
        kind: the same topology in one pass; in quantised activations; per frame; or as wide as `macs` says.
        macs: of `matched`: multiply-accumulates per sample, the spiking network's SynOps say.
    """

    kind: Literal["relu", "quantised", "per-frame", "matched"] = "relu"
    macs: Count | None = None


class Recipe(_Part):
    """A training, wholly described.

    Attributes:
        name: what the run is called unless told.
        kind: "snn", or "ann" for the twin by the same recipe.
        model: which network.
        data: which samples.
        encodings: how each input becomes spikes; the twin takes the inputs before encoding.
        timesteps: T.
        dt_s: length of one step in seconds.
        training: how to train.
        twin: which ANN, where `kind` is "ann".
        quantisation: train with quantised numbers; `None`: in float.
        start_from: the folder of a run of the same network, whose weights the training begins with.
        seed: decides initial weights, pairing, augmentation, noise of the training part and order.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    kind: Literal["snn", "ann"] = "snn"
    model: ModelPart
    data: DataPart
    encodings: dict[str, EncodingSpec]
    timesteps: Count = 16
    dt_s: Annotated[float, Field(gt=0)] = 1e-3
    training: TrainingPart = Field(default_factory=TrainingPart)
    twin: TwinPart = Field(default_factory=TwinPart)
    quantisation: QuantisationPart | None = None
    start_from: str | None = None
    seed: Annotated[int, Field(ge=0)] = 0


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe named, or in the YAML file named, with `overrides` ("a.b=value") applied.

    Raises:
        UsageError: no such recipe, malformed YAML, an unknown key, a wrong type or an unknown name.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        known = recipe_names()
        if str(name_or_path) not in known:
            raise UsageError(
                f"recipe '{name_or_path}'", "there is no such recipe", did_you_mean(str(name_or_path), known)
            )
        path = FOLDER / f"{name_or_path}.yaml"
    data = read_yaml(path)
    for override in overrides:
        _apply(data, override)
    return parse_recipe(data)


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with spikeport."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def parse_recipe(data: Any) -> Recipe:
    """Return `data` as a checked recipe: every name is known and every parameter fits what it names."""
    recipe = validated(Recipe, data, "")
    model = MODELS.get(recipe.model.name)
    params = validated(model.params, recipe.model.params, "model.params")
    kind = DATASETS.get(recipe.data.name)
    if recipe.kind == "ann" and recipe.quantisation is not None:
        raise UsageError("key 'quantisation'", "it is Loihi's, which runs spiking networks", "Drop it, or kind=ann")
    if recipe.twin != TwinPart() and recipe.kind != "ann":
        raise UsageError("key 'twin'", "it says which ANN to train, and kind is snn", "Add --set kind=ann")
    for loss in recipe.training.losses:
        loss_params(loss)
    if recipe.quantisation is not None and recipe.training.losses:
        reason = "quantised training knows the cross-entropy only"
        raise UsageError("key 'training.losses'", reason, "Drop them, or the quantisation")
    if (recipe.twin.kind == "matched") != (recipe.twin.macs is not None):
        raise UsageError("key 'twin.macs'", "it is what a matched twin needs, and no other", "Give both or neither")
    shapes = kind.shapes(validated(kind.params, recipe.data.params, "data.params"))
    _check_inputs("data.noise", recipe.data.noise, shapes)
    _check_inputs("encodings", recipe.encodings, shapes)
    for name, spec in recipe.encodings.items():
        validated(ENCODINGS.get(spec.name).params, spec.params, f"encodings.{name}.params")
    for name in model.inputs(params):
        if name not in recipe.encodings:
            raise UsageError(f"key 'encodings.{name}'", "the model takes this input, and it has no encoding", "Add one")
    return recipe


def to_yaml(recipe: Recipe) -> str:
    """Return `recipe` as YAML that `read_yaml` reads back to the same recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file; a duplicate key is an error, and 1e-3 is a number."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise UsageError(str(path), "there is no such file", "Name a recipe or a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(str(path), f"it cannot be read: {error}", "Name a YAML file") from None
    except yaml.YAMLError as error:
        raise UsageError(str(path), f"it is not YAML: {' '.join(str(error).split())}", "Correct it") from None


def _check_inputs(where: str, given: Iterable[str], inputs: Iterable[str]) -> None:
    for name in given:
        if name not in inputs:
            raise UsageError(f"key '{where}.{name}'", "the dataset has no such input", did_you_mean(name, inputs))


def _apply(data: Any, override: str) -> None:
    """Set one "a.b=value" in nested plain data; whether the key exists is for `parse_recipe` to say."""
    path, equals, text = override.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise UsageError(
            f"--set {override}", "it is not of the form key.path=value", "Write e.g. --set training.epochs=3"
        )
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError:
        raise UsageError(f"--set {override}", "its value is not YAML", "Quote it") from None
    for key in keys[:-1]:
        data = data.setdefault(key, {}) if isinstance(data, dict) else None
    if not isinstance(data, dict):
        raise UsageError(f"--set {override}", f"'{'.'.join(keys[:-1])}' holds a value, not keys", "Shorten the path")
    data[keys[-1]] = value


class _Loader(yaml.SafeLoader):
    """YAML's safe loader with two of its traps removed."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                reason = f"key '{key.value}' is a duplicate, or no plain word"
                raise yaml.constructor.ConstructorError(None, None, reason, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# PyYAML follows YAML 1.1, where 1e-3 (no dot) is a string.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
