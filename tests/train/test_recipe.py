from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from spikeport.errors import UsageError
from spikeport.train.recipe import Recipe, load_recipe, parse_recipe, read_yaml, recipe_names, to_yaml


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_load_and_survive_yaml(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    file = tmp_path / "again.yaml"
    file.write_text(to_yaml(recipe))
    assert load_recipe(file) == recipe


def test_there_are_recipes() -> None:
    assert "av-digits" in recipe_names()


def test_overrides_reach_every_depth() -> None:
    recipe = load_recipe(
        "av-digits",
        ["training.lr=1e-3", "data.noise.image=1", "kind=ann", "model.params.channels=[3, 4]", "seed=5"],
    )
    assert recipe.training.lr == 1e-3
    assert recipe.data.noise["image"] == 1.0
    assert recipe.kind == "ann"
    assert recipe.model.params["channels"] == [3, 4]
    assert recipe.seed == 5


def test_a_recipe_is_frozen() -> None:
    recipe = load_recipe("av-digits")
    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.epoch=3", "key 'training.epoch': there is no such key. Did you mean 'epochs'"),
        ("traning.epochs=3", "key 'traning': there is no such key. Did you mean 'training'"),
        ("training.epochs=many", 'training.epochs = "many": Input should be a valid integer'),
        ("training.epochs=0", "training.epochs = 0: Input should be greater than 0"),
        ("training.epochs=1.5", "training.epochs = 1.5: Input should be a valid integer"),
        ("training.epochs=true", "training.epochs = true: Input should be a valid integer"),
        ("model.params.beta_imge=0.5", "key 'model.params.beta_imge': .*Did you mean 'beta_image'"),
        ("model.params.channels=[3]", "key 'model.params.channels.1': it is missing"),
        ("model.name=av-digit", "model 'av-digit': there is no such model. Did you mean 'av-digits'"),
        ("data.name=mnost", "dataset 'mnost': there is no such dataset"),
        ("data.noise.images=1", "key 'data.noise.images': the dataset has no such input. Did you mean 'image'"),
        ("data.noise.image=-1", "data.noise.image = -1: Input should be greater than or equal to 0"),
        ("data.params.frame=3", "key 'data.params.frame': .*Did you mean 'frames'"),
        ("encodings.video={name: rate}", "key 'encodings.video': the dataset has no such input"),
        ("encodings.image.name=rates", "encoding 'rates': there is no such encoding. Did you mean 'rate'"),
        ("encodings={image: {name: rate}}", "key 'encodings.audio': the model takes this input"),
        ("encodings.image.params.ordr=up", "key 'encodings.image.params.ordr': .*Did you mean 'order'"),
        ("name=a/b", 'name = "a/b": String should match pattern'),
        ("seed.x=1", "'seed' holds a value, not keys"),
        ("seed", "it is not of the form key.path=value"),
        ("seed=[1", "its value is not YAML"),
        (".seed=1", "it is not of the form key.path=value"),
        ("training.lr=.inf", "holds what JSON cannot"),
    ],
)
def test_bad_overrides_are_refused_by_name(override: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe("av-digits", [override])


def test_an_unknown_recipe_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"recipe 'av-digit': there is no such recipe. Did you mean 'av-digits"):
        load_recipe("av-digit")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [", "it is not YAML"),
        ("seed: 1\nseed: 2\n", "key 'seed' is a duplicate"),
        ("- a\n", "Input should be an object"),
        ("", "Input should be an object"),
        ("name: x\n", "key 'model': it is missing"),
        ("when: 2020-01-01\n", "holds what JSON cannot"),
        ("a: !!python/object:os.system {}\n", "it is not YAML"),
        ("? [a, b]\n: 1\n", "it is not YAML"),
    ],
)
def test_bad_files_are_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        load_recipe(file)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        load_recipe(tmp_path / "no.yaml")
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="it cannot be read"):
        load_recipe(binary)
    with pytest.raises(UsageError, match="it cannot be read"):
        read_yaml(tmp_path)


def test_numbers_without_a_dot_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "n.yaml"
    file.write_text("a: 1e-3\nb: 2E5\nc: 7\nd: x1e3\n")
    assert read_yaml(file) == {"a": 1e-3, "b": 2e5, "c": 7, "d": "x1e3"}


def test_parsing_does_not_touch_its_argument() -> None:
    data = load_recipe("av-digits").model_dump(mode="json")
    before = str(data)
    assert isinstance(parse_recipe(data), Recipe)
    assert str(data) == before
