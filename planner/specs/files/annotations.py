"""What the annotations of a pydantic model say of the values below it."""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def unwrapped(annotation: Any) -> Any:
    """The annotation without its metadata and without None; of a union the first member."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, UnionType):
            annotation = next((one for one in get_args(annotation) if one is not type(None)), None)
        else:
            return annotation


def entry_of(annotation: Any) -> Any:
    """What the entries of a list are; None for what is no list."""
    found = next((one for one in get_args(annotation) if one is not Ellipsis), None)
    return unwrapped(found)


def is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def most_entries(field: FieldInfo) -> int | None:
    """How many entries the list of a field may have; None where it does not say."""
    limits = (getattr(one, "max_length", None) for one in _metadata(field.annotation, (field,)))
    return next((one for one in limits if one is not None), None)


def _metadata(annotation: Any, outside: Iterable[Any]) -> Iterator[Any]:
    """What `outside` holds, then the metadata inside the annotation."""
    for one in outside:
        yield from one.metadata if isinstance(one, FieldInfo) else (one,)
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        yield from _metadata(inner, metadata)
    elif get_origin(annotation) in (Union, UnionType):
        for inner in get_args(annotation):
            yield from _metadata(inner, ())
