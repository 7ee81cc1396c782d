"""Strict arguments: nothing unknown, missing, coerced or over-long gets past, and every refusal
says what to fix. The SDK by itself drops unknown arguments and coerces the rest.

One leniency, because Claude clients need it: an array may arrive as its own JSON text.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError

from cordboard.errors import CordboardError, InvalidArguments, LimitExceeded

Model = TypeVar("Model", bound=BaseModel)

_SHOWN = 20
_WORDS = {
    "missing": "is required",
    "string_type": "must be text",
    "int_type": "must be a whole number, not text",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
}


def read_arguments(
    model: type[Model], tool: str, arguments: Mapping[str, Any], ignored: Collection[str] = ()
) -> Model:
    """The checked arguments of a tool. `ignored`: keys an operator's client adds of its own.

    Raises: InvalidArguments naming every field and its remedy; LimitExceeded for a too long list.
    The caller's values are never repeated.
    """
    given = {name: value for name, value in arguments.items() if name not in ignored}
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is list and isinstance(given.get(name), str):
            given[name] = _array(given[name])
    try:
        return model.model_validate(given)
    except ValidationError as exc:
        raise _explained(exc, tool, model) from None


def _array(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, list) else text


def _explained(exc: ValidationError, tool: str, model: type[BaseModel]) -> CordboardError:
    errors = exc.errors(include_url=False, include_input=False)
    names = list(model.model_fields)
    lines = [_line(error, names, model) for error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        lines.append(f"… and {len(errors) - _SHOWN} more")
    what = f"Invalid arguments for {tool}:\n" + "\n".join(f"- {line}" for line in lines) + "\n"
    if all(e["type"] == "too_long" and e["loc"][0] in ("numbers", "number_slugs") for e in errors):
        return LimitExceeded(what)
    return InvalidArguments(what)


def _line(error: Any, names: list[str], model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "arguments"
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(str(error["loc"][-1]), names)
    if kind == "string_pattern_mismatch":
        field = model.model_fields.get(str(error["loc"][0]))
        hint = field.description if field and field.description else context["pattern"]
        return f"{where}: has not the right form ({hint})"
    if kind == "string_too_long":
        return f"{where}: is longer than {context['max_length']} characters"
    if kind == "too_long":
        return f"{where}: has more than {context['max_length']} entries"
    if kind == "too_short":
        return f"{where}: must name at least {context['min_length']}"
    if kind == "string_too_short":
        return f"{where}: is empty"
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"{where}: {error['msg'].replace('Input s', 's')}"
    if kind == "literal_error":
        return f"{where}: must be one of {context['expected']}"
    if kind == "value_error":
        said = str(context["error"])
        return f"{where}: {said}" if error["loc"] else said
    return f"{where}: {_WORDS.get(kind, error['msg'])}"


def _unknown(name: str, names: list[str]) -> str:
    """An unknown argument, with the nearest known one; its own text shortened and made printable."""
    short = name[:40].encode("unicode_escape").decode("ascii")
    near = difflib.get_close_matches(name[:100], names, 1)
    hint = f"did you mean {near[0]}?" if near else f"the arguments are {', '.join(names) or 'none'}"
    return f"{short}: unknown argument; {hint}"
