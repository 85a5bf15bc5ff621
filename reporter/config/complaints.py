"""pydantic's errors in the words of the file: what is wrong with which field, and what was probably meant."""

import difflib
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reporter.config.document import Location, Problem
from reporter.config.model import Config

_WORDS = {
    "missing": "is required",
    "string_type": "must be text; quote it",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "path_type": "must be the path of a file",
    "timezone_aware": "must say its time zone, like 2026-11-01T02:00:00Z",
    "datetime_type": "must be a moment, like 2026-11-01T02:00:00Z",
    "datetime_parsing": "must be a moment, like 2026-11-01T02:00:00Z",
    "datetime_from_date_parsing": "must be a moment, like 2026-11-01T02:00:00Z",
    "too_short": "must not be empty",
}


def problems_of(error: ValidationError) -> list[Problem]:
    """Return what a validation of `Config` found wrong, one problem for each place."""
    found = error.errors(include_url=False, include_input=False)
    places = [details["loc"] for details in found]
    return [
        Problem(_in_the_file(details["loc"]), _sentence(details))
        for details in found
        if details["type"] != "too_short" or not any(_is_inside(place, details["loc"]) for place in places)
    ]


def _is_inside(place: Location, other: Location) -> bool:
    """pydantic counts what was refused as missing, too: a list of which all is wrong is not empty besides."""
    return len(place) > len(other) and place[: len(other)] == other


def _in_the_file(location: Location) -> Location:
    return location[:-1] if location[-1:] == ("[key]",) else location


def _sentence(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(str(details["loc"][-1]), _keys_beside(details["loc"]))
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"must be {'at least' if kind[0] == 'g' else 'at most'} {context.get('ge', context.get('le'))}"
    return _WORDS.get(kind) or details["msg"]


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}" if known else "nothing belongs here"
    return f"unknown key; {meant}"


def _keys_beside(location: Location) -> list[str]:
    """Return the keys that are known where `location` stands, by walking the types of the models."""
    here: Any = Config
    for part in location[:-1]:
        here = _inside(here, part)
    model = _model(here)
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items() if name != "kind"]


def _inside(kind: Any, part: str | int) -> Any:
    """Return the type of what stands at `part` of a value of type `kind`."""
    model = _model(kind)
    if model is not None:
        fields = (field.annotation for name, field in model.model_fields.items() if part in (name, field.alias))
        return next(fields, None)
    for option in _options(kind):
        if get_origin(option) in (tuple, dict):
            return get_args(option)[0 if get_origin(option) is tuple else 1]
        if isinstance(option, type) and issubclass(option, BaseModel):  # a tagged union: `part` is the tag
            tag = option.model_fields.get("kind")
            if tag is not None and tag.default == part:
                return option
    return None


def _model(kind: Any) -> type[BaseModel] | None:
    """Return the one model that `kind` is, or may be beside None."""
    models = [option for option in _options(kind) if isinstance(option, type) and issubclass(option, BaseModel)]
    return models[0] if len(models) == 1 else None


def _options(kind: Any) -> tuple[Any, ...]:
    if hasattr(kind, "__metadata__"):  # Annotated
        return _options(get_args(kind)[0])
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
