"""From which folders a launch script may read files, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path


def readable_folders(folder: Path) -> tuple[Path, ...]:
    """Of the script in `folder`, an absolute path without links: that folder, the git repository
    around it, and the current folder where it is around it. The root of all files is none."""
    found = [folder]
    repository = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), None)
    current = Path.cwd().resolve()
    for one in (repository, current):
        if one is not None and one != Path(one.anchor) and folder.is_relative_to(one):
            found.append(one)
    return tuple(dict.fromkeys(found))


def shown_beside(called: Path, path: Path) -> str:
    """What to call a file, `path` without links, beside a folder that the user calls `called`:
    `jobs/env.sh`, `env.sh` for one above `jobs`."""
    beside = called / os.path.relpath(path, called.resolve())
    short = Path(os.path.normpath(beside))
    return str(short if short.resolve() == path else beside)
