"""Words to text: variables, arrays, defaults and arithmetic."""

from __future__ import annotations

import re
from dataclasses import replace

from planner.errors import InputError
from planner.importers.shell import arithmetic
from planner.importers.shell.arrays import count, element
from planner.importers.shell.files import printed_file
from planner.importers.shell.parser import parse_script
from planner.importers.shell.state import ShellState
from planner.importers.shell.syntax import (
    Arithmetic,
    Given,
    Literal,
    Parameter,
    Part,
    Simple,
    Substitution,
    Word,
)
from planner.importers.shell.text import (
    NOWHERE,
    Origin,
    Piece,
    Text,
    cut,
    doubt_of,
    is_known,
    plain,
    requoted,
    script_of_text,
    unset_in,
)
from planner.importers.shell.transform import (
    CASES,
    LONGEST_MATCHED,
    changed_case,
    replaced,
    trimmed,
)

LONGEST = 2**20

_DEFAULTS = (":-", "-", ":=", "=", ":?", "?", ":+", "+")
_INDEX_ARITHMETIC = re.compile(r"\$\(\((.*)\)\)")
_INDEX_NAME = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")


def expand(word: Word, state: ShellState) -> Text:
    """The text of a word without splitting, as in an assignment."""
    pieces: list[Piece] = []
    for part in word.parts:
        for number, field in enumerate(texts_of(part, state)):
            if number:
                pieces.append(Piece(" ", word.origin, quoted=True))
            pieces.extend(field)
    return checked(tuple(pieces), word.origin)


def checked(text: Text, origin: Origin) -> Text:
    """The text, with a place for every piece. Raises: InputError for a text that is too long."""
    if sum(len(piece.text) for piece in text) > LONGEST or len(text) > LONGEST // 16:
        raise InputError(
            f"shell: a value of more than {LONGEST // 2**20} MiB",
            path=origin.path,
            line=origin.line,
            column=origin.column,
        )
    if any(piece.origin.line == NOWHERE for piece in text):
        return tuple(
            replace(piece, origin=origin) if piece.origin.line == NOWHERE else piece
            for piece in text
        )
    return text


def texts_of(part: Part, state: ShellState) -> list[Text]:
    """The expansion of one part: one text, or one for each element of a list."""
    if isinstance(part, Literal):
        return [(Piece(part.text, part.origin, quoted=True),)]
    if isinstance(part, Given):
        return [(replace(part.piece, quoted=part.quoted),)]
    if isinstance(part, Substitution):
        for known in (_spoken(part, state), printed_file(part, state)):
            if known is not None:
                return [known]
        shown = " ".join(part.command.split())[:60]
        return [(Piece("", part.origin, part.quoted, doubt=f"comes from the command {shown!r}"),)]
    if isinstance(part, Arithmetic):
        return [(_arithmetic(part, state),)]
    if part.operator in _DEFAULTS and part.name not in ("@", "*") and not part.index:
        return _with_default(part, _scalar(part, state), state)
    return [requoted(text, quoted=part.quoted) for text in _parameter(part, state)]


def _spoken(part: Substitution, state: ShellState) -> Text | None:
    """What `$(echo words)` says, `IFS=` before it included; None for any other command."""
    if not part.command.lstrip().startswith(("echo ", "IFS=")):
        return None
    commands = _simple_commands(part)
    inner = state.copy()
    for command in commands:
        for one in command.assignments:
            if one.name != "IFS" or isinstance(one.value, tuple):
                return None
            inner.variables["IFS"] = expand(one.value, inner)
    texts = [expand(word, inner) for command in commands for word in command.words]
    says = len([command for command in commands if command.words]) == 1 and len(texts) > 1
    if not says or plain(texts[0]) != "echo" or plain(texts[1]).startswith("-"):
        return None
    pieces = [piece for text in texts[1:] for piece in (Piece(" ", part.origin), *text)]
    return requoted(tuple(pieces[1:]), quoted=part.quoted)


