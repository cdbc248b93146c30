"""What bash accepts, the shell reader accepts: scripts grown from the constructs that launch
scripts are made of. What a construct prints may be unknown here; that it is shell is not."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planner.importers.shell.run import follow
from planner.importers.shell.text import plain, script_of_file
from tests.every_instance import instances

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")

LAST = "torchrun pretrain_gpt.py --num-layers 2\n"
DEEPEST = 2


class Code(NamedTuple):
    """Shell text, and the bodies of <<END that stand after its line."""

    text: str
    bodies: str = ""

    @property
    def line(self) -> str:
        return f"{self.text}\n{self.bodies}"


def pick(*options: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(options)


NAMES = pick("A", "NODES", "GPUS_PER_NODE", "ARGS", "_x1")
PLAIN = pick(
    "a", "--num-layers", "8", "x=1", "/data/$USER", "a#b", "{a,b}", "{1..3}", "*.py", "[a-z]?", "~",
    "%d", "@", ":", "-", "+x", "a\\ b", "\\$X", "\\\\", "\\`", "é", "=", "!", "{}", "}", "a]b", "2",
    "\\\n", "a\\\nb", "^", "fi", "done", "in", "do", "then", "esac", "time", "function",
)  # fmt: skip
QUOTED = pick(
    "a b", "'", "#", ")", "(", "$", "\\\"", "\\$", "\\\\", "\\`", "`", "\n", "${", "&&", ";",
    "<<", "%",
)  # fmt: skip
EXPANDED = pick(
    "$A", "${A}", "$1", "$@", "$#", "$?", "$$", "$!", "$-", "$*", "${#A}", "${A[@]}", "${A[*]:1:2}",
    "${A[0]}", "${A[$i]}", "${A[${B[0]}]}", "${#A[@]}", "${!A}", "${!A[@]}", "${!A@}", "${A:-}",
    "${A:-b c}", "${A:-'q }'}", '${A:-"q }"}', "${A:-${B:-c}}", "${A:=x}", "${A:?no A}", "${A:+x}",
    "${A%%.*}", "${A##*/}", "${A/a/b}", "${A//[ab]/}", "${A/#a/b}", "${A^^}", "${A,,}",
    "${A:0:3}",
    "${A: -1}", "${A@Q}", "${10}", "${@:2}", "${*}", "${!}", "${?}", "${A:$((1+2))}", "${A:-$(b)}",
    "${A:-`b`}", "${A//\\//_}", "${A%\\}}", "$[1 + 2]", "$[ (1+2)*3 ]", "$[A[0]]", "$", "$%",
    "${#}",
    "${A-b\nc}", "${A/(/)}", "${A#\\#}",
)  # fmt: skip
ARITHMETIC = pick(
    "1", "A + 1", "$A * (B - 1)", "(A > B) ? 1 : 0", "A[0] + ${#B}", "i++", "A << 2", "16#ff",
    "$(nproc) / 2", "((A))", "x = 3, y", "${A:-1} % 2", " 1 +\n 2 ", "!A && B || ~C",
)  # fmt: skip


@st.composite
def words(draw: st.DrawFn, depth: int = 0, *, inside: bool = False) -> str:
    """A word of a command: parts side by side. Inside a substitution, without one of <( )."""
    parts = [draw(part(depth)) for _ in range(draw(pick(1, 1, 2)))]
    return "".join(parts)


def part(depth: int) -> st.SearchStrategy[str]:
    found = [
        PLAIN,
        EXPANDED,
        st.lists(QUOTED.filter(lambda q: "'" not in q), max_size=2).map(
            lambda q: f"'{''.join(q)}'"
        ),
        pick("$'a\\'b\\n\\x41'", '$"a"', '""', "''"),
        double_quoted(depth),
        ARITHMETIC.map(lambda text: f"$(({text}))"),
    ]
    if depth < DEEPEST:
        found += [substitution(depth + 1), backquoted(depth + 1)]
    return st.one_of(found)


@st.composite
def double_quoted(draw: st.DrawFn, depth: int) -> str:
    inner = [QUOTED.filter(lambda q: q not in ("`", "${", "$")), EXPANDED, pick("a b", "it's", "(")]
    inner.append(ARITHMETIC.map(lambda text: f"$(({text}))"))
    if depth < DEEPEST:
        inner += [substitution(depth + 1), backquoted(depth + 1)]
    return '"' + "".join(draw(st.lists(st.one_of(inner), max_size=3))) + '"'


@st.composite
def substitution(draw: st.DrawFn, depth: int) -> str:
    lead = draw(pick("$(", "$(", "$( ", "$(\n"))
    body = draw(st.one_of(block(depth), pick("<file", "< $A", "# note )\nls\n", "ls")))
    if draw(st.booleans()) and body.count("\n") == 1 and "#" not in body:
        body = body.removesuffix("\n")
    if lead == "$(" and body.startswith("("):
        lead = "$( "
    return f"{lead}{body})"


@st.composite
def backquoted(draw: st.DrawFn, depth: int) -> str:
    body = draw(
        pick("hostname", "echo \\$A", "basename \\`pwd\\`", "a | b", "echo 'x'", "date +%s")
    )
    return f"`{body}`"


@st.composite
def process(draw: st.DrawFn, depth: int) -> str:
    """<( ) and >( ), a word of its own or the end of one."""
    body = draw(block(depth + 1))
    lead: str = draw(pick("<", ">", "--file=<"))
    return f"{lead}({body})"


@st.composite
def redirection(draw: st.DrawFn, depth: int) -> Code:
    target = draw(words(depth))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return Code(draw(pick("2>&1", ">&2", "<&-", "2>&-", "3<>f", "&>log", "&>>log", "{fd}>f")))
    if kind == 1:
        return Code(draw(pick("> ", ">", ">> ", "2>", ">| ", "< ", "&> ")) + target)
    if kind == 2:
        return Code(draw(pick("<<< ", "<<<")) + target)
    if kind == 3 and depth < DEEPEST:
        return Code(draw(pick("< ", "> ", "2> ")) + draw(process(depth)).removeprefix("--file="))
    if kind >= 4:
        return draw(heredoc(depth))
    return Code("> /dev/null")


@st.composite
def heredoc(draw: st.DrawFn, depth: int) -> Code:
    end = draw(pick("EOF", "END_1", "HOSTS"))
    written = draw(pick(end, f"'{end}'", f'"{end}"', f"\\{end}"))
    operator = draw(pick("<<", "<< ", "<<-"))
    lines = draw(
        st.lists(
            pick("text", "$A ${B:-1}", "it's", '"', "$(hostname)", "`pwd`", "$(", "${", "`", "# x",
                 "",
                 "\\$A", "a \\", "EOF2", ") ; fi", "torchrun x.py"),
            max_size=3,
        )
    )  # fmt: skip
    if written == end:
        lines = [line for line in lines if not line.endswith("\\")]
    indent = "\t" if operator == "<<-" and draw(st.booleans()) else ""
    body = "".join(f"{line}\n" for line in lines) + f"{indent}{end}\n"
    return Code(operator + written, body)


@st.composite
def simple(draw: st.DrawFn, depth: int) -> Code:
    found: list[Code] = []
    for _ in range(draw(pick(0, 0, 1))):
        found.append(draw(assignment(depth)))
    if not found or draw(st.booleans()):
        found = [code for code in found if "(" not in code.text[:3]]
        found = [code for code in found if not re_array(code.text)]
        name = draw(pick("echo", "srun", "torchrun", "export", "set -e", "exec", "eval", "[", "cd"))
        found.append(Code(f"{name} x ]" if name == "[" else name))
        found += [Code(draw(words(depth))) for _ in range(draw(pick(0, 1, 1, 2)))]
        if depth < DEEPEST and draw(st.integers(0, 4)) == 0:
            found.append(Code(draw(process(depth))))
        found += [draw(redirection(depth)) for _ in range(draw(st.integers(0, 1)))]
    blank = draw(pick(" ", "  ", "\t", " \\\n  "))
    return Code(blank.join(code.text for code in found), "".join(code.bodies for code in found))


def re_array(text: str) -> bool:
    return "=(" in text or "=\\\n(" in text


@st.composite
def assignment(draw: st.DrawFn, depth: int) -> Code:
    name = draw(NAMES) + draw(pick("", "", "", "[0]", "[a b]", "[$i]")) + draw(pick("=", "=", "+="))
    if "[" not in name and draw(st.booleans()):
        between = draw(pick(" ", "\n", " # note (\n  ", " \\\n "))
        inner = [draw(words(depth)) for _ in range(draw(pick(0, 1, 2)))]
        inner = [draw(pick("", "[1]=", "[x]=")) + word for word in inner]
        return Code(f"{name}({between.join(['', *inner, ''])})")
    return Code(name + draw(st.one_of(words(depth), pick(""))))


@st.composite
def test_brackets(draw: st.DrawFn, depth: int) -> Code:
    word, other = draw(words(depth)), draw(words(depth))
    test = draw(
        pick(
            f"[[ -n {word} ]]", f"[[ {word} == {other} ]]", f"[[ ! -f {word} && ( -z {other} ) ]]",
            "[[ $A =~ ^([0-9]+)[[:space:]]*(x|y)$ ]]", f"[[ {word} < {other} ||\n -d / ]]",
            "[[ $A == *(x|y) ]]", "[[ $A != \"a b\"* ]]", f"(( {draw(ARITHMETIC)} ))",
            f"[ {word} = {other} ]", f"[ -z {word} -o 1 -lt 2 ]", f"test {word}", "((A))",
        )
    )  # fmt: skip
    redirected = draw(redirection(depth)) if draw(st.integers(0, 3)) == 0 else Code("")
    return Code(f"{test} {redirected.text}".rstrip(), redirected.bodies)


test_brackets.__test__ = False  # type: ignore[attr-defined]


@st.composite
def command(draw: st.DrawFn, depth: int) -> Code:
    if depth >= DEEPEST:
        return draw(simple(depth))
    kind = draw(pick("simple", "simple", "simple", "test", "if", "for", "while", "case", "group",
                     "function", "declare"))  # fmt: skip
    if kind == "simple":
        return draw(simple(depth))
    if kind == "test":
        return draw(test_brackets(depth))
    if kind == "declare":
        value = draw(assignment(depth))
        return Code(draw(pick("export ", "declare -a ", "local ", "readonly ")) + value.text)
    text = draw({"if": if_, "for": for_, "while": while_, "case": case, "group": group,
                 "function": function}[kind](depth + 1))  # fmt: skip
    redirected = draw(redirection(depth)) if draw(st.integers(0, 3)) == 0 else Code("")
    if kind == "function":
        redirected = Code("")
    return Code(f"{text} {redirected.text}".rstrip(" "), redirected.bodies)


@st.composite
def pipeline(draw: st.DrawFn, depth: int) -> Code:
    found = [draw(command(depth))]
    text = draw(pick("", "", "", "! ", "time ")) + found[0].text
    bodies = found[0].bodies
    for _ in range(0 if bodies else draw(pick(0, 0, 0, 1))):
        joint = draw(pick(" | ", " && ", " || ", "|", " |& "))
        after = draw(pick("", "\n", "  # note\n"))
        following = draw(command(depth))
        text += joint + after + following.text
        bodies += following.bodies
    return Code(text, bodies)


@st.composite
def block(draw: st.DrawFn, depth: int) -> str:
    """Commands, each ended by the end of its line."""
    text: str = draw(pick("", "", "# note: it's (\n", "\n"))
    for _ in range(draw(pick(1, 1, 2))):
        one = draw(pipeline(min(depth, DEEPEST)))
        ending = draw(pick("", "", ";", " &", " ; :", "  # note `"))
        text += Code(one.text + ending, one.bodies).line
    return text


@st.composite
def if_(draw: st.DrawFn, depth: int) -> str:
    text = f"if {draw(block(depth))}then {draw(block(depth))}"
    if draw(st.booleans()):
        text += f"elif {draw(block(depth))}then\n{draw(block(depth))}"
    if draw(st.booleans()):
        text += f"else\n{draw(block(depth))}"
    return text + "fi"


@st.composite
def for_(draw: st.DrawFn, depth: int) -> str:
    listed = " ".join(draw(st.lists(words(depth), max_size=3)))
    head = draw(
        pick(f"for i in {listed};", f"for i in {listed}\n", "for i;", "for i\n", "for i in\n",
             "for ((i=0; i<A; i++));", "for (( ; ; ))\n", f"select i in {listed};")
    )  # fmt: skip
    if draw(st.integers(0, 5)) == 0 and not head.startswith("select"):
        return f"{head} {{ {draw(block(depth))}}}"
    return f"{head} do {draw(block(depth))}done"


@st.composite
def while_(draw: st.DrawFn, depth: int) -> str:
    return f"{draw(pick('while', 'until'))} {draw(block(depth))}do\n{draw(block(depth))}done"


@st.composite
def case(draw: st.DrawFn, depth: int) -> str:
    text = f"case {draw(words(depth))} in{draw(pick(' ', chr(10), '  # note' + chr(10)))}"
    for _ in range(draw(st.integers(0, 2))):
        patterns = draw(
            pick("a)", "(a)", "a|b)", '"x y")', "*)", "-h | --help )", "[0-9]*)", "$A)")
        )
        body = draw(st.one_of(block(depth), pick("", "\n")))
        text += f"{patterns} {body}{draw(pick(';;', ';;', ';&', ';;&'))}{draw(pick(chr(10), ' '))}"
    return text + "esac"


@st.composite
def group(draw: st.DrawFn, depth: int) -> str:
    body = draw(block(depth))
    text: str = draw(pick(f"{{ {body}}}", f"{{\n{body}}}", f"( {body})", f"(\n{body})"))
    return text


@st.composite
def function(draw: st.DrawFn, depth: int) -> str:
    head = draw(pick("f()", "f ()", "function f", "function f()", "run-it()", "log::info ( )"))
    return f"{head} {draw(pick('', chr(10)))}{{ {draw(block(depth))}}}"


def bash_accepts(text: str) -> bool:
    checked = subprocess.run(
        ["bash", "-n"], input=text.encode(), capture_output=True, check=False, timeout=60
    )
    return checked.returncode == 0


def read(text: str) -> list[str]:
    """The commands that a script runs as far as they are known. Raises: InputError."""
    followed = follow(
        script_of_file(text, "run.sh"),
        given={},
        is_nested_script=lambda nested: False,
        read_file=lambda name: None,
    )
    return [" ".join(map(plain, ran.words)) for ran in followed.commands]


@settings(
    max_examples=instances(60, 200),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(block(0))
@example("mapfile -t HOSTS < <(scontrol show hostnames $SLURM_JOB_NODELIST)\n")
@example("exec > >(tee -a log) 2>&1\n")
@example("A=`basename \\`pwd\\``\n")
def test_what_bash_accepts_is_read(text: str) -> None:
    if bash_accepts(text + LAST):
        read(text + LAST)
