"""The constants of an engine file that measured serving runs can tell.

What a kernel takes with nothing to do (`floors`) is one constant for all kernels of a table: in
whole steps only their sum can be told. It is a multiple of what the file states.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from planner.calibration.tunable import Constants, Tunable, rounded
from planner.serving.estimate import forget_prices
from planner.serving.scenario import WEIGHT_BYTES
from planner.specs.engine import EngineProfile
from planner.specs.engine_kernels import KernelLaw, KernelTable, PromptLaw, ReadingLaw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from planner.serving.scenario import ServingScenario

Floored = KernelLaw | ReadingLaw | PromptLaw

FLOORS = "floors"
BY_FORMAT = (
    *("products", "experts", "attention", "latent_attention"),
    *("prefill_attention", "latent_prefill_attention"),
)
SHARES = ("bandwidth", "peak")
HOST = "host"
HEAD_FORMAT = next(iter(WEIGHT_BYTES))
"""Head and router stay in 16 bits."""
HOST_TIMES = ("step", "launch", "per_sequence", "request", "intake")
LEAST_SHARE, MOST_SHARE = 0.05, 1.0
"""Of a rate of the data sheet."""
LEAST_TIMES, MOST_TIMES = 0.2, 5.0
"""Multiples of a time that the file states."""
LONGEST_TEXT = 1900


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineOnDevice:
    """An engine's table of kernels for a device, and its host's times. Compared by identity, so
    that what was priced with it is kept."""

    engine: EngineProfile
    device: str
    table: KernelTable

    @property
    def name(self) -> str:
        return f"{self.engine.name} on {self.device}"

    @cached_property
    def profile(self) -> EngineProfile:
        """The engine with this table for the device."""
        kernels = {**self.engine.kernels, self.device: self.table}
        return self.engine.model_copy(update={"kernels": kernels})


def constants_of(
    holder: EngineOnDevice, scenarios: Iterable[ServingScenario]
) -> Constants[EngineOnDevice]:
    """What runs of the scenarios may tell of an engine on a device. Constants are by number format,
    so that a model left out would leave none of its own: layouts are left out instead."""
    used = set().union(*map(_used, scenarios))
    return Constants(
        file="engine file",
        runs="serving runs",
        figure="TPOT or TTFT",
        folds=("source", "layout"),
        tunables={one.name: one for one in _tunables(holder) if _law(one.name) in used},
        value=value_of,
        changed=with_values,
        forget=forget_prices,
    )


def _used(scenario: ServingScenario) -> set[str]:
    """The laws that a replica's steps are priced with."""
    degrees, moe, mla = scenario.degrees, scenario.model.moe, scenario.model.mla
    formats = {scenario.attention_format, scenario.shared_format, HEAD_FORMAT}
    cache = "" if mla is None else "latent_"
    found = {FLOORS, HOST}
    found |= {f"{cache}{part}.{scenario.kv}" for part in ("attention", "prefill_attention")}
    found |= {f"products.{number_format}" for number_format in formats}
    if moe is not None:
        found.add(f"experts.{scenario.expert_format}")
    if degrees.stage_devices > 1:
        found.add("all_reduce")
    if moe is not None and degrees.attention_data > 1:
        found.add("exchange")
    return found


def _law(name: str) -> str:
    """The law that a constant is of."""
    return name.rpartition(".")[0] or name


def _tunables(holder: EngineOnDevice) -> Iterator[Tunable]:
    table = holder.table
    yield _time(FLOORS, 1.0)
    for part in BY_FORMAT:
        for number_format, law in getattr(table, part).items():
            for share in SHARES:
                if hasattr(law, share):
                    yield _share(f"{part}.{number_format}.{share}")
    yield _time("all_reduce.one_shot", table.all_reduce.one_shot)
    yield _share("all_reduce.one_shot_bandwidth")
    yield _share("all_reduce.two_shot_bandwidth")
    yield _time("exchange.start", table.exchange.start)
    yield _share("exchange.bandwidth")
    for name in HOST_TIMES:
        stated = getattr(holder.engine.host, name).value
        if stated:
            yield _time(f"{HOST}.{name}", stated)


def _share(name: str) -> Tunable:
    return Tunable(name=name, low=LEAST_SHARE, high=MOST_SHARE)


def _time(name: str, stated: float) -> Tunable:
    low, high = rounded(LEAST_TIMES * stated), rounded(MOST_TIMES * stated)
    return Tunable(name=name, low=low, high=high, is_efficiency=False)


def value_of(holder: EngineOnDevice, name: str) -> float:
    """A share, seconds, or a multiple of all floors."""
    if name == FLOORS:
        return 1.0
    found: Any = holder.engine if name.startswith(f"{HOST}.") else holder.table
    for part in name.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return float(found.value if name.startswith(f"{HOST}.") else found)


def with_values(holder: EngineOnDevice, values: Mapping[str, float], source: str) -> EngineOnDevice:
    """The engine with these constants, as measured ones of that source."""
    if not values:
        return holder
    table, host = holder.table, holder.engine.host
    for name, value in values.items():
        if name == FLOORS:
            table = _with_floors(table, rounded(value))
        elif name.startswith(f"{HOST}."):
            field = name.removeprefix(f"{HOST}.")
            update = {"value": rounded(value), "basis": "measured", "source": source}
            constant = getattr(host, field).model_copy(update=update)
            host = host.model_copy(update={field: constant})
        else:
            table = _replaced(table, name.split("."), rounded(value))
    said = _said(values, source, holder.table.source)
    table = table.model_copy(update={"basis": "measured", "source": said})
    engine = holder.engine.model_copy(update={"host": host})
    return EngineOnDevice(engine=engine, device=holder.device, table=table)


def _said(values: Mapping[str, float], source: str, before: str) -> str:
    named = [
        f"all floors times {rounded(value):g}" if name == FLOORS else name
        for name, value in values.items()
        if not name.startswith(f"{HOST}.")
    ]
    if not named:
        return before
    return f"{', '.join(named)}: {source}; all else: {before}"[:LONGEST_TEXT]


def _replaced(holder: Any, path: list[str], value: float) -> Any:
    first, *rest = path
    if isinstance(holder, dict):
        return {**holder, first: _replaced(holder[first], rest, value) if rest else value}
    changed = _replaced(getattr(holder, first), rest, value) if rest else value
    return holder.model_copy(update={first: changed})


def _with_floors(table: KernelTable, times: float) -> KernelTable:
    """Every floor of a kernel of the table, by so many times."""

    def lifted(law: Floored) -> Floored:
        return law.model_copy(update={"floor": rounded(law.floor * times)})

    update: dict[str, object] = {
        part: {name: lifted(law) for name, law in getattr(table, part).items()}
        for part in BY_FORMAT
    }
    update["small_kernel"] = rounded(table.small_kernel * times)
    return table.model_copy(update=update)
