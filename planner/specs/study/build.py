"""From a study file to a `Study`: paths understood, ranges spelled out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.files.document import Document, document_of
from planner.specs.files.fields import Count, Input
from planner.specs.files.problems import in_order, validate
from planner.specs.files.spelling import did_you_mean
from planner.specs.files.yaml_file import load_document
from planner.specs.names import as_name
from planner.specs.study.file import StudyInput
from planner.specs.study.paths import FieldPath, parse_path
from planner.specs.study.spec import Axis, Study
from planner.specs.units import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.specs.files.document import Location, Tree
    from planner.specs.study.file import Objective

MOST_VALUES = 10_000
MOST_POINTS = 100_000
_LAID_OVER = ("prices", "power", "reliability")


class SpanInput(Input):
    """Numbers from the first to the last."""

    first: Count
    last: Count
    step: Count | None = None
    """Between two of them. Default: 1."""
    factor: Count | None = None
    """Each is so many times the one before, in place of `step`."""


def load_study(study: str | Path | Mapping[str, object]) -> Study:
    """A study from its file, or from plain values in the form of the file. Raises: InputError with
    every problem and its place."""
    if isinstance(study, Mapping):
        return build_study(document_of(study, "study"), name="study", folder=Path())
    path = Path(study)
    return build_study(load_document(path), name=path.stem, folder=path.parent)


def build_study(document: Document, *, name: str, folder: Path) -> Study:
    """Raises: InputError."""
    given = validate(document, StudyInput)
    axes: list[Axis] = []
    problems: list[InputError] = []
    for axis_name in given.sweep:
        try:
            axes.append(_axis(document, axis_name))
        except InputError as error:
            problems.append(error)
    problems += _missing(document, given, axes)
    problems += _unknown_axes(document, given.apart, [axis.name for axis in axes])
    if problems:
        raise InputError.of(in_order(problems))
    priced = given.prices is not None or any(axis.path.keys[:1] == ("prices",) for axis in axes)
    default: tuple[Objective, ...] = ("time", "cost") if priced else ("time", "devices")
    study = Study(
        name=given.name or as_name(name, otherwise="study"),
        axes=tuple(axes),
        cluster=given.cluster,
        model=given.model,
        job=given.job,
        search=given.search,
        laid_over=_laid_over(document),
        apart=given.apart,
        objectives=tuple(dict.fromkeys(given.objectives or default)),
        limits=given.limits,
        folder=folder,
        document=document,
    )
    if study.size > MOST_POINTS:
        raise document.error(f"{study.size:,} points are more than {MOST_POINTS:,}", ("sweep",))
    return study


def _axis(document: Document, name: str) -> Axis:
    at = ("sweep", name)
    try:
        path = parse_path(name)
    except ValueError as error:
        raise document.error(str(error), at, key=True) from None
    values = list(_values(document, at))
    texts = tuple(_text(one.tree) for one in values)
    for index, text in enumerate(texts):
        if text in texts[:index]:
            raise document.error(f"{text} is there twice", (*at, index))
    return Axis(name=name, path=path, values=tuple(values), texts=texts)


def _values(document: Document, at: Location) -> Iterator[Document]:
    """Each with its place; the key is that of the axis."""
    tree = document.part(at).tree
    key = document.key_marks.get(at)
    if isinstance(tree, (dict, str)):
        mark = document.marks.get(at)
        for number in _numbers(document, at, tree):
            yield Document(
                path=document.path,
                tree=number,
                marks={} if mark is None else {(): mark},
                key_marks={} if key is None else {(): key},
            )
        return
    if not isinstance(tree, tuple) or not tree:
        raise document.error(f"expected a list of values or a range, found {describe(tree)}", at)
    if len(tree) > MOST_VALUES:
        raise document.error(f"takes at most {MOST_VALUES:,} values, found {len(tree):,}", at)
    for index in range(len(tree)):
        part = document.part((*at, index))
        if part.tree is None:
            raise document.error("expected a value, found nothing", (*at, index))
        if key is not None:
            part.key_marks[()] = key
        yield part


def _numbers(document: Document, at: Location, tree: Tree) -> Sequence[int]:
    if isinstance(tree, str):
        first, dots, last = tree.partition("..")
        if not (dots and first.isdecimal() and last.isdecimal() and len(tree) < 20):
            raise document.error(
                f"expected a list of values or a range, found {describe(tree)}",
                at,
                hint=f"write [{tree[:40]}], or 96..128 for all numbers between",
            )
        span = SpanInput(first=int(first), last=int(last))
    else:
        span = validate(document.part(at), SpanInput)
    if span.step is not None and span.factor is not None:
        raise document.error("step and factor are both given; one says what comes next", at)
    if span.factor == 1:
        raise document.error("a factor of 1 never comes to the last number", (*at, "factor"))
    if span.first > span.last:
        raise document.error(f"counts down from {span.first} to {span.last}", at)
    numbers = [span.first]
    while len(numbers) <= MOST_VALUES:
        following = numbers[-1] * span.factor if span.factor else numbers[-1] + (span.step or 1)
        if following > span.last:
            return numbers
        numbers.append(following)
    raise document.error(f"are more than {MOST_VALUES:,} numbers", at)


def _text(value: Tree) -> str:
    """`64`, `25 GB/s`, `1,2,4`, `{first: 1}`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(_text(one) for one in value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(one)}" for key, one in value.items()) + "}"
    return str(value)


def _missing(document: Document, given: StudyInput, axes: list[Axis]) -> Iterator[InputError]:
    for home in ("cluster", "model"):
        stated = getattr(given, home) is not None
        swept = any(axis.path == FieldPath(home) for axis in axes)
        if not stated and not swept:
            yield document.error(f"{home} is missing; state it, or its values in sweep")
        if stated and swept:
            yield document.error(f"{home} is stated, and swept too", (home,))


def _unknown_axes(
    document: Document, apart: Sequence[str], names: Sequence[str]
) -> list[InputError]:
    return [
        document.error(
            f"{one} is no axis of sweep", ("apart", index), hint=did_you_mean(one, list(names))
        )
        for index, one in enumerate(apart)
        if one not in names
    ]


def _laid_over(document: Document) -> Document:
    """The blocks for every cluster, with their places."""
    tree = {key: document.tree[key] for key in _LAID_OVER if key in document.tree}
    inside = {at: mark for at, mark in document.marks.items() if at and at[0] in tree}
    keys = {at: mark for at, mark in document.key_marks.items() if at and at[0] in tree}
    return Document(path=document.path, tree=tree, marks=inside, key_marks=keys)
