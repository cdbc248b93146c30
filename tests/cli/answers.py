"""What `--json` answers, read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

    Command = Callable[..., Outcome]


def document(done: Outcome) -> dict[str, Any]:
    """Of a command that answered yes or no."""
    assert done.code in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def estimated(planner: Command, *options: str) -> dict[str, Any]:
    """The plan of `planner estimate`."""
    found: dict[str, Any] = document(planner("estimate", *options, "--json"))["plans"][0]
    return found


def parts(plan: dict[str, Any]) -> dict[str, int]:
    """Bytes of the first stage by component."""
    found: dict[str, int] = plan["estimate"]["memory"]["per_stage"][0]["components"]
    return found
