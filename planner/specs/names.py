"""What hosts, clusters, models and the like may be called: one rule wherever a name comes in.

Names travel far, into launch scripts, rank files, YAML, CSV and logs, so that they hold no
character that means something there. Host names are those of RFC 952 and RFC 1123 (letters, digits,
dashes, dots between labels) and the underscores that Slurm clusters have.
"""

from __future__ import annotations

import re

LONGEST_HOST = 253
"""Characters of a fully qualified name (RFC 1035, section 2.3.4, without the length octets)."""
LONGEST_NAME = 200

HOST_PATTERN = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_HOST - 1}}}"
NAME_PATTERN = rf"[A-Za-z0-9][A-Za-z0-9._+-]{{0,{LONGEST_NAME - 1}}}"
NAME_RULE = (
    f"a name is 1 to {LONGEST_NAME} letters, digits and . - _ +, and begins with a letter or digit"
)

_HOST = re.compile(HOST_PATTERN)
_NAME = re.compile(NAME_PATTERN)
_HOST_RULE = (
    f"a host name is 1 to {LONGEST_HOST} letters, digits and . - _, and begins with a letter or "
    "digit"
)
_WITH_PORT = re.compile(rf"({HOST_PATTERN}):[0-9]+")
_NOT_IN_HOSTS = re.compile(r"[^A-Za-z0-9._-]+")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._+-]+")
_LONGEST_SHOWN = 60


def check_host(text: str) -> str:
    """The text, if it is a host name. Raises: ValueError that says what is allowed."""
    if _HOST.fullmatch(text) is not None:
        return text
    port = _WITH_PORT.fullmatch(text)
    nearest = f"; write {port[1]}, without the port" if port else ""
    raise ValueError(f"{_shown(text)} is not a host name: {_HOST_RULE}{nearest}")


def is_host(text: str) -> bool:
    """Whether a text is a host name."""
    try:
        check_host(text)
    except ValueError:
        return False
    return True


def check_name(text: str) -> str:
    """The text, if clusters, models, profiles and the like may be called so.

    Raises: ValueError that says what is allowed."""
    if _NAME.fullmatch(text) is not None:
        return text
    near = as_name(text, otherwise="")
    hint = f"; {near} would do" if near else ""
    raise ValueError(f"{_shown(text)} cannot be a name: {NAME_RULE}{hint}")


def as_host(text: str) -> str:
    """The nearest host name: what none may have becomes a dash."""
    return _NOT_IN_HOSTS.sub("-", text).strip("-._")[:LONGEST_NAME] or "host"


def as_name(text: str, *, otherwise: str) -> str:
    """The nearest name: what none may have becomes a dash. `otherwise` where nothing is left."""
    return _NOT_IN_NAMES.sub("-", text).strip("-._+")[:LONGEST_NAME] or otherwise


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")
