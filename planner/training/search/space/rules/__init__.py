"""The framework's rules, by name: which combinations of degrees can run.

The search counts what each rule removes in its turn. A single plan that breaks a rule gets the
sentence and the nearest valid values. Sources are Megatron-LM `arguments.py` (validate_args),
`transformer_config.py`, `parallel_state.py`, `num_microbatches_calculator.py` and
`pipeline_parallel/schedules.py`, and DeepSpeed `runtime/pipe/engine.py`.
"""

from planner.training.search.space.rules.degrees import DEGREES
from planner.training.search.space.rules.experts import EXPERTS
from planner.training.search.space.rules.microbatches import (
    MICROBATCHES,
    NEEDING_SEQUENCE_PARALLELISM,
)
from planner.training.search.space.rules.offload import OFFLOADING
from planner.training.search.space.rules.recompute import RECOMPUTATION
from planner.training.search.space.rules.schedules import STAGES
from planner.training.search.space.rules.sharding import SHARDING, TRIED_GROUPS

RULES = (
    *DEGREES,
    *EXPERTS,
    *MICROBATCHES,
    *STAGES,
    *RECOMPUTATION,
    *NEEDING_SEQUENCE_PARALLELISM,
    *SHARDING,
    *OFFLOADING,
    *TRIED_GROUPS,
)
"""Every rule, in the order in which what they remove is counted."""
