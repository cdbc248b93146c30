"""Plans as values: decisions (`decisions`), what they cost (`estimate`, `memory`), how sure that is
(`confidence`), what it costs in money and energy (`spending`), and the place of a plan among others
(`ranked`).

These values import nothing else of the package.
"""

from __future__ import annotations

from planner.plan.confidence import Confidence, Evidence, Interval
from planner.plan.decisions import (
    AXES,
    DATA_SHARDINGS,
    DISPATCHERS,
    GRANULARITIES,
    PRECISIONS,
    Degrees,
    Placement,
    Plan,
    Recompute,
    Stage,
    recomputed_per_chunk,
    recomputed_per_stage,
)
from planner.plan.estimate import FIT_CLASSES, DeviceGroup, Estimate, Goodput, TimeBreakdown
from planner.plan.memory import PEAK_PHASES, HostUse, MemoryComponents, MemoryEstimate, StageMemory
from planner.plan.ranked import Proof, RankedPlan
from planner.plan.spending import Spending, Spent

__all__ = [
    "AXES",
    "DATA_SHARDINGS",
    "DISPATCHERS",
    "FIT_CLASSES",
    "GRANULARITIES",
    "PEAK_PHASES",
    "PRECISIONS",
    "Confidence",
    "Degrees",
    "DeviceGroup",
    "Estimate",
    "Evidence",
    "Goodput",
    "HostUse",
    "Interval",
    "MemoryComponents",
    "MemoryEstimate",
    "Placement",
    "Plan",
    "Proof",
    "RankedPlan",
    "Recompute",
    "Spending",
    "Spent",
    "Stage",
    "StageMemory",
    "TimeBreakdown",
    "recomputed_per_chunk",
    "recomputed_per_stage",
]
