"""JSON schemas as models and clients can use them: flat, no titles, no `$ref`, no unions.

Hosts differ in what they accept: some reject any `$ref`, some drop `$defs`, some refuse
top-level unions; what is published here is the common core, and the server checks all of it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

_NEEDLESS = ("default", "additionalProperties", "required")


class _Slim(GenerateJsonSchema):
    """Without the titles pydantic makes up from names: they cost a reader and say nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def input_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a tool's arguments."""
    return _schema(model)


def output_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a tool's answer. Only its own fields are marked required: ten tools share it,
    and the whole list must stay small."""
    full = _schema(model)
    return cast(dict[str, Any], _bare(full)) | {"required": list(full["properties"])}


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    made = model.model_json_schema(schema_generator=_Slim)
    made.pop("title", None)
    made.pop("description", None)
    flat: dict[str, Any] = _inline(made, made.get("$defs", {}))
    return flat


def _inline(node: Any, defs: dict[str, Any]) -> Any:
    """Definitions put where they are used; shapes here are never recursive."""
    if isinstance(node, list):
        return [_inline(item, defs) for item in node]
    if not isinstance(node, dict):
        return node
    known = cast(dict[str, Any], node)
    if isinstance(known.get("$ref"), str):
        target = dict(defs[known["$ref"].rsplit("/", 1)[1]])
        target.pop("title", None)
        target.pop("description", None)
        return _inline(target | {k: v for k, v in known.items() if k != "$ref"}, defs)
    return {k: _inline(v, defs) for k, v in known.items() if k != "$defs"}


def _bare(node: Any) -> Any:
    """Without what an answer's reader has no use for: the server keeps to its own shapes."""
    if isinstance(node, list):
        return [_bare(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {k: _bare(v) for k, v in cast(dict[str, Any], node).items() if k not in _NEEDLESS}
