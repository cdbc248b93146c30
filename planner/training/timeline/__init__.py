"""One step of a plan over time: when everything runs, and what is in memory meanwhile."""

from planner.training.timeline.step import StepTimeline, step_timeline
from planner.training.timeline.trace import trace_text

__all__ = ["StepTimeline", "step_timeline", "trace_text"]
