"""The JSON Schema of `report.json`, published with the package: `edgevit report --schema` prints it."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import types
import typing
from importlib import resources
from pathlib import Path
from typing import Any

from edgevit.types import Report

FILE = "report.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    Path: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
}


def published() -> str:
    return resources.files("edgevit.report").joinpath(FILE).read_text(encoding="utf-8")


def generated() -> str:
    """The same from the nouns. A field more is no new version, so the schema does not refuse what it does not know."""
    defined: dict[str, Any] = {}
    top = _of(Report, defined)
    version = defined["Report"]["properties"]["schema"]["enum"][0]
    defined["Report"]["required"].insert(0, "schema")
    return json.dumps({"$schema": DIALECT, "$id": version, **top, "$defs": defined}, indent=1, ensure_ascii=False) + "\n"


def _of(kind: Any, defined: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type of a record; dataclasses and enumerations stand once, in `defined`."""
    if kind in PLAIN:
        return PLAIN[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return {"enum": list(inner)}
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [_of(one, defined) for one in inner]}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(inner[1], defined)}
    if origin is tuple:
        return _array(inner, defined)
    if kind.__name__ not in defined:
        defined[kind.__name__] = {}  # held free, for one that holds its own kind
        defined[kind.__name__] = _named(kind, defined)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _array(inner: tuple[Any, ...], defined: dict[str, Any]) -> dict[str, Any]:
    if inner[-1] is Ellipsis:
        return {"type": "array", "items": _of(inner[0], defined)}
    items = [_of(one, defined) for one in inner]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _named(kind: Any, defined: dict[str, Any]) -> dict[str, Any]:
    said = {"description": inspect.cleandoc(kind.__doc__)}
    if issubclass(kind, enum.Enum):
        return {**said, "enum": [one.value for one in kind]}
    if not dataclasses.is_dataclass(kind):
        raise NotImplementedError(f"{kind} is no part of a record")
    hints, fields = typing.get_type_hints(kind), dataclasses.fields(kind)
    properties = {field.name: _of(hints[field.name], defined) for field in fields}
    return {**said, "type": "object", "properties": properties, "required": [f.name for f in fields if _always(f)]}


def _always(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
