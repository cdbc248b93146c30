"""Loops, counters and what printf and echo write: the words that bash itself gives."""

from __future__ import annotations

import subprocess

import pytest

from planner.importers.shell.run import follow
from planner.importers.shell.text import is_known, plain, script_of_file

SCRIPTS = {
    "options": (
        "TP=1; PP=1\nwhile [[ $# -gt 0 ]]; do\n  case $1 in\n    --tp) TP=$2; shift 2;;\n"
        "    --pp=*) PP=${1#*=}; shift;;\n    *) shift;;\n  esac\ndone\nshow $TP $PP $#"
    ),
    "until": "i=0\nuntil [ $i -ge 3 ]; do i=$((i + 1)); done\nshow $i",
    "counted": (
        "a=()\nfor ((i = 0; i < 8; i++)); do if ((i < 3)); then a+=(0); else a+=(1); fi; done\n"
        "printf -v F '[%s]' \"$(IFS=', '; echo \"${a[*]}\")\"\nshow $F ${#a[@]} $i"
    ),
    "down": "s=1\nfor ((i = 5; i > 0; i -= 2)); do ((s *= i)); done\nshow $s $i $((s + i))",
    "unset counter": "((n++)); ((n += 4)); ((--n)); show $n",
    "break": "for i in 1 2 3 4; do [ $i = 3 ] && break; L=$i; done\nshow $i $L",
    "continue": "L=; for i in 1 2 3 4; do if [ $i = 2 ]; then continue; fi; L=$L$i; done\nshow $L",
    "nested": (
        "L=; for i in 1 2; do while true; do j=$i; if [ $j = $i ]; then break; fi; done; "
        "L=$L$j; done\nshow $L"
    ),
    "always": "while :; do i=7; break; i=8; done\nshow $i",
    "in a function": "f() { for i in 1 2 3; do if [ $i = 2 ]; then return; fi; done; }\nf\nshow $i",
    "printf": "printf -v N '%s-%d:%s' a 3 'b c'\nshow \"$N\"",
    "echo": "A='x y'; B=$(echo $A z); show \"$B\" $(echo 1 2)",
}


@pytest.mark.parametrize("arguments", [(), ("--tp", "4", "--pp=2", "x")])
@pytest.mark.parametrize("name", SCRIPTS)
def test_as_bash(name: str, arguments: tuple[str, ...]) -> None:
    script = f"show() {{ printf '<%s>' \"$@\"; }}\n{SCRIPTS[name]}\n"
    ran = subprocess.run(
        ["bash", "-c", script, "bash", *arguments], capture_output=True, text=True, check=True
    )
    assert words_of(SCRIPTS[name], arguments) == [ran.stdout]


def words_of(script: str, arguments: tuple[str, ...] = ()) -> list[str]:
    """The words of each call of `show`, or its first doubt."""
    followed = follow(
        script_of_file(script + "\n", "run.sh"),
        given={str(number): text for number, text in enumerate(arguments, 1)},
        is_nested_script=lambda text: False,
        read_file=lambda name: None,
    )
    calls = [one.words[1:] for one in followed.commands if plain(one.words[0]) == "show"]
    return [
        "".join(f"<{plain(word)}>" for word in words)
        if all(is_known(word) for word in words)
        else "unknown"
        for words in calls
    ]


@pytest.mark.parametrize(
    "script",
    [
        "TP=1; while read line; do TP=8; done < file\nshow $TP",
        "TP=1; while [ $JOBS -gt 3 ]; do TP=8; done\nshow $TP",
        "for d in a b; do if [ -d $d ]; then TP=8; break; fi; done\nshow $TP",
        "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done\nshow $i",
        "printf -v N '%5.2f' 3\nshow $N",
        "N=$(echo 3 | bc)\nshow $N",
        "((i = RANDOM)); show $i",
    ],
)
def test_what_only_the_run_decides_stays_unknown(script: str) -> None:
    assert words_of(script) == ["unknown"]


def test_a_loop_that_never_ends_is_followed_once() -> None:
    """A launcher that starts its job again and again."""
    assert words_of("while true; do show 1; sleep 60; done") == ["<1>"]
    assert words_of("i=1; while [ $i = 1 ]; do show $i; done") == ["<1>"]
    assert words_of("for ((;;)); do show 2; done") == ["<2>"]