def _simple_commands(part: Substitution) -> tuple[Simple, ...]:
    """The commands in $( ), one after the other; none where anything else stands there."""
    try:
        block = parse_script(script_of_text((Piece(part.command, part.origin),), part.origin))
    except InputError:
        return ()
    pipelines = [pipeline.commands for and_or in block for pipeline in and_or.pipelines]
    plain_ones = [one for one, *more in pipelines if isinstance(one, Simple) and not more]
    alone = len(plain_ones) == len(pipelines) == len(block)
    return tuple(plain_ones) if alone and not any(one.heredocs for one in plain_ones) else ()


def _arithmetic(part: Arithmetic, state: ShellState) -> Piece:
    expression = expand(part.expression, state)
    value = None
    if is_known(expression):
        value = arithmetic.evaluate(plain(expression), lambda name: integer_of(state, name))
    if value is not None:
        return Piece(str(value), part.origin, part.quoted)
    names = unset_in(expression)
    if names:
        return Piece("", part.origin, part.quoted, unset=names[0])
    doubt = doubt_of(expression) or f"$(({plain(expression).strip()[:40]})) is not known here"
    return Piece("", part.origin, part.quoted, doubt=doubt)


def integer_of(state: ShellState, name: str) -> int | None:
    """The value of a variable in arithmetic; None where it is not a known number."""
    value = state.value(name)
    if value is None or isinstance(value, dict) or not is_known(value):
        return None
    text = plain(value).strip()
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else None


def _parameter(part: Parameter, state: ShellState) -> list[Text]:
    name, operator = part.name, part.operator
    if name in ("@", "*") or part.index in ("@", "*"):
        return _list(part, state)
    if not name.isdigit() and not name.isidentifier():
        return [_special(part, state)]
    value = _scalar(part, state)
    if operator == "indirect":
        return [_indirect(part, value, state)]
    if operator in _DEFAULTS:
        return _with_default(part, value, state)
    if value is None:
        return [(Piece("", part.origin, unset=name),)]
    if not operator or not is_known(value):
        return [value]
    return [_transformed(part, value, state)]


def _special(part: Parameter, state: ShellState) -> Text:
    if part.name == "#":
        if not state.arguments:
            state.looked_up["#"] = None
        return (Piece(str(len(state.arguments)), part.origin),)
    return (Piece("", part.origin, doubt=f"${part.name} is known only when the script runs"),)


def _scalar(part: Parameter, state: ShellState) -> Text | None:
    value = state.value(part.name)
    if isinstance(value, dict):
        return element(part, value, key_of(part.index or "0", state))
    return value if not part.index or part.index == "0" else None


def key_of(index: str, state: ShellState) -> str:
    """The key that an index of an array means: names in it replaced by their values."""

    def value_of(match: re.Match[str]) -> str:
        value = state.value(match[1])
        return plain(value) if isinstance(value, tuple) else match[0]

    plain_index = _INDEX_ARITHMETIC.sub(r"(\1)", index.strip("'\""))
    key = _INDEX_NAME.sub(value_of, plain_index)
    number = arithmetic.evaluate(key, lambda name: integer_of(state, name))
    return key if number is None else str(number)


def _list(part: Parameter, state: ShellState) -> list[Text]:
    """All elements of an array, or all arguments."""
    elements: list[Text]
    if part.name in ("@", "*"):
        elements = list(state.arguments)
    else:
        value = state.value(part.name)
        elements = list(value.values()) if isinstance(value, dict) else [value] if value else []
    if part.operator == "length":
        return [(count(part, elements),)]
    if part.operator in (":-", "-") and not elements:
        return [expand(part.argument, state)]
    if part.operator == ":" and all(is_known(element) for element in elements):
        numbered = part.name in ("@", "*")
        start, stop = _slice(part, state, len(elements) + numbered)
        return elements[max(0, start - numbered) : max(0, stop - numbered)]
    if part.operator:
        doubt = f"${{{part.name}[@]…}} is not followed here"
        return [(Piece("", part.origin, doubt=doubt),)]
    if not elements:
        return []
    star = part.index == "*" or part.name == "*"
    if star and part.quoted:
        between = state.variables.get("IFS")
        sign = plain(between)[:1] if isinstance(between, tuple) else " "
        joined: list[Piece] = []
        for element in elements:
            joined += [Piece(sign, part.origin), *element] if joined else element
        return [tuple(joined)]
    return elements


