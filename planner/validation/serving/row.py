"""A row of a table as a scenario and a load, in the words of the files shipped here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.serving.load.lengths import ClosedLoad
from planner.serving.scenario import ServingDegrees, ServingScenario
from planner.specs.engine import load_engine
from planner.specs.files import catalog
from planner.specs.files.fields import Input, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document
from planner.specs.load import load_device, load_model
from planner.validation.serving.table import RowError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.specs.device import DeviceSpec
    from planner.specs.engine import EngineProfile
    from planner.specs.model.spec import ModelSpec
    from planner.validation.serving.table import ServingRow

CREDIBLE_PEAK_SHARE = 0.6
"""Runs that imply more of the peak rate had a prefix cached, or another format than stated."""
MOST_DISAGREEMENT = 1.25
"""Between repeats of one configuration, whose times of a token differ by 4 % at the 90th percentile
in tables that state everything."""
_CONFIGURATION = (
    *("source", "model", "weight_format", "kv_format", "device", "devices", "mode", "tensor"),
    *("pipeline", "expert", "attention_data", "moe_tensor", "framework", "speculative"),
    *("prefill_workers", "prefill_devices", "prefill_tensor", "prefill_expert"),
    *("prefill_attention_data", "decode_workers", "decode_devices", "decode_tensor"),
    *("decode_expert", "decode_attention_data", "input_length", "output_length", "lengths"),
    *("load_kind", "load"),
)
"""Columns that say what was run; versions of an engine are not among them."""
USUAL_ROUNDS = 10
"""Requests of a client where a table does not say how many: those of most benchmarks' clients."""
_SPREAD = re.compile(r"uniform in \[([0-9.]+), 1\]")
_ROUNDS = re.compile(r"([0-9]+) requests per unit of concurrency")
_FORMATS = {"": "bf16"}
"""A model whose format is not stated is as it was published."""


