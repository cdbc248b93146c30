"""Which keywords decide parts of a plan, and where they may not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.api.inputs import load_hosts
from planner.api.keywords import (
    AxisKeywords,
    LayoutKeywords,
    ScriptKeywords,
    names_of,
)
from planner.errors import InputError
from planner.specs import ranges
from planner.training.search.space.restrictions import restrictions_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.training.search.space.restrictions import Restrictions


def decisions_of(options: Mapping[str, Any]) -> Restrictions:
    """The axes among the keywords. Raises: InputError."""
    return restrictions_of({name: options.get(name) for name in names_of(AxisKeywords)})


def layout_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The layout among the keywords, as plans are built from it. Raises: InputError."""
    hosts = options.get("hosts")
    return {
        "stage_layers": _layers(options.get("stage_layers")),
        "recompute_layers": ranges.whole(
            "--recompute-layers", options.get("recompute_layers"), most=ranges.MOST_LAYERS
        ),
        "hosts": None if hosts is None else load_hosts(hosts),
    }


def name_of(plan: object) -> str | None:
    """The name of a given plan in messages: its file, or "the plan". None: no plan is given."""
    if plan is None or isinstance(plan, str | Path):
        return None if plan is None else str(plan)
    return "the plan given"


def refuse_script(options: Mapping[str, Any], plan: str | None) -> None:
    """Raises: InputError for a keyword about launch scripts where `plan` is not a launch script."""
    for name in names_of(ScriptKeywords):
        if options.get(name) is not None:
            instead = f"; {plan} is none" if plan is not None else ", which --plan gives"
            option = "--set" if name == "variables" else ranges.option_name(name)
            raise InputError(f"{option} is for a launch script{instead}")


def refuse_decisions(options: Mapping[str, Any], plan: object) -> None:
    """Raises: InputError for a keyword that would decide something that the given plan already
    decides."""
    path = str(plan) if isinstance(plan, str | Path) else None
    for name in (*names_of(AxisKeywords), *names_of(LayoutKeywords)):
        if options.get(name) is not None:
            what = "plan" if path is None else "plan file"
            raise InputError(
                f"{ranges.option_name(name)} is given, and the {what} decides it already", path=path
            )


def _layers(given: Iterable[int] | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"--stage-layers: {given!r} is not the layers of every chunk in order")
    most = ranges.MOST_LAYERS
    found = (ranges.whole("--stage-layers", one, most=most, least=0) for one in given)
    return tuple(one for one in found if one is not None)
