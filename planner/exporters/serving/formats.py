"""The formats that a serving plan can be written in."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from planner.exporters.serving import manifests, scripts, sglang, trtllm, vllm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.exporters.serving.job import ServingExport


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingFormat:
    """How one is written, and the name of its file in a folder of all."""

    write: Callable[[ServingExport], str]
    file: str


SERVING_FORMATS = MappingProxyType(
    {
        "vllm": ServingFormat(write=scripts.as_vllm, file="vllm.sh"),
        "sglang": ServingFormat(write=scripts.as_sglang, file="sglang.sh"),
        "trtllm": ServingFormat(write=scripts.as_trtllm, file="trtllm.sh"),
        "dynamo": ServingFormat(write=manifests.as_dynamo, file="dynamo.yaml"),
        "llm-d": ServingFormat(write=manifests.as_llm_d, file="llm-d.yaml"),
    }
)

_LONGER = MappingProxyType(
    {"vllm": vllm.LONGER, "sglang": sglang.LONGER, "trtllm": trtllm.LONGER},
)


def serving_notes(job: ServingExport) -> Iterator[str]:
    """What else the user has to do so that a plan runs."""
    if job.beyond is not None:
        yield f"requests of {job.beyond}: {_LONGER.get(job.engine, 'engines may refuse them')}"
