"""Every rule of `planner check`: a plan on which it says nothing, and one change that makes it
speak, on a file as a user has it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner.checks.registry import rules
from tests.checks.conftest import EXPERTS, GROUP, software

if TYPE_CHECKING:
    from tests.checks.conftest import Repository


@dataclass(frozen=True, kw_only=True)
class Case:
    """`flags` make the plan (of a model with experts where `experts` is set), which passes with the
    options `before`. The rest is what changes afterwards, by file; `after` are flags of another
    plan. `line` is a part of the line that the finding points at."""

    flags: dict[str, Any]
    line: str
    experts: bool = False
    plan: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] | None = None
    before: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    related: str | None = None


TENSOR = {"tensor": 8, "pipeline": 2}
EXPERT = {"tensor": 2, "pipeline": 2, "expert": 4}

CASES = {
    "PL001": Case(flags=TENSOR, plan={"inputs.job.seq_length": 1048576}, line='"index": 0'),
    "PL002": Case(flags=TENSOR, options=("--headroom=98%",), line='"index": '),
    "PL101": Case(
        flags={"pipeline": 4},
        model={"num_layers": 6},
        options=("--software=megatron-lm-2021",),
        line='"pipeline": 4',
        related="num_layers",
    ),
    "PL102": Case(
        flags=TENSOR,
        model={"num_attention_heads": 12, "num_query_groups": 4},
        line='"tensor": 8',
        related="num_attention_heads",
    ),
    "PL103": Case(
        flags=TENSOR,
        model={"num_attention_heads": 48, "num_query_groups": 12},
        line='"tensor": 8',
        related="num_query_groups",
    ),
    "PL104": Case(
        flags=TENSOR,
        model={"ffn_hidden_size": 5636},
        line='"tensor": 8',
        related="ffn_hidden_size",
    ),
    "PL105": Case(flags={"context": 2}, plan={"inputs.job.seq_length": 2046}, line='"context": 2'),
    "PL106": Case(flags=TENSOR, options=("--software=composer-fsdp",), line='"tensor": 8'),
    "PL107": Case(flags=TENSOR, options=("--devices=8",), line='"degrees"'),
    "PL108": Case(
        flags=EXPERT,
        experts=True,
        model={"moe.num_experts": 6},
        line='"expert": 4',
        related="moe.num_experts",
    ),
    "PL109": Case(
        flags={**EXPERT, "expert": 2, "expert_tensor": 2},
        experts=True,
        model={"moe.ffn_hidden_size": 2047},
        line='"expert_tensor": 2',
        related="moe.ffn_hidden_size",
    ),
    "PL110": Case(
        flags={"pipeline": 4, "expert": 4},
        experts=True,
        plan={"plans.0.degrees.expert": 8},
        line='"expert": 8',
    ),
    "PL111": Case(
        flags={**EXPERT, "expert_tensor": 2},
        experts=True,
        model={"linear_bias": True},
        line='"expert_tensor": 2',
    ),
    "PL112": Case(
        flags=EXPERT, experts=True, options=("--software=ordered.yaml",), line='"expert": 4'
    ),
    "PL113": Case(flags=TENSOR, plan={"plans.0.micro_batch_size": 3}, line='"micro_batch_size": 3'),
    "PL114": Case(flags=TENSOR, plan={"inputs.job.seq_length": 2044}, line='"tensor": 8'),
    "PL115": Case(
        flags={"pipeline": 4, "virtual_stages": 2},
        model={"num_layers": 6},
        line='"virtual_stages": 2',
        related="num_layers",
    ),
    "PL116": Case(
        flags={"pipeline": 4, "virtual_stages": 2},
        plan={"plans.0.schedule": "1f1b"},
        line='"virtual_stages": 2',
    ),
    "PL117": Case(
        flags={"pipeline": 2, "virtual_stages": 2, "software": "megatron-core-perf"},
        options=("--software=megatron-core",),
        line='"pipeline": 2',
    ),
    "PL118": Case(
        flags={"pipeline": 4, "schedule": "1f1b-vocab-2"},
        model={"mtp_num_layers": 1},
        line='"schedule": "1f1b-vocab-2"',
        related="mtp_num_layers",
    ),
    "PL119": Case(
        flags={"pipeline": 4, "virtual_stages": 2},
        plan={"inputs.job.global_batch_size": 12, "plans.0.num_microbatches": 3},
        line='"micro_batch_size": 1',
    ),
    "PL120": Case(
        flags=TENSOR,
        plan={"plans.0.data_sharding": "optimizer+gradients"},
        options=("--software=deepspeed-3d-2021",),
        line='"data_sharding": "optimizer+gradients"',
    ),
    "PL122": Case(
        flags={**EXPERT, "recompute": "full"},
        experts=True,
        options=("--software=megatron-core-perf",),
        line='"granularity": "full"',
    ),
    "PL123": Case(
        flags={"tensor": 4, "pipeline": 4},
        plan={"inputs.job.global_batch_size": 10**6, "plans.0.num_microbatches": 10**6},
        line='"micro_batch_size": 1',
    ),
    "PL124": Case(
        flags={"software": "deepspeed"},
        model={"moe": EXPERTS},
        line='"expert": 1',
        related="moe",
    ),
    "PL125": Case(
        flags={"software": "deepspeed", "data_sharding": "full"},
        after={"software": "deepspeed", "tensor": 2},
        plan={"plans.0.data_sharding": "full"},
        line='"data_sharding"',
    ),
    "PL126": Case(
        flags={**TENSOR, "software": "megatron-core-perf"},
        plan={"plans.0.sequence_parallel": False},
        line='"sequence_parallel"',
    ),
    "PL127": Case(flags={"shard_over": 4}, plan={"plans.0.shard_over": 3}, line='"shard_over": 3'),
    "PL128": Case(
        flags={"shard_over": 4},
        plan={"plans.0.data_sharding": "none"},
        line='"shard_over": 4',
    ),
    "PL129": Case(
        flags={"optimizer_offload": 1.0},
        plan={"plans.0.data_sharding": "none"},
        line='"optimizer_offload"',
    ),
    "PL130": Case(
        flags={"software": "deepspeed", "data_sharding": "full", "optimizer_offload": 0.5},
        plan={"plans.0.data_sharding": "optimizer"},
        line='"optimizer_offload"',
    ),
    "PL131": Case(
        flags={"software": "deepspeed", "data_sharding": "full", "weight_offload": "on"},
        plan={"plans.0.data_sharding": "optimizer"},
        line='"weight_offload"',
    ),
    "PL132": Case(
        flags={"software": "torchtitan", "optimizer_offload": 1.0},
        plan={"plans.0.optimizer_offload": 0.0},
        line='"weight_offload"',
    ),
    "PL133": Case(
        flags={"activation_offload": 0.5},
        plan={"plans.0.recompute.granularity": "selective"},
        line='"activation_offload"',
    ),
    "PL134": Case(
        flags=EXPERT,
        experts=True,
        plan={"plans.0.sequence_parallel": False},
        line='"sequence_parallel"',
    ),
    "PL135": Case(
        flags={"moments": "bf16"},
        plan={"plans.0.data_sharding": "none"},
        line='"data_sharding"',
    ),
    "PL136": Case(
        flags={"context": 4, "tensor": 1, "context_heads": "4"},
        plan={"inputs.job.settings.context_heads": 3},
        line='"context"',
    ),
    "PL137": Case(
        flags={
            "software": "deepspeed",
            "data_sharding": "full",
            "optimizer_offload": 1.0,
            "offload_to": "nvme",
        },
        plan={"plans.0.data_sharding": "optimizer"},
        line='"data_sharding"',
    ),
    "PL138": Case(
        flags={"tensor": 2, "context": 2, "sequence_parallel": "off"},
        options=("--software=deepspeed",),
        line='"context": 2',
    ),
    "PL140": Case(
        flags=EXPERT,
        experts=True,
        plan={"plans.0.dispatcher": "deepep"},
        cluster={"node_groups.0.device": "mi300x"},
        line='"dispatcher": "deepep"',
        related="node_groups",
    ),
    "PL141": Case(
        flags={"expert": 8, "tensor": 1, "dispatcher": "hybridep"},
        experts=True,
        cluster={
            "node_groups.0.devices_per_node": 4,
            "node_groups.0.count": 4,
            "node_groups.0.network.kind": "efa",
        },
        line='"dispatcher": "hybridep"',
        related="node_groups",
    ),
    "PL142": Case(
        flags={**EXPERT, "dispatcher": "deepep"},
        experts=True,
        options=("--software=few_ranks.yaml",),
        line='"dispatcher": "deepep"',
    ),
    "PL143": Case(
        flags={"expert": 8, "tensor": 1, "expert_overlap": "on"},
        experts=True,
        plan={"plans.0.dispatcher": "allgather"},
        line='"expert_overlap": true',
    ),
    "PL144": Case(
        flags=EXPERT,
        experts=True,
        plan={"plans.0.expert_overlap": True},
        line='"expert_overlap": true',
    ),
    "PL145": Case(
        flags={"expert": 8, "tensor": 1, "recompute": "full"},
        experts=True,
        plan={"plans.0.expert_overlap": True},
        line='"expert_overlap": true',
    ),
    "PL146": Case(
        flags=EXPERT,
        experts=True,
        plan={"plans.0.dispatcher": "allgather", "plans.0.dispatch_pieces": 2},
        line='"dispatch_pieces": 2',
    ),
    "PL147": Case(
        flags=EXPERT,
        experts=True,
        plan={"plans.0.dispatch_pieces": 3},
        line='"dispatch_pieces": 3',
    ),
    "PL201": Case(
        flags=TENSOR,
        cluster={"node_groups.0.count": 1},
        line='"degrees"',
        related="node_groups",
    ),
    "PL202": Case(flags=TENSOR, plan={"plans.0.num_microbatches": 7}, line='"num_microbatches": 7'),
    "PL203": Case(
        flags=TENSOR, plan={"plans.0.placement.order": "tp-pp-dp"}, line='"order": "tp-pp-dp"'
    ),
    "PL204": Case(
        flags=TENSOR, plan={"plans.0.data_sharding": "full"}, line='"data_sharding": "full"'
    ),
    "PL205": Case(flags=TENSOR, model={"num_layers": 9}, line='"stages"', related="num_layers"),
    "PL206": Case(
        flags={**TENSOR, "recompute": "full"},
        plan={"plans.0.recompute.layers_per_stage": [1, 2]},
        line='"layers_per_stage"',
    ),
    "PL207": Case(
        flags=TENSOR, plan={"plans.0.placement.hosts": ["a100-0", "a100-9"]}, line='"hosts"'
    ),
    "PL208": Case(
        flags=TENSOR,
        plan={"inputs.job.precision": "fp8"},
        line='"precision": "fp8"',
        related="node_groups[0].device",
    ),
    "PL210": Case(flags=TENSOR, model={"norm_bias": False}, line='"sha256"'),
    "PL211": Case(
        flags=TENSOR,
        cluster={"node_groups.0.intra_node.bandwidth": "600 GB/s"},
        line='"placement"',
        related="node_groups",
    ),
    "PL301": Case(
        flags=TENSOR,
        before=("--within-of-best=9000%",),
        options=("--within-of-best=1%",),
        line='"degrees"',
    ),
    "PL302": Case(
        flags={"pipeline": 2, "stage_layers": "6,2"},
        before=("--max-imbalance=900%",),
        line='"index": 0',
    ),
    "PL303": Case(
        flags={"tensor": 8},
        after={"tensor": 16},
        line='"tensor": 16',
        related="node_groups[0].network",
    ),
    "PL304": Case(flags=TENSOR, plan={"inputs.job.precision": "fp32"}, line='"precision": "fp32"'),
    "PL305": Case(
        flags=TENSOR,
        model={"num_attention_heads": 32, "num_query_groups": 32, "head_dim": 60},
        line='"tensor": 8',
        related="num_attention_heads",
    ),
    "PL901": Case(flags=TENSOR, plan={"plans.0.degrees.tensor": "8"}, line='"tensor": "8"'),
}
_FEW_RANKS = {
    "ranks": [2],
    "calls": 2,
    "dispatch_launch": {"value": "1 us", "basis": "default", "source": "a test"},
    "multiprocessors": {"value": 20, "basis": "default", "source": "a test"},
}
SERVING = {"PL501", "PL502", "PL503", "PL504", "PL505"}
"""Rules for serving plans, which `tests/cli/test_check_serving.py` tests through the command."""
ELSEWHERE = {"PL003", "PL121", "PL401", "PL402", *SERVING}
"""Rules with tests of their own below, in `test_baseline` or in `test_launch_files`."""


def _write_profiles(repository: Repository) -> None:
    """Software profiles that cases name."""
    software("megatron-core", "ordered.yaml", {"rank_order": "tp-cp-ep-pp-dp"}, repository)
    few = {"dispatcher": "deepep", "dispatchers": {"deepep": _FEW_RANKS}}
    software("megatron-core", "few_ranks.yaml", {"expert": few}, repository)


def test_every_rule_is_tested() -> None:
    assert {*CASES, *ELSEWHERE} == set(rules())


@pytest.mark.parametrize("code", CASES)
def test_a_rule_speaks_after_the_change_and_not_before(repository: Repository, code: str) -> None:
    case = CASES[code]
    if case.experts:
        repository.edit("model.yaml", {"moe": EXPERTS})
    _write_profiles(repository)
    repository.plan("plan.json", **case.flags)
    assert code not in repository.codes("plan.json", *case.before)
    if case.after is not None:
        repository.plan("plan.json", **case.after)
    for file, changes in (
        ("plan.json", case.plan),
        ("model.yaml", case.model),
        ("cluster.yaml", case.cluster),
    ):
        if changes:
            repository.edit(file, changes)
    _indent("plan.json")
    found = [one for one in repository.findings("plan.json", *case.options) if one["code"] == code]
    assert len(found) == 1
    pointed = Path(found[0]["path"]).read_text().splitlines()[found[0]["line"] - 1]
    assert case.line in pointed
    assert found[0]["message"]
    if case.related is not None:
        related = {one["what"]: one for one in found[0]["related"]}
        place = related[case.related]
        key = case.related.rpartition(".")[2]
        line = Path(place["path"]).read_text().splitlines()[place["line"] - 1]
        assert line[place["column"] - 1 :].startswith(key)


def _indent(path: str) -> None:
    """Every value on a line of its own, so that a line says which value is meant."""
    document = json.loads(Path(path).read_text())
    Path(path).write_text(_shown(document, ""), encoding="utf-8")


def _shown(value: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, dict) and "index" not in value:
        items = (f"{inner}{json.dumps(key)}: {_shown(one, inner)}" for key, one in value.items())
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(inner + _shown(one, inner) for one in value) + f"\n{indent}]"
    return json.dumps(value)


def test_valid_plans_have_no_findings(repository: Repository) -> None:
    repository.plan("plan.json", tensor=8, pipeline=2)
    outcome = repository.check("plan.json")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith("ok: plan.json#1: t8 p2 d1 fits (")


def test_a_tight_fit_is_a_warning(repository: Repository) -> None:
    """Between the headroom that the estimate leaves and the one that its range leaves."""
    repository.plan("plan.json", tensor=8, pipeline=2)
    [plan] = json.loads(repository.check("plan.json", "--json").stdout)["plans"]
    high = plan["confidence"]["memory_peak_bytes"]["high"]
    assert high > plan["peak_bytes"]
    between = 1 - (plan["peak_bytes"] + high) / 2 / plan["capacity_bytes"]
    outcome = repository.check("plan.json", f"--headroom={between:.6f}", "--format=concise")
    assert outcome.code == 0
    assert "PL003 warning: fits, tight: stage 0 needs" in outcome.stdout
    strict = repository.check("plan.json", f"--headroom={between:.6f}", "--strict")
    assert strict.code == 1
    above = 1 - 1.02 * high / plan["capacity_bytes"]
    assert repository.codes("plan.json", f"--headroom={above:.6f}") == set()


def test_a_plan_that_only_perhaps_does_not_fit_says_so(repository: Repository) -> None:
    """Just above the capacity the range of the estimate begins below it; far above, it does not."""
    repository.plan("plan.json", tensor=8, pipeline=2)

    def message(length: int) -> str | None:
        repository.edit("plan.json", {"inputs.job.seq_length": length})
        found = repository.findings("plan.json", "--select=PL001")
        return found[0]["message"] if found else None

    fits, does_not = 2**11, 2**21
    far = message(does_not)
    assert far is not None
    assert "which would fit" not in far
    while does_not - fits > 1024:
        length = (fits + does_not) // 2048 * 1024
        if message(length) is None:
            fits = length
        else:
            does_not = length
    near = message(does_not)
    assert near is not None
    assert near.endswith(" GiB, which would fit")


def test_one_change_may_break_several_rules(repository: Repository) -> None:
    repository.plan("plan.json", tensor=8, pipeline=2)
    repository.edit(
        "model.yaml", {"num_attention_heads": 12, "num_query_groups": 12, "ffn_hidden_size": 5636}
    )
    assert repository.codes("plan.json") == {"PL102", "PL104", "PL210"}


def test_a_cluster_that_is_too_small_hides_no_other_problem(repository: Repository) -> None:
    repository.plan("plan.json", tensor=8, pipeline=2)
    repository.edit("plan.json", {"plans.0.degrees.tensor": 24})
    assert repository.codes("plan.json") == {"PL102", "PL104", "PL114", "PL201"}


def test_inside_a_scale_up_domain_no_link_is_slow(repository: Repository) -> None:
    domain = {"nodes": 2, "bandwidth": "300 GB/s"}
    repository.edit("cluster.yaml", {"node_groups.0.scale_up": domain})
    repository.plan("plan.json", tensor=16)
    assert "PL303" not in repository.codes("plan.json")


def test_a_slow_link_is_described(repository: Repository) -> None:
    repository.plan("plan.json", tensor=16)
    [found] = [one for one in repository.findings("plan.json") if one["code"] == "PL303"]
    assert found["message"].startswith("tensor groups of 16 span 2 nodes: ")
    assert found["hint"] == "8 devices of a group share a fast fabric"
    assert found["related"][0]["path"] == "cluster.yaml"


@pytest.mark.parametrize("kind", ["cluster", "model"])
def test_another_file_of_another_name_is_stale(repository: Repository, kind: str) -> None:
    repository.plan("plan.json", tensor=8, pipeline=2)
    repository.edit(f"{kind}.yaml", {"name": "another"})
    [found] = repository.findings("plan.json")
    was = {"cluster": "cluster", "model": "ours"}[kind]
    assert found["code"] == "PL210"
    assert found["message"] == f"the plan was made for {kind} {was}, not another"


def test_a_stale_plan_says_what_it_is_for(repository: Repository) -> None:
    repository.plan("plan.json", tensor=8, pipeline=2)
    changes = {"training.global_batch_size": 128, "seq_length": 4096}
    repository.edit("model.yaml", changes)
    [found] = repository.findings("plan.json")
    assert found["message"].endswith(
        " now); the file says global_batch_size 128, and the plan is for 64; seq_length 4096, and "
        "the plan is for 2048"
    )


def test_a_changed_matrix_or_device_makes_a_plan_stale(repository: Repository) -> None:
    repository.write("cluster.yaml", {"name": "cluster", "node_groups": [GROUP]})
    Path("bandwidth.csv").write_text("GB/s,n0,n1\nn0,0,190\nn1,190,0\n", encoding="utf-8")
    repository.edit("cluster.yaml", {"links": {"matrix": "bandwidth.csv"}})
    repository.plan("plan.json", tensor=8, pipeline=2)
    assert repository.codes("plan.json") == set()
    Path("bandwidth.csv").write_text("GB/s,n0,n1\nn0,0,90\nn1,90,0\n", encoding="utf-8")
    [found] = repository.findings("plan.json")
    assert found["code"] == "PL210"
    assert found["message"].startswith(
        "cluster cluster (its file, a device file or its matrix) has changed since the plan"
    )


def test_the_best_plan_passes_the_search(repository: Repository) -> None:
    found = repository.planner(
        "search", "--cluster=cluster.yaml", "--model=model.yaml", "--top=1", "--json"
    )
    Path("best.json").write_text(found.stdout, encoding="utf-8")
    outcome = repository.check("best.json", "--within-of-best=0%", "--select=PL301")
    assert (outcome.code, "nothing better found" in outcome.stdout) == (0, True)


def test_a_rule_that_blocks_the_estimate_cannot_hide_a_plan(repository: Repository) -> None:
    repository.plan("plan.json", tensor=8, pipeline=2)
    repository.edit("model.yaml", {"num_attention_heads": 12, "num_query_groups": 4})
    for options in (("--ignore=PL102,PL210",), ("--select=PL0",), ("--select=does-not-fit",)):
        outcome = repository.check("plan.json", *options, "--format=concise")
        assert outcome.code == 1
        assert "PL102 error: the tensor degree must divide the 12 attention heads" in outcome.stdout
    assert repository.codes("plan.json", "--select=PL2") == {"PL210"}


@pytest.mark.parametrize("code", [code for code, rule in rules().items() if rule.estimated])
def test_what_only_a_framework_refuses_can_be_left_out(repository: Repository, code: str) -> None:
    """The plan is estimated then, and what else is wrong with it still counts."""
    if code in ELSEWHERE:
        pytest.skip("of launch files")
    case = CASES[code]
    if case.experts:
        repository.edit("model.yaml", {"moe": EXPERTS})
    _write_profiles(repository)
    repository.plan("plan.json", **case.flags)
    repository.edit("plan.json", case.plan)
    repository.edit("model.yaml", case.model)
    others = {rule for rule, one in rules().items() if one.estimated}
    options = (*case.options, f"--ignore=PL210,{','.join(others)}")
    [plan] = json.loads(repository.check("plan.json", *options, "--json").stdout)["plans"]
    assert plan["step_s"] > 0
    assert plan["passed"] is True
