"""Load files: the requests that a serving job answers, and how fast it has to."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from planner.specs.drafts import Drafts
from planner.specs.files.fields import Fraction, Input, Name, RequestsPerSecond, Seconds, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document
from planner.specs.ranges import LONGEST_SEQUENCE, MOST_CONCURRENT
from planner.specs.routing import RoutingCounts, read_routing
from planner.specs.trace import Trace, read_trace

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

    from planner.specs.files.document import Document

ROUNDS = 10
"""Requests of each client in a closed loop: as published benchmarks have them."""
P95_DEVIATIONS = 1.6448536269514722
"""Standard deviations from the mean of a normal distribution to its 95th percentile."""
Clients = Annotated[int, Field(ge=1, le=MOST_CONCURRENT)]
Length = Annotated[int, Field(ge=1, le=LONGEST_SEQUENCE)]
TokenCounts = Annotated[tuple[Length, ...], Field(min_length=1, max_length=10_000)]
Shares = Annotated[tuple[Fraction, ...], Field(min_length=1, max_length=10_000)]
_ROUNDING = 1e-3
"""By which shares may miss 1 in sum."""


def _broken(text: str, *at: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "{text}", {"text": text, "at": at})


class Lengths(Input):
    """Tokens of prompts or of answers: a number is their mean."""

    mean: Length | None = None
    """Alone: lengths are within the spread of it."""
    p95: Length | None = None
    """With the mean: lengths are lognormal, and 5 % of them are longer."""
    tokens: TokenCounts | None = None
    """The lengths that there are."""
    shares: Shares | None = None
    """Of the requests that have each of `tokens`; without, equal ones."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, given: object) -> object:
        return given if isinstance(given, (dict, Lengths)) else {"mean": given}

    @model_validator(mode="after")
    def _one_law(self) -> Lengths:
        if (self.mean is None) == (self.tokens is None):
            raise _broken("state either mean, alone or with p95, or tokens with their shares")
        if self.tokens is not None:
            if self.p95 is not None:
                raise _broken("p95 goes with mean; tokens are a list of lengths", "p95")
            self._check_shares(self.tokens)
        elif self.shares is not None:
            raise _broken("shares go with tokens, a list of lengths", "shares")
        if self.mean is not None and self.p95 is not None:
            most = log(self.p95 / self.mean)
            if not 0 < most <= P95_DEVIATIONS**2 / 2:
                raise _broken(
                    f"a lognormal p95 is above the mean and at most 3.86 times as much, found "
                    f"{self.p95:,} for a mean of {self.mean:,}",
                    "p95",
                )
        return self

    def _check_shares(self, tokens: tuple[int, ...]) -> None:
        if self.shares is None:
            return
        if len(self.shares) != len(tokens):
            raise _broken(
                f"{len(self.shares)} shares for {len(tokens)} lengths; each has one", "shares"
            )
        if abs(sum(self.shares) - 1) > _ROUNDING:
            raise _broken(f"shares add up to 100%, found {sum(self.shares):.4g}", "shares")

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        known = {name for name in type(self).model_fields if getattr(self, name) is not None}
        return self.mean if known == {"mean"} else handler(self)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        mean = {"type": "integer", "minimum": 1, "maximum": LONGEST_SEQUENCE}
        return {"anyOf": [{"description": "The mean.", **mean}, handler(core_schema)]}

    @property
    def is_one(self) -> bool:
        """Whether every length is one token."""
        return self.mean == 1 or (self.tokens is not None and set(self.tokens) == {1})


class Requests(Input):
    """How long they are."""

    input: Lengths | None = None
    """Tokens of a prompt."""
    output: Lengths | None = None
    """Tokens of an answer."""
    spread: Fraction = Field(default=0.0, lt=1)
    """Lengths of which only the mean is stated are uniform within this share below and above."""
    shared_prefix: Annotated[int, Field(ge=0, le=LONGEST_SEQUENCE)] = 0
    """Tokens with which every prompt begins, of those in `input`: an engine with a prefix cache
    reads them once."""
    trace: Text | None = None
    """A file with one request in each line, instead of `input` and `output`: JSON lines of
    Mooncake, or a table of the Azure LLM inference traces or of BurstGPT. Its path is relative to
    the load file's folder."""

    @model_validator(mode="after")
    def _lengths_or_trace(self) -> Requests:
        if self.trace is not None:
            if self.input is not None or self.output is not None or self.spread:
                raise _broken("a trace states the lengths; leave out input, output and spread")
            return self
        if self.input is None or self.output is None:
            missing = " and ".join(name for name in ("input", "output") if not getattr(self, name))
            raise _broken(f"state {missing}, or a trace")
        if self.spread and self._means.count(None) == len(self._means):
            raise _broken("spread goes with a mean alone; these lengths have theirs", "spread")
        if self.shared_prefix and self.shared_prefix >= self._longest_input:
            raise _broken("a shared prefix is shorter than the prompt", "shared_prefix")
        return self

    @property
    def _means(self) -> list[int | None]:
        stated = [one for one in (self.input, self.output) if one is not None]
        return [one.mean if one.p95 is None else None for one in stated]

    @property
    def _longest_input(self) -> int:
        assert self.input is not None
        return self.input.mean or max(self.input.tokens or (1,))


