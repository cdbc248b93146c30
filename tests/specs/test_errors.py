from __future__ import annotations

from planner.errors import InputError, NothingFits, PlannerError, RuleError


def test_input_error_names_file_line_and_column() -> None:
    error = InputError("x is wrong", path="a.yaml", line=3, column=7, hint="did you mean y?")

    assert str(error) == "a.yaml:3:7: x is wrong; did you mean y?"
    assert (error.path, error.line, error.column) == ("a.yaml", 3, 7)


def test_input_error_without_a_place_is_the_message() -> None:
    assert str(InputError("no such option")) == "no such option"
    assert str(InputError("is a folder", path="a")) == "a: is a folder"


def test_several_problems_make_one_error_with_a_line_each() -> None:
    problems = [InputError(f"problem {i}", path="a.yaml", line=i, column=1) for i in range(1, 4)]

    error = InputError.of(problems)

    assert str(error) == "a.yaml:1:1: problem 1\na.yaml:2:1: problem 2\na.yaml:3:1: problem 3"
    assert error.line == 1
    assert error.problems == tuple(problems)


def test_many_problems_are_cut_and_counted() -> None:
    problems = [InputError(f"problem {i}", path="a.yaml", line=i, column=1) for i in range(1, 8)]

    lines = str(InputError.of(problems)).splitlines()

    assert len(lines) == 6
    assert lines[-1] == "a.yaml: and 2 more problems"
    assert str(InputError.of(problems[:6])).endswith("a.yaml: and 1 more problem")


def test_one_problem_is_itself() -> None:
    problem = InputError("x")

    assert InputError.of([problem]) is problem


def test_rule_error_names_its_rule() -> None:
    error = RuleError("heads", "tensor 3 does not divide 8 heads", hint="use 1, 2, 4 or 8")

    assert str(error) == "heads: tensor 3 does not divide 8 heads; use 1, 2, 4 or 8"
    assert error.rule == "heads"


def test_exit_codes() -> None:
    assert InputError("x").exit_code == 2
    assert RuleError("x", "y").exit_code == 2
    assert NothingFits("x").exit_code == 1
    assert issubclass(NothingFits, PlannerError)
