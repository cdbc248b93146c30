"""Reading what the plans of a document were made from."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from planner.errors import InputError
from planner.plan import PRECISIONS
from planner.plan_document.inputs import RecordedFile, RecordedInputs, RecordedJob
from planner.plan_document.nodes import Node
from planner.specs.job import OPTIMIZERS
from planner.specs.ranges import LONGEST_SEQUENCE
from planner.specs.settings import Settings
from planner.specs.units import MOST_TOKENS


def read_inputs(node: Node) -> RecordedInputs:
    """What the plans of a document were made from. Raises InputError with the place."""
    job = node["job"]
    tokens = job.get("tokens")
    return RecordedInputs(
        cluster=read_file_record(node["cluster"]),
        model=read_file_record(node["model"]),
        job=RecordedJob(
            devices=job["devices"].count(at_least=1),
            global_batch_size=job["global_batch_size"].count(at_least=1),
            seq_length=job["seq_length"].count(at_least=1, at_most=LONGEST_SEQUENCE),
            precision=job["precision"].text(PRECISIONS),
            optimizer=job["optimizer"].text(OPTIMIZERS),
            software=job["software"].name(),
            software_sha256=job["software_sha256"].optional_text(),
            headroom=job["headroom"].number(at_least=0, below=1),
            expert_imbalance=job["expert_imbalance"].number(at_least=1),
            software_path=_path(job, "software_path"),
            settings=_settings(job.get("settings")),
            tokens=None if tokens is None else tokens.count(at_least=1, at_most=MOST_TOKENS),
        ),
        assumptions=tuple(item.text() for item in node["assumptions"].items()),
    )


def _settings(node: Node | None) -> dict[str, Any] | None:
    if node is None:
        return None
    node.only([one.name for one in fields(Settings)])
    values = {
        name: [one.text() for one in value.items()]
        if isinstance(value.value, list)
        else value.value
        for name, value in node.fields().items()
    }
    try:
        return Settings.of(values).stated or None
    except InputError as error:
        node.fail(error.message)


def read_file_record(node: Node) -> RecordedFile:
    """The record of one input file. Raises InputError with the place."""
    return RecordedFile(
        name=node["name"].name(),
        sha256=node["sha256"].optional_text(),
        path=_path(node, "path"),
    )


def _path(node: Node, key: str) -> str | None:
    found = node.get(key)
    return None if found is None else found.text()