class Arrivals(Input):
    """When requests come, whether or not earlier ones were answered."""

    rate: RequestsPerSecond
    """Mean. The times of a trace are stretched or squeezed to it."""
    process: Literal["poisson", "even"] | None = None
    """Independent of each other (poisson, where nothing is stated), or at equal distances."""
    seed: Annotated[int, Field(ge=0, le=2**31)] | None = None
    """Of the drawn arrivals and lengths: the same numbers every time. 1 where nothing is
    stated."""


class LatencyLimit(Input):
    """Limits of one latency, by statistic."""

    mean: Seconds | None = None
    p50: Seconds | None = None
    p90: Seconds | None = None
    p95: Seconds | None = None
    p99: Seconds | None = None


class ServiceLevel(Input):
    """What the latencies have to be."""

    ttft: LatencyLimit | None = None
    tpot: LatencyLimit | None = None


class LoadFile(Input):
    """A load: a closed loop of clients, all requests at once, or arrivals at a rate; with none of
    them a trace as it was recorded, or as many clients as a search finds to be best."""

    name: Name | None = None
    requests: Requests
    concurrency: Clients | None = None
    """Requests under way; each is followed by the next."""
    offline: Clients | None = None
    """Requests that are all there at the start."""
    arrivals: Arrivals | None = None
    slo: ServiceLevel | None = None
    drafts: Drafts | None = None
    """Speculative decoding; none where nothing is stated."""
    routing: Text | None = None
    """A JSON file with how often each expert of each layer was chosen for such requests:
    `{"logical_count": [[…], …]}`. Its path is relative to the load file's folder. Without one,
    every expert is chosen as often as any other."""
    _trace: Trace | None = PrivateAttr(default=None)
    _trace_path: Path | None = PrivateAttr(default=None)
    _counts: RoutingCounts | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _has_tpot(self) -> LoadFile:
        answers = self.requests.output
        if self.slo is not None and self.slo.tpot is not None and answers and answers.is_one:
            text = "answers of one token have no time of a further one to limit"
            raise _broken(text, "slo", "tpot")
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> LoadFile:
        kinds = ("concurrency", "offline", "arrivals")
        stated = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(stated) > 1:
            raise _broken(f"state either {stated[0]} or {stated[1]}, not both")
        given = self.arrivals
        if given is not None and self.requests.trace is not None:
            for name in ("process", "seed"):
                if getattr(given, name) is not None:
                    raise _broken(f"a trace states when requests arrive; leave out {name}")
        return self

    @property
    def trace(self) -> Trace | None:
        """The requests of a trace, where the load has one."""
        return self._trace

    @property
    def counts(self) -> RoutingCounts | None:
        """The choices of experts, where the load has them."""
        return self._counts

    @property
    def recorded(self) -> dict[str, Any]:
        """The load as a document keeps it: files that it names by the paths under which they were
        found."""
        known: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        if self._trace_path is not None:
            known["requests"]["trace"] = str(self._trace_path)
        if self._counts is not None:
            known["routing"] = self._counts.path
        return known

    @property
    def is_open(self) -> bool:
        """Whether requests come at times of their own."""
        closed = self.concurrency is not None or self.offline is not None
        return self.arrivals is not None or (self.requests.trace is not None and not closed)


def load_serving_load(path: str | Path) -> LoadFile:
    """A load file, and the files that it names. Raises: InputError."""
    document = load_document(Path(path))
    return with_files(validate(document, LoadFile), document, Path(path).parent)


def with_files(load: LoadFile, document: Document, folder: Path) -> LoadFile:
    """The load with the trace and the counts that it names, whose paths are relative to a folder.
    Raises: InputError."""
    requests = load.requests
    if load.routing is not None:
        load._counts = read_routing(_named(document, folder / load.routing, ("routing",)))
    if requests.trace is None:
        return load
    path = _named(document, folder / requests.trace, ("requests", "trace"))
    load._trace_path = path
    load._trace = trace = read_trace(path)
    if requests.shared_prefix and trace.has_blocks:
        raise document.error(
            "hash_ids of the trace say what prompts share; leave out shared_prefix",
            ("requests", "shared_prefix"),
        )
    if load.is_open and not trace.seconds:
        raise document.error(
            "all requests of the trace come at once; state concurrency or offline",
            ("requests", "trace"),
        )
    return load


def _named(document: Document, path: Path, where: tuple[str, ...]) -> Path:
    """A file that the load names. Raises: InputError with the place that names it."""
    if not path.exists():
        raise document.error(f"there is no file {path}", where)
    return path
