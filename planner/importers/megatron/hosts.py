"""The hosts that an exported script names in a comment, since no flag can."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from planner.importers.shell.text import Origin
from planner.specs.cluster.hostlist import expand_hosts
from planner.specs.files.text_file import place_of

if TYPE_CHECKING:
    from planner.importers.source import Source

_HOSTS = re.compile(r"^# hosts, in the order of ranks: (.*)$", re.MULTILINE)


def hosts_of(source: Source) -> tuple[tuple[str, ...], Origin] | None:
    """The hosts and where they stand; None for a script that names none.

    Raises: InputError at a list that cannot be read.
    """
    found = _HOSTS.search(source.text)
    if found is None:
        return None
    place = place_of(source.text, found.start(1))
    try:
        names = expand_hosts(found[1])
    except ValueError as error:
        raise source.error(str(error), place.line, place.column) from error
    return names, Origin(path=source.path, line=place.line, column=place.column)
