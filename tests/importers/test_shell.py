"""The shell reader against bash itself, what it carries along as unknown, and where words stand."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from planner.errors import InputError
from planner.importers.shell.ran import Followed
from planner.importers.shell.run import follow
from planner.importers.shell.text import (
    Script,
    doubt_of,
    is_known,
    plain,
    script_of_file,
    unset_in,
)

SHOW = "show() { local IFS=$'\\x1f'; printf '%s\\n' \"$*\"; }\n"


def followed(
    text: str, given: dict[str, str] | None = None, folder: Path | None = None
) -> Followed:
    def read(name: str) -> Script | None:
        path = (folder or Path("/nowhere")) / name
        return script_of_file(path.read_text(), str(path)) if path.is_file() else None

    return follow(
        script_of_file(text, "run.sh"),
        given=given or {},
        is_nested_script=lambda nested: "show" in nested,
        read_file=read,
    )


def shown(text: str, given: dict[str, str] | None = None) -> list[list[str]]:
    """The words of every `show` command, in order."""
    return words_shown(followed(text, given))


def words_shown(ran: Followed) -> list[list[str]]:
    """Without the words that the shell would drop because nothing is in them."""
    return [
        [plain(word) for word in one.words[1:] if plain(word) or is_known(word)]
        for one in ran.commands
        if one.words and plain(one.words[0]) == "show"
    ]


def by_bash(text: str) -> list[list[str]]:
    result = subprocess.run(
        ["bash", "--norc", "-c", SHOW + text],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    lines = result.stdout.split("\n")[:-1]
    return [line.split("\x1f") if line else [] for line in lines]


SCRIPTS = {
    "words": "show a  b\\ c 'd e' \"f g\" h'i'\"j\" k\\\n  l; show \"\" ''",
    "comments": "show a # b\n# show c\nshow d#e",
    "quotes": 'X=\'a  b\'; show $X "$X" \'$X\' "\\$X" "\\"q\\"" $\'a\\tb\'',
    "continued": "show --num-layers 96 \\\n  --hidden-size 12288 \\\n\n",
    "defaults": 'A=1; show ${A:-2} ${B:-2} ${B-3} ${C:=4} $C ${A:+5} ${B:+6} "${B-}" ${A+x}',
    "default words": 'show ${X:-a b} "${X:-a b}" ${X:-"c d"} ${Y:-${Z:-deep}}',
    "arithmetic": "A=8; B=3; show $((A*B)) $(($A/$B)) $((A%B+2**4)) $(( (A>B)?1:0 ))",
    "numbers": "show $((-7/2)) $((0x10)) $((010)) $((1<<4)) $((7&3)) $((!0)) $((~1))",
    "arrays": 'A=(1 "2 3" 4); A+=(5); show ${A[@]}; show "${A[@]}"; show ${#A[@]} ${A[1]} ${A[-0]}',
    "array in text": 'A=(x y); show "pre${A[@]}post" "${A[*]}"',
    "array of flags": 'A=(\n  --a 1 # one\n  # --b 2\n  "--c 3"\n)\nshow ${A[@]}',
    "empty array": 'A=(); show ${A[@]} end; show "${A[@]}" end',
    "keyed array": "declare -A S=([8B]=4096 [70B]=8192); K=70B; show ${S[$K]} ${S[8B]}",
    "array slice": "A=(a b c d); show ${A[@]:1:2}",
    "append": 'X=a; X+=b; X="$X c"; show $X',
    "substring": "X=llama3-8b; show ${X:0:6} ${X#*-} ${X%-*} ${X##*a} ${X%%a*}",
    "replace": "X=llama3-8b; show ${X/8b/70b} ${X//l/L} ${#X} ${X^^}",
    "if": "X=8; if [ $X -eq 7 ]; then show a; elif [[ $X == 8 ]]; then show b; else show c; fi",
    "and": 'X=8; if [[ $X == 8 && -n "$X" ]]; then show a; fi; [ $X -eq 8 -a 1 -eq 2 ] || show b',
    "tests": 'X=; [ -z "$X" ] && show empty; [ -n "$X" ] || show none; [ a != b ] && show differ',
    "not": "if ! [ 1 -gt 2 ]; then show a; fi; if [[ ! a == b ]]; then show b; fi",
    "or": "[ 1 -eq 2 -o 2 -eq 2 ] && show a; if [[ 1 -eq 2 || ( 2 -eq 2 ) ]]; then show b; fi",
    "patterns": 'X=llama3_70b; [[ $X == llama3* ]] && show a; [[ $X == "llama3*" ]] || show b',
    "expression": "X=70B; [[ $X =~ ^[0-9]+B$ ]] && show a; [[ $X =~ ^b ]] || show b",
    "case": "case 70B in 7B|8B) show small;; 7*) show big;; *) show other;; esac",
    "case that falls through": "case a in a) show a;& b) show b;; c) show c;; esac",
    "case that goes on": "case ab in a*) show a;;& x) show x;; *b) show b;; *) show c;; esac",
    "tee of the output": "exec > >(cat); show a 2> >(cat >&2); show b",
    "words of a substitution": 'X="$(echo ")")"; case a in a) show b;; esac; show c',
    "comments in substitutions": "X=$(true # it's )\n); show a",
    "heredoc in a substitution": "X=$(cat <<EOF\n) \" '\nEOF\n); show a",
    "commands in double parentheses": "((show a); show b) | cat",
    "old arithmetic": "A=(4 5); show $[1 + 2*3] ${A[$((0+1))]}",
    "test with redirection": "[[ -n a ]] 2> /dev/null && show a; (( 1 )) > /dev/null && show b",
    "brace after a loop": "for x in a b; { show $x; }",
    "case default": "case x in a) show a;; *) show b;; esac",
    "for": "for S in a 'b c' d; do show \"$S\"; done",
    "for array": 'A=(1 2); for x in "${A[@]}"; do show $x; done',
    "function": "run() { show \"$@\" $1 $#; local X=2; }; run a 'b c'; show done",
    "return": "f() { show in; return; show never; }; f; show after",
    "exit": "show a; exit 0; show b",
    "eval": 'CMD="show a \'b c\'"; eval $CMD; eval "$CMD d"',
    "group": "{ X=1; show $X; }; (X=2; show $X); show $X",
    "semicolons": "A=1; B=2; show $A$B; show ${A}_${B}",
    "export": 'export A=1 B="2 3"; show $A "$B"; readonly C=4; show $C',
    "unset": "A=1; unset A; show ${A:-gone}",
    "heredoc text": "cat <<EOF > /dev/null\nno $((1+1))\nEOF\nshow yes",
    "shift": "set -- ; f() { shift; show $1; }; f a b",
    "tilde free": "show a=b --x=y --z='p q'",
    "glob free": "cd /nonexistent 2>/dev/null || true; set -f; show [0]*3+[1]*58",
    "double bracket words": "A='x y'; [[ $A == 'x y' ]] && show a",
    "nested default": 'show ${A:-$((2*3))} ${B:-"${C:-c}"}',
    "arithmetic command": "X=3; if (( X > 2 )); then show a; fi; (( X < 2 )) || show b",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_as_bash_does(name: str) -> None:
    assert shown(SCRIPTS[name]) == by_bash(SCRIPTS[name])


def test_script_handed_to_a_shell() -> None:
    text = "export X='a b'\nsrun -N 4 bash -c \"cd /x; show $X 1\"\nbash -lc 'show $X'\n"
    assert shown(text) == [["a", "b", "1"], ["a", "b"]]
    nested = followed(text).commands[1]
    assert [plain(word) for word in nested.around[-1]][:3] == ["srun", "-N", "4"]


def test_script_in_a_heredoc() -> None:
    text = 'N=2\nsbatch <<EOF\n#SBATCH --nodes=$N\nsrun bash -c "show $N \\${SLURM_JOB_ID}"\nEOF\n'
    assert shown(text) == [["2"]]
    quoted = text.replace("<<EOF", "<<'EOF'").replace("\\$", "$")
    assert shown(quoted) == [[]]
    assert shown("export " + quoted) == [["2"]]


def test_places_of_words_through_variables_and_nested_scripts() -> None:
    text = 'ARGS=(\n  --a 1\n)\nCMD="show ${ARGS[@]} \\\n   --b 2"\nbash -c "$CMD"\n'
    words = followed(text).commands[-1].words
    places = {plain(word): (word[0].origin.line, word[0].origin.column) for word in words}
    assert places == {"show": (4, 6), "--a": (2, 3), "1": (2, 7), "--b": (5, 4), "2": (5, 8)}


def test_what_the_environment_decides_is_named() -> None:
    ran = followed("N=$NODES\nshow --nodes $N --tp ${TP:-8} ${X:-}\n")
    word = ran.commands[0].words[2]
    assert (plain(word), unset_in(word)) == ("", ("NODES",))
    assert ran.environment == ("TP", "X")
    assert shown("show $NODES", {"NODES": "4"}) == [["4"]]


def test_what_a_program_prints_is_unknown() -> None:
    word = followed("N=`nproc`; show $((N*2)) x$N").commands[0].words[1]
    assert plain(word) == ""
    assert "nproc" in doubt_of(followed("N=$(nproc)\nshow $N").commands[0].words[1])


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("mapfile -t HOSTS < <(scontrol show hostnames)\nshow ${#HOSTS[@]} ${HOSTS[0]}", 2),
        ("HOSTS=($(scontrol show hostnames))\nshow ${#HOSTS[@]} ${HOSTS[0]} ${HOSTS[3]}", 3),
        ("HOSTS=(a $(b) c)\nshow ${HOSTS[2]} ${#HOSTS[*]} ${HOSTS[-2]}", 3),
        ("A=(a b); B=($(c)); show ${A[${B[0]}]} ${A[$(c)]}", 2),
        ("show <(sort a) --file=<(sort b)", 2),
        ("X=`basename \\`pwd\\``; show $X", 1),
        ("show ${ pwd; }", 1),
        ("read -r N < <(nproc); show $N $((N * 2))", 2),
    ],
)
def test_what_only_the_run_knows(text: str, unknown: int) -> None:
    """Neither the number of elements nor one behind an unknown number of others is guessed."""
    (ran,) = [one for one in followed(text).commands if plain(one.words[0]) == "show"]
    assert [plain(word) for word in ran.words[1:]] in ([""] * unknown, ["", "--file="])
    assert all(doubt_of(word) for word in ran.words[1:])


def test_elements_in_quotes_are_counted() -> None:
    assert shown('A=("$(b)" c "$(d)")\nshow ${#A[@]} ${A[1]}') == [["3", "c"]]
    assert shown("A=(a $(b) c)\nshow ${A[0]} ${A[-1]}") == [["a", "c"]]


def test_arithmetic_on_what_is_not_set_is_not_zero() -> None:
    word = followed("show $((GPUS * 2))").commands[0].words[1]
    assert plain(word) == ""
    assert doubt_of(word) or unset_in(word)


@pytest.mark.parametrize(
    "text",
    [
        'A=(a "$U"); show "${A[@]}"',
        "A=(a $U b); show ${A[@]}",
        'set -- a "$U"; show "$@"',
        'A=(a); A+=("$(host)"); show "${A[@]}"',
    ],
)
def test_an_unknown_element_of_a_list_is_a_word_of_its_own(text: str) -> None:
    (command,) = (one for one in followed(text).commands if plain(one.words[0]) == "show")
    assert [plain(word) for word in command.words[1:]][:2] == ["a", ""]
    assert unset_in(command.words[2]) or doubt_of(command.words[2])


def test_undecided_condition_keeps_what_both_branches_share() -> None:
    text = "A=(--a 1)\nif [ -f x ]; then\n  A+=(--b 2)\nfi\nshow ${A[@]}\n"
    words = followed(text).commands[-1].words
    assert [plain(word) for word in words] == ["show", "--a", "1", ""]
    assert "condition on line 2" in doubt_of(words[-1])
    assert words[-1][0].maybe == "--b 2"


def test_undecided_condition_that_ends_the_script_goes_on() -> None:
    text = "X=1\nif [ ! -f run.py ]; then\n  X=2\n  exit 1\nfi\nshow $X\n"
    assert shown(text) == [["1"]]
    assert followed(text).commands[-1].condition == ""


def test_commands_in_undecided_branches_are_marked() -> None:
    ran = followed("if nvidia-smi; then show a; else show b; fi").commands
    assert [bool(one.condition) for one in ran if plain(one.words[0]) == "show"] == [True, True]


def test_sourced_files(tmp_path: Path) -> None:
    (tmp_path / "env.sh").write_text("X=5\n")
    assert shown_in(tmp_path, ". env.sh\nshow $X\n") == [["5"]]
    assert followed("source missing.sh\n").unread == ("missing.sh (sourced on line 1)",)


def shown_in(folder: Path, text: str) -> list[list[str]]:
    return words_shown(followed(text, folder=folder))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("show 'a", r"run.sh:1:6: shell: a quote ' that is not closed"),
        ('x\nshow "a', r'run.sh:2:6: shell: a quote " that is not closed'),
        ("show ${A", r"run.sh:1:6: shell: \$\{ that is not closed by \}"),
        ("show $((1+", r"run.sh:1:8: shell: \( without \)"),
        ("if true; then show", r"run.sh:1:1: shell: if without fi"),
        ("A=(1 2", r"run.sh:1:3: shell: an array \( that is not closed"),
        ("show a )", r"run.sh:1:8: shell: '\)' where a command should start"),
        ("for x in a; show", r"run.sh:1:1: shell: a loop without do"),
        ("case x in a", r"run.sh:1:1: shell: a case whose pattern"),
        ("a && ", r"a command is missing before the end"),
        ("${" * 300, r"nested more than 40 deep|without a variable"),
        ("f() { f; }; f", r"calls functions more than 30 deep"),
        ("X=xxxxxxxxxxxxxxxx\n" + "X=$X$X\n" * 30 + "show $X", r"a value of more than 1 MiB"),
        (
            "for a in " + "x " * 200 + "; do for b in " + "y " * 200 + "; do show; done; done",
            "more",
        ),
    ],
)
def test_refusals_have_a_place(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        followed(text)
