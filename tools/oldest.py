"""Prints the oldest releases of its dependencies that pyproject.toml allows, for pip's constraints:
`python -m tools.oldest`. `make test-oldest` runs the tests with them, since a bound that nobody
tries is a guess."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def oldest(dependencies: list[str]) -> list[str]:
    """`numpy>=1.26,<3` as `numpy==1.26`. Raises: ValueError for one without a lower bound."""
    pins = []
    for dependency in dependencies:
        found = re.match(r"([A-Za-z0-9._-]+)>=([0-9.]+)", dependency)
        if found is None:
            raise ValueError(f"{dependency} has no lower bound")
        pins.append(f"{found[1]}=={found[2]}")
    return pins


if __name__ == "__main__":
    with PROJECT.open("rb") as file:
        print("\n".join(oldest(tomllib.load(file)["project"]["dependencies"])))
