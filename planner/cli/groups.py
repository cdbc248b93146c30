"""Options that belong together: one dataclass parameter of a command, one section of its help."""

from __future__ import annotations

from copy import copy
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from typer.core import TyperCommand

if TYPE_CHECKING:
    from collections.abc import Callable

ARGUMENTS, OTHERS = "Arguments", "Options"


class SectionedCommand(TyperCommand):
    """A command whose help has a section for each group of options, then the lines of its epilog as
    examples. Options that are left out are not converted, since typer first builds a validator for
    each of them."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        for parameter in self.params:
            plain = parameter.nargs == 1 and not getattr(parameter, "multiple", False)
            if plain and not parameter.required and parameter.callback is None:
                convert = _unless_missing(parameter.process_value)
                parameter.process_value = convert  # type: ignore[method-assign,assignment]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if parameter.param_type_name == "argument":
                sections.setdefault(ARGUMENTS, []).append(
                    (str(parameter.metavar), str(getattr(parameter, "help", "")))
                )
            elif record is not None:
                title = getattr(parameter, "rich_help_panel", None) or OTHERS
                sections.setdefault(title, []).append(record)
        first, last = (sections.pop(title, []) for title in (ARGUMENTS, OTHERS))
        for title, records in ((ARGUMENTS, first), *sections.items(), (OTHERS, last)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Examples stand as they are typed, whatever the width."""
        if self.epilog:
            with formatter.section("Examples"):
                for example in self.epilog.splitlines():
                    formatter.write(f"  {example}\n")


def _unless_missing(convert: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def process_value(ctx: Any, value: Any) -> Any:
        return None if value is None else convert(ctx, value)

    return process_value


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as typer wants it: every field of its dataclass parameters is an option of its
    own, and the call puts them together again."""
    groups: dict[str, type] = {}
    parameters: list[Parameter] = []
    hints = get_type_hints(command, include_extras=True)
    for parameter in signature(command).parameters.values():
        kind = hints[parameter.name]
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            parameters += _options(kind)
        else:
            parameters.append(parameter.replace(annotation=kind, kind=Parameter.KEYWORD_ONLY))

    @wraps(command)
    def call(**values: Any) -> None:
        built = {
            name: kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        command(**built, **values)

    call.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _options(kind: type) -> list[Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=_titled(hints[field.name], kind.TITLE),  # type: ignore[attr-defined]
        )
        for field in fields(kind)
    ]


def _titled(hint: Any, title: str) -> Any:
    """The option in the section of its group. Dataclasses share options, hence the copy."""
    of, told = get_args(hint)
    told = copy(told)
    told.rich_help_panel = title
    return Annotated[of, told]
