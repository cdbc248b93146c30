"""The error of a target that cannot express a plan."""

from __future__ import annotations

from planner.errors import InputError


class Inexpressible(InputError):  # noqa: N818 - an answer, not a failure
    """`target` has no way to say `field` of the plan (or of the model, job or software profile).

    The field is named as in the plan document, such as `degrees.context`.
    """

    def __init__(self, target: str, field: str, reason: str, *, hint: str | None = None) -> None:
        self.target = target
        self.field = field
        super().__init__(f"{target} cannot express {field}: {reason}", hint=hint)
