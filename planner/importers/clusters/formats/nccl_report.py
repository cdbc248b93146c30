"""nccl-tests' JSON report (`-J`): keys as NVIDIA/nccl-tests `src/util.cu` writes them. The
environment in it is never read."""

from __future__ import annotations

from planner.importers.clusters.facts import ClusterFacts
from planner.importers.clusters.formats.nccl_nodes import facts_of
from planner.importers.clusters.formats.nccl_results import collective_of
from planner.importers.clusters.formats.nccl_rows import Rank, Row
from planner.importers.clusters.formats.nccl_tests import PROGRAM
from planner.importers.notes import Notes
from planner.importers.source import Source
from planner.specs.files.document import Location
from planner.specs.files.json_file import JsonFile, parse_json


def read_json(source: Source, *, ranks: int | None = None) -> ClusterFacts:
    """A report written with -J; `ranks` is the number of devices, if the user states it.

    Raises: InputError at the entry that is wrong.
    """
    file = parse_json(source.text, source.path)
    notes = Notes()
    tree = file.mapping(file.tree)
    rows = [
        row
        for index, entry in enumerate(file.sequence(tree.get("results"), ("results",)))
        if (row := _json_row(file, entry, ("results", index))) is not None
    ]
    if not rows:
        raise file.error("holds no results", ("results",))
    devices = _json_devices(file, tree)
    arguments = tree.get("args")
    words = arguments if isinstance(arguments, list) else []
    program = next((m for word in words if (m := PROGRAM.search(str(word)))), None)
    name = program[1] if program else None
    collective = collective_of(source, notes, rows, name, devices, ranks=ranks)
    if "env" in tree:
        notes.left_out.append("the environment that the report holds")
    return facts_of(
        source,
        "nccl-tests report",
        notes,
        devices=devices,
        collectives=[] if collective is None else [collective],
    )


def _json_row(file: JsonFile, entry: object, at: Location) -> Row | None:
    mapping = file.mapping(entry, at)
    result = mapping.get("out_of_place") or mapping.get("in_place")
    if result is None:
        return None
    timed = file.mapping(result, at)

    def number(holder: dict[str, object], *keys: str, least: int = 0) -> float:
        value = next((holder[key] for key in keys if key in holder), None)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
            raise file.error(f"{keys[0]} is not a number of 0 or more", at)
        return float(value)

    row = Row(
        size_bytes=number(mapping, "size"),
        time_us=number(timed, "time", "cpu_time"),
        algorithm_gb_per_s=number(timed, "alg_bw"),
        bus_gb_per_s=number(timed, "bus_bw"),
        reduces=mapping.get("redop") not in ("none", "", None),
        rooted=type(mapping.get("root")) is int and number(mapping, "root", least=-1) >= 0,
        wrong=type(timed.get("nwrong")) is int and number(timed, "nwrong") > 0,
        line=file.error("", at).line,
    )
    positive = row.size_bytes > 0 and row.time_us > 0 and row.algorithm_gb_per_s > 0
    return row if positive else None


def _json_devices(file: JsonFile, tree: dict[str, object]) -> list[Rank]:
    config = tree.get("config")
    listed = tree.get("devices") or (config.get("devices") if isinstance(config, dict) else None)
    found: list[Rank] = []
    for index, entry in enumerate(listed if isinstance(listed, list) else []):
        mapping = file.mapping(entry, ("devices", index))
        rank, group, host = (mapping.get(key) for key in ("rank", "group", "hostname"))
        if type(rank) is int and isinstance(host, str):
            product = str(mapping.get("device_info") or "")
            number = group if type(group) is int else 0
            found.append(Rank(rank=rank, group=number, host=host, product=product))
    return found
