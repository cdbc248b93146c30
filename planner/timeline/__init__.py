"""One step of a plan as it passes: when everything runs, and what it keeps in memory meanwhile."""

from planner.timeline.step import StepTimeline, step_timeline
from planner.timeline.trace import trace_text

__all__ = ["StepTimeline", "step_timeline", "trace_text"]
