"""Checks a commit message: `python tools/commit_message.py FILE`, as the commit-msg hook does.

The first line has 72 characters at most, so that `git log --oneline` and every web view show it
whole, and ends without a full stop; a blank line stands between it and the rest.
"""

from __future__ import annotations

import sys
from pathlib import Path

LONGEST_SUBJECT = 72
SCISSORS = "# ------------------------ >8 ------------------------"
MADE_BY_GIT = ("Merge ", "Revert ", "fixup! ", "squash! ", "amend! ")


def problems(message: str) -> list[str]:
    """What is wrong with a message, in words. Git's own subjects may have any length."""
    lines = [
        line.rstrip()
        for line in message.partition(SCISSORS)[0].splitlines()
        if not line.startswith("#")
    ]
    while lines and not lines[0]:
        del lines[0]
    if not lines:
        return ["the message is empty"]
    subject, *body = lines
    if subject.startswith(MADE_BY_GIT):
        return []
    found = []
    if len(subject) > LONGEST_SUBJECT:
        found.append(f"the subject has {len(subject)} characters; {LONGEST_SUBJECT} at most")
    if subject.endswith("."):
        found.append("the subject ends with a full stop")
    if body and body[0]:
        found.append("the second line is not blank")
    return found


def main(arguments: list[str]) -> int:
    """Exit code 0: the message is fine; 1: it is not."""
    (file,) = arguments
    found = problems(Path(file).read_text(encoding="utf-8"))
    for problem in found:
        print(f"commit message: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
