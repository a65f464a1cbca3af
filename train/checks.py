"""Checking settings: a pydantic error becomes one line that names the key, the value and the fix."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from spikeport.errors import UsageError, did_you_mean

M = TypeVar("M", bound=BaseModel)


def validated(kind: type[M], data: Any, where: str) -> M:
    """Return `data` as a `kind`, without coercion beyond what JSON needs (list to tuple, int to float).

    Args:
        kind: the pydantic class.
        data: plain data, as YAML gives it.
        where: the path of `data` in the recipe, "" for its root.

    Raises:
        UsageError: an unknown key, a wrong type or a value out of bounds; the first one is named.
    """
    try:
        return kind.model_validate_json(json.dumps(data, allow_nan=False), strict=True)
    except ValidationError as error:
        raise _usage_error(kind, error, where) from None
    except (TypeError, ValueError) as error:
        raise UsageError(where or "recipe", f"it holds what JSON cannot: {error}", "Use plain values") from None


def _usage_error(kind: type[BaseModel], error: ValidationError, where: str) -> UsageError:
    first = error.errors()[0]
    path = ".".join([*([where] if where else []), *(str(part) for part in first["loc"])])
    if first["type"] == "extra_forbidden":
        return UsageError(
            f"key '{path}'", "there is no such key", did_you_mean(str(first["loc"][-1]), _siblings(kind, first["loc"]))
        )
    if first["type"] == "missing":
        return UsageError(f"key '{path}'", "it is missing", "Give it a value")
    return UsageError(
        f"{path or 'recipe'} = {json.dumps(first['input'])}", first["msg"], f"Set {path or 'the recipe'} accordingly"
    )


def _siblings(kind: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys known at `loc`, walking down from `kind`."""
    for part in loc[:-1]:
        field = kind.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            continue
        kind = inner
    return list(kind.model_fields)