class TableNames(Input):
    """What tables call models, engines and formats."""

    models: dict[str, Text]
    engines: dict[str, Text]
    formats: dict[str, Text]
    published: dict[str, Text]
    """Models that exist in one format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCase:
    """One run to estimate. `prefill` and `decode_replicas` are of disaggregated runs, whose
    `scenario` is a decoding replica."""

    scenario: ServingScenario
    load: ClosedLoad
    prefill: ServingScenario | None = None
    decode_replicas: int = 1


def disagreeing(rows: Sequence[ServingRow]) -> dict[int, str]:
    """By identity of the row, why it is left out: several rows of one configuration whose times of
    a token differ by more than `MOST_DISAGREEMENT` hide something that is not stated, such as
    drafts."""
    groups: dict[tuple[str, ...], list[tuple[float, ServingRow]]] = {}
    for row in rows:
        try:
            time_ms = row.number("tpot_mean_ms")
        except RowError:
            continue
        if time_ms:
            key = tuple(row.text(column) for column in _CONFIGURATION)
            groups.setdefault(key, []).append((time_ms, row))
    found: dict[int, str] = {}
    for group in groups.values():
        least, most = (pick(time_ms for time_ms, _ in group) for pick in (min, max))
        if most > MOST_DISAGREEMENT * least:
            reason = (
                f"{len(group)} rows of this configuration differ by {most / least:.2f} times: "
                "something is not stated"
            )
            found.update({id(row): reason for _, row in group})
    return found


@cache
def table_names() -> TableNames:
    """The shipped names. Raises: InputError."""
    return validate(load_document(catalog.folder("runs") / "serving" / "names.yaml"), TableNames)


def case_of(row: ServingRow) -> ServingCase:
    """The run of a row. Raises: RowError where the row lacks what an estimate needs, or states what
    is not estimated; PlannerError for a scenario that breaks a rule."""
    share = row.number("implied_peak_share")
    if share is not None and share > CREDIBLE_PEAK_SHARE:
        raise RowError(
            f"implies {share:.0%} of the peak rate; above {CREDIBLE_PEAK_SHARE:.0%} something is "
            "cached or not stated"
        )
    if row.text("speculative") not in ("", "none"):
        raise RowError("decodes with drafts, and how many are accepted is not stated")
    mode = row.text("mode")
    if mode == "agg":
        degrees = _aggregated(row)
        return ServingCase(scenario=_scenario(row, degrees), load=_load(row))
    if mode == "disagg":
        return _disaggregated(row)
    raise RowError(f"mode is {mode[:40]!r}; agg and disagg are known")


def _disaggregated(row: ServingRow) -> ServingCase:
    replicas, decoding = row.count("decode_workers"), row.required("decode_devices")
    if replicas is None or row.count("prefill_workers") is None:
        raise RowError("decode_workers and prefill_workers are not stated")
    if decoding % replicas:
        raise RowError(f"{decoding} decoding devices are no whole number for {replicas} workers")
    prefill = _pool_degrees(row, "prefill", row.required("prefill_devices"))
    decode = _pool_degrees(row, "decode", decoding // replicas)
    return ServingCase(
        scenario=_scenario(row, decode),
        load=_load(row),
        prefill=_scenario(row, prefill),
        decode_replicas=replicas,
    )


def _pool_degrees(row: ServingRow, pool: str, devices: int) -> ServingDegrees:
    """Of one worker with so many devices; attention_data may be stated as true or false."""
    tensor = row.count(f"{pool}_tensor") or 1
    stated = row.text(f"{pool}_attention_data").lower()
    if stated in ("true", "false"):
        data = max(1, devices // tensor) if stated == "true" else 1
        tensor = devices if stated == "false" else tensor
    else:
        data = row.count(f"{pool}_attention_data") or 1
        tensor = max(1, devices // data)
    if tensor * data != devices:
        raise RowError(f"{pool} degrees {tensor} x {data} are not its {devices} devices")
    expert = min(row.count(f"{pool}_expert") or 1, devices)
    return ServingDegrees(tensor=tensor, attention_data=data, expert=expert)


def _aggregated(row: ServingRow) -> ServingDegrees:
    """Tensor degrees that leave devices over are of one replica, and there are several."""
    devices, pipeline = row.required("devices"), row.count("pipeline") or 1
    data, tensor = row.count("attention_data") or 1, row.count("tensor")
    expert, expert_tensor = row.count("expert") or 1, row.count("moe_tensor") or 1
    if tensor is None:
        raise RowError("tensor is not stated")
    if expert > 1 and expert == expert_tensor and devices == expert * expert_tensor:
        # Some tables state one degree of a mixture as expert and as tensor degree, and multiply it.
        devices = expert
        tensor, data = (expert, 1) if data == 1 else (1, expert)
    if tensor * data * pipeline != devices:
        raise RowError(
            f"degrees tensor {tensor} x attention_data {data} x pipeline {pipeline} are not the "
            f"{devices} devices"
        )
    return ServingDegrees(
        tensor=tensor, pipeline=pipeline, attention_data=data, expert=min(expert, tensor * data)
    )


def _load(row: ServingRow) -> ClosedLoad:
    kind, lengths = row.text("load_kind"), row.text("lengths")
    if kind not in ("concurrency", "batch", "offline"):
        raise RowError(f"load_kind {kind!r}: arrivals over time are not stated")
    spread, rounds = _SPREAD.search(lengths), _ROUNDS.search(lengths)
    prompt, answer = row.required("input_length"), row.required("output_length")
    if kind == "offline":
        raise RowError("offline: how many requests there were is not stated")
    clients = row.number("load")
    if not clients:
        raise RowError("load is not stated")
    many = USUAL_ROUNDS if kind == "concurrency" else 1
    return ClosedLoad(
        concurrency=clients,
        input_tokens=prompt,
        output_tokens=answer,
        least=float(spread[1]) if spread else 1.0,
        rounds=int(rounds[1]) if rounds else many,
    )


def _scenario(row: ServingRow, degrees: ServingDegrees) -> ServingScenario:
    names = table_names()
    framework = row.text("framework")
    model_name = row.text("model")
    model = names.models.get(model_name, model_name)
    stated = row.text("weight_format")
    weights = names.published.get(model) or _FORMATS.get(stated) or stated
    return _known(
        model,
        row.text("device"),
        names.engines.get(framework, framework),
        names.formats.get(weights, weights),
        names.formats.get(row.text("kv_format"), row.text("kv_format")),
        degrees,
    )


@cache
def _known(
    model: str, device: str, engine: str, weights: str, kv: str, degrees: ServingDegrees
) -> ServingScenario:
    profile = _engine(engine)
    return ServingScenario(
        model=_model(model),
        device=_device(device),
        engine=profile,
        weights=weights,
        kv=kv or profile.kv_format,
        degrees=degrees,
    )


@cache
def _engine(name: str) -> EngineProfile:
    if name not in catalog.list_shipped("engine"):
        raise RowError(f"no engine profile is shipped as {name[:60]!r}")
    return load_engine(name)


@cache
def _device(name: str) -> DeviceSpec:
    if name not in catalog.list_shipped("device"):
        raise RowError(f"no device file is shipped as {name[:60]!r}")
    return load_device(name)


@cache
def _model(name: str) -> ModelSpec:
    beside = catalog.folder("runs") / "serving" / "models" / f"{name}.yaml"
    if name in catalog.list_shipped("model"):
        return load_model(name)
    if not re.fullmatch(r"[\w.-]+", name) or not beside.is_file():
        raise RowError(f"no model file is shipped as {name[:60]!r}")
    try:
        return load_model(beside)
    except InputError as error:
        raise RowError(str(error)) from None
