"""What a checkpoint holds. Sizes are bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.formats import master_weight_bytes, moment_bytes, weight_bytes
from planner.workload.parameters import mtp_parameters, total_parameters

if TYPE_CHECKING:
    from planner.training.scenario import Scenario


def checkpoint_bytes(scenario: Scenario, data_sharding: str) -> int:
    """One copy of weights and optimizer states, however many replicas hold them. Mixed precision
    with Adam: 2 + 4 + 8 bytes a parameter (BLOOM's 2.3 TB are 13 for each of 176 billion: Le Scao
    et al. 2022, section 3.2.2). Fully sharded, the fp32 weights are often the only ones."""
    model, job = scenario.model, scenario.job
    parameters = total_parameters(model, seq_length=job.seq_length)
    if model.mtp_num_layers:
        parameters += model.mtp_num_layers * mtp_parameters(model).total
    master = master_weight_bytes(job.software, job.precision)
    weights = weight_bytes(job.precision)
    only_master = (
        data_sharding == "full"
        and master >= 4
        and not job.software.full_sharding.keeps_sixteen_bits
    )
    each = (0 if only_master else weights) + master + moment_bytes(job.software, job.optimizer)
    return int(parameters * each)
