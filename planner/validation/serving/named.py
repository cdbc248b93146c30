"""What a table calls a model, a device, an engine and a format, as a scenario."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.serving.scenario import ServingDegrees, ServingScenario
from planner.specs.engine import load_engine
from planner.specs.files import catalog
from planner.specs.files.fields import Input, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document
from planner.specs.load import load_device, load_model
from planner.specs.unpriced import why_unpriced
from planner.validation.serving.launch_match import Launched
from planner.validation.serving.nodes import stage_group
from planner.validation.serving.table import RowError

if TYPE_CHECKING:
    from planner.serving.load.lengths import ClosedLoad
    from planner.specs.device import DeviceSpec
    from planner.specs.engine import EngineProfile
    from planner.specs.model.spec import ModelSpec
    from planner.validation.serving.launch_settings import LaunchSettings
    from planner.validation.serving.table import ServingRow

_UNSTATED = "bf16"
"""A model whose format is not stated is as it was published."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnEngine:
    """A profile that stands in for the shipped engine of its name. Compared by identity."""

    profile: EngineProfile


class EngineVersion(Input):
    """Releases of an engine that have a profile of their own."""

    engine: Text
    versions: tuple[Text, ...]
    """What the stated version begins with."""
    profile: Text


class TableNames(Input):
    """What tables call models, engines and formats."""

    models: dict[str, Text]
    engines: dict[str, Text]
    engine_versions: tuple[EngineVersion, ...]
    formats: dict[str, Text]
    published: dict[str, Text]
    """Models that exist in one format."""
    fp8_in_blocks: tuple[Text, ...]
    """Models whose weights in fp8 have a scale for every block."""
    kv_formats: dict[str, Text]
    """Of the KV cache, where the format of the weights says so."""


@cache
def table_names() -> TableNames:
    """The shipped names. Raises: InputError."""
    return validate(load_document(catalog.folder("runs") / "serving" / "names.yaml"), TableNames)


def launch_of(row: ServingRow, degrees: ServingDegrees, load: ClosedLoad) -> Launched:
    """What a row says of its launch. Raises: RowError for a name that nothing here has."""
    model, engine, weights = _names_of(row)
    device = row.text("device")
    return Launched(
        table=row.text("source"),
        mode=row.text("mode"),
        engine=engine,
        model=model,
        family=_device(device).family,
        device=device,
        weights=weights,
        input_length=load.input_tokens,
        output_length=load.output_tokens,
        tensor=degrees.tensor,
        load=load.concurrency,
        version=row.text("framework_version"),
        measured=row.text("measured"),
    )


def scenario_of(
    row: ServingRow, degrees: ServingDegrees, settings: LaunchSettings, own: OwnEngine | None
) -> ServingScenario:
    """The scenario of a row; `own` stands in for the engine of its name. Raises: RowError for a
    name that nothing here has; RuleError."""
    names = table_names()
    model, engine, weights = _names_of(row)
    stated = row.text("kv_format")
    kv = names.formats.get(stated, stated) or settings.kv_format
    kv = kv or names.kv_formats.get(weights, "")
    return _known(model, row.text("device"), engine, weights, kv, degrees, settings, own)


def _names_of(row: ServingRow) -> tuple[str, str, str]:
    """Of model, engine and format of the weights, in the words of the files shipped here."""
    names = table_names()
    framework, model_name = row.text("framework"), row.text("model")
    model = names.models.get(model_name, model_name)
    weights = names.published.get(model) or row.text("weight_format") or _UNSTATED
    weights = names.formats.get(weights, weights)
    if weights == "fp8" and model in names.fp8_in_blocks:
        weights = "fp8-block"
    engine = names.engines.get(framework, framework)
    return model, _at_version(engine, row.text("framework_version")), weights


def _at_version(engine: str, version: str) -> str:
    """The profile of an engine at a version."""
    for one in table_names().engine_versions:
        if one.engine == engine and version.startswith(one.versions):
            return one.profile
    return engine


@cache
def _known(
    model: str,
    device: str,
    engine: str,
    weights: str,
    kv: str,
    degrees: ServingDegrees,
    settings: LaunchSettings,
    own: OwnEngine | None,
) -> ServingScenario:
    stated = _engine(engine) if own is None or own.profile.name != engine else own.profile
    profile = settings.applied(stated.on(_device(device)))
    return ServingScenario(
        model=_model(model),
        device=_device(device),
        engine=profile,
        weights=weights,
        kv=kv or profile.kv_format,
        degrees=degrees,
        stage_group=stage_group(_device(device), degrees.stage_devices),
    )


@cache
def _engine(name: str) -> EngineProfile:
    if name not in catalog.list_shipped("engine"):
        raise RowError(f"no engine profile is shipped as {name[:60]!r}")
    return load_engine(name)


@cache
def _device(name: str) -> DeviceSpec:
    if name not in catalog.list_shipped("device"):
        reason = why_unpriced(name)
        raise RowError(reason or f"no device file is shipped as {name[:60]!r}")
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
