"""Answers as documents: what the commands print with --json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from planner import plan_document
from planner.api.keywords import SCHEMAS
from planner.specs.files.writing import write_file
from planner.specs.ranges import word

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from planner.api.answers import FoundPlans, PricedPlan
    from planner.checks.check import Checked
    from planner.validation.serving.compare import ServingValidation
    from planner.validation.validate import Validation

    Answer: TypeAlias = "Documented | Checked | Sequence[Checked] | Validation | ServingValidation"


class Documented(Protocol):
    """An answer that can write its own document: plans that were found or estimated, and
    imports.
    """

    @property
    def document(self) -> dict[str, Any]: ...


def to_document(answer: Answer) -> dict[str, Any]:
    """The JSON document of an answer: plans that were found, one plan that was estimated, one or
    several checks, a validation, an import. Times are seconds, sizes are bytes.

    >>> from planner import api
    >>> document = api.to_document(api.search("dgx-a100-8", "gpt-7.5b", nodes=1, top=2))
    >>> [plan["rank"] for plan in document["plans"]]
    [1, 2]
    """
    if _documented(answer):
        return answer.document

    from planner.checks.check import Checked
    from planner.checks.document import check_document

    if isinstance(answer, Checked):
        return check_document((answer,))
    if isinstance(answer, Sequence):
        return check_document(answer)

    from planner.validation.document import to_document as validation_document
    from planner.validation.validate import Validation

    if isinstance(answer, Validation):
        return validation_document(answer)

    from planner.validation.serving.document import to_document as serving_document

    return serving_document(answer)


def _documented(answer: Answer) -> TypeIs[Documented]:
    """Whether an answer can write its own document. `isinstance` would make the document to find
    out."""
    return hasattr(type(answer), "document")


def to_text(answer: Answer | Mapping[str, Any]) -> str:
    """The text of a document, or of an answer's document: the same answer gives the same bytes, the
    ones that the command prints.

    >>> from planner import api
    >>> priced = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8)
    >>> api.to_text(priced) == api.to_text(api.to_document(priced))
    True
    """
    if isinstance(answer, Mapping):
        return plan_document.to_text(dict(answer))
    return plan_document.to_text(to_document(answer))


def write_plans(plans: FoundPlans | PricedPlan, path: str | Path) -> None:
    """Writes a plan document, whole or not at all: what `load_plans`, `planner check` and `planner
    export` read. Raises: InputError when it cannot be written.

    >>> from planner import api
    >>> found = api.search("dgx-a100-8", "gpt-7.5b", nodes=1, top=2)
    >>> api.write_plans(found, "plans.json")
    >>> api.load_plan("plans.json#2").plan == found.plans[1].plan
    True
    """
    write_file(str(path), to_text(plans), option=None)


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a file format: cluster, model, plan, runs, study, device, library,
    software, engine, load or serving-plan. Raises: InputError.

    >>> from planner import api
    >>> api.schema("plan")["title"]
    'planner plan document'
    """
    from planner.specs.schema import SCHEMA_KINDS, json_schema

    named = word("schema", kind, SCHEMAS)
    if named == "serving-plan":
        from planner.plan_document.serving.schema import serving_schema

        return serving_schema()
    of_specs = next((known for known in SCHEMA_KINDS if known == named), None)
    return plan_document.plan_schema() if of_specs is None else json_schema(of_specs)
