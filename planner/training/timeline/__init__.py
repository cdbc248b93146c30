"""One step of a plan as it passes: when everything runs, and what it keeps in memory meanwhile."""

from planner.training.timeline.step import StepTimeline, step_timeline
from planner.training.timeline.trace import trace_text

__all__ = ["StepTimeline", "step_timeline", "trace_text"]