def _with_default(part: Parameter, value: Text | None, state: ShellState) -> list[Text]:
    """${NAME:-word} and its relatives. A name that the file never sets counts as not set."""
    if value is None or unset_in(value):
        state.looked_up[unset_in(value)[0] if value else part.name] = None
    empty = value is None or bool(unset_in(value))
    if value is not None and part.operator.startswith(":"):
        if doubt_of(value) and not plain(value):
            return [requoted(value, quoted=part.quoted)]
        empty = empty or not plain(value)
    action = part.operator[-1]
    if action == "+":
        return [] if empty else [_argument(part, state)]
    if not empty and value is not None:
        return [requoted(value, quoted=part.quoted)]
    if action == "?":
        return [(Piece("", part.origin, part.quoted, unset=part.name),)]
    default = _argument(part, state)
    if action == "=":
        state.variables[part.name] = default
    return [default or (Piece("", part.origin, part.quoted),)]


def _argument(part: Parameter, state: ShellState) -> Text:
    """The word after :- and similar operators; quotes inside keep their parts whole."""
    pieces: list[Piece] = []
    for inner in part.argument.parts:
        if isinstance(inner, Literal):
            whole = part.quoted or inner.quoted
            pieces.append(Piece(inner.text, inner.origin, quoted=whole))
            continue
        for number, field in enumerate(texts_of(inner, state)):
            if number:
                pieces.append(Piece(" ", part.origin, quoted=part.quoted))
            pieces += requoted(field, quoted=True) if part.quoted else field
    return tuple(pieces)


def _indirect(part: Parameter, value: Text | None, state: ShellState) -> Text:
    found = state.value(plain(value)) if value is not None and is_known(value) else None
    if isinstance(found, tuple):
        return found
    return (Piece("", part.origin, doubt=f"${{!{part.name}}} is not known here"),)


def _transformed(part: Parameter, value: Text, state: ShellState) -> Text:
    """${#NAME}, ${NAME%pattern}, ${NAME/a/b}, ${NAME:1:2} and ${NAME^^}, for a known value."""
    text, operator = plain(value), part.operator
    if operator == "length":
        return (Piece(str(len(text)), part.origin),)
    if operator == ":":
        start, stop = _slice(part, state, len(text))
        return cut(value, start, stop)
    if operator == "@":
        return value
    if operator in CASES:
        return changed_case(value, operator, part.origin)
    argument = expand(part.argument, state)
    if not is_known(argument) or len(text) > LONGEST_MATCHED:
        return (Piece("", part.origin, doubt=f"${{{part.name}{operator}…}} is not followed here"),)
    if operator in ("/", "//"):
        return replaced(value, plain(argument), operator, part.origin)
    return trimmed(value, plain(argument), operator)


def _slice(part: Parameter, state: ShellState, length: int) -> tuple[int, int]:
    """Start and end of ${NAME:start:length}; the whole value where they are not numbers."""
    argument = plain(expand(part.argument, state))
    start_text, _, length_text = argument.partition(":")
    start = arithmetic.evaluate(start_text, lambda name: integer_of(state, name))
    wanted = arithmetic.evaluate(length_text, lambda name: integer_of(state, name))
    first = 0 if start is None else start + length if start < 0 else start
    last = length if wanted is None else first + wanted if wanted >= 0 else length + wanted
    return max(0, min(first, length)), max(0, min(last, length))
