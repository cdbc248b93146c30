"""XML of topology files: elements with their places. Read with expat's events: a document type is
refused, so that no entity is ever expanded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from planner.importers.source import Source

LARGEST_CHARACTERS = 16 * 2**20
DEEPEST = 64
MOST_ELEMENTS = 100_000

_START = re.compile(
    r"\s*(<\?xml[^>]*>)?\s*(<!--(?:(?!-->).)*-->\s*)*<(system|graphs|!DOCTYPE)", re.DOTALL
)


@dataclass(slots=True)
class Element:
    tag: str
    attributes: dict[str, str]
    line: int
    column: int
    children: list[Element] = field(default_factory=list)

    def within(self, tag: str) -> Iterator[Element]:
        """All elements of a kind below this one."""
        for child in self.children:
            if child.tag == tag:
                yield child
            yield from child.within(tag)


def looks_like_xml(text: str) -> bool:
    return _START.match(text) is not None


def parse_xml(source: Source) -> Element:
    """Raises: InputError for text that is not XML, for a document type, and beyond limits that no
    topology reaches."""
    if len(source.text) > LARGEST_CHARACTERS:
        raise source.error(f"is longer than {LARGEST_CHARACTERS // 2**20} Mi characters")
    parser = expat.ParserCreate()
    root = Element("", {}, 1, 1)
    stack = [root]
    count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        line, column = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
        if len(stack) > DEEPEST or count > MOST_ELEMENTS:
            raise source.error("has more elements, or deeper ones, than any topology", line, column)
        element = Element(tag, attributes, line, column)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_tag: str) -> None:
        stack.pop()

    def refuse(*_arguments: object) -> None:
        raise source.error(
            "a document type, which no topology file has; it is not read",
            parser.CurrentLineNumber,
            parser.CurrentColumnNumber + 1,
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(source.text, True)
    except expat.ExpatError as error:
        problem = expat.errors.messages.get(error.code, "cannot be read")
        raise source.error(f"not valid XML: {problem}", error.lineno, error.offset + 1) from error
    return root
