"""Launch scripts and DeepSpeed configurations in place of a plan."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from planner.errors import InputError, RuleError
from planner.exporters.accelerate import as_config
from planner.exporters.deepspeed import as_json
from planner.exporters.errors import Inexpressible
from planner.exporters.job import export_job
from planner.exporters.megatron.arguments import as_arguments
from planner.importers.launch import LaunchedPlan, read_launch
from planner.importers.launch_file import is_launch
from planner.importers.launch_options import LaunchOptions
from planner.specs.load import load_cluster, load_model
from planner.training.estimate import estimate
from planner.training.search.space.restrictions import Restrictions
from tests.every_instance import instances
from tests.exporters.conftest import Jobs

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

GPT = (
    "torchrun --nnodes 2 --nproc-per-node 8 pretrain_gpt.py \\\n"
    "  --num-layers 24 --hidden-size 1024 --num-attention-heads 16 \\\n"
    "  --seq-length 2048 --max-position-embeddings 2048 --vocab-size 51200 \\\n"
    "  --micro-batch-size 4 --global-batch-size 64 --bf16 \\\n"
)
ZERO = {"train_micro_batch_size_per_gpu": 2, "bf16": {"enabled": True}}


@pytest.fixture(scope="session")
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """`read(text, cluster, model, **asked)` reads a file with that text."""

    def call(
        text: str | dict[str, Any],
        cluster: str = "dgx-a100-16",
        model: str | None = None,
        **asked: Any,
    ) -> LaunchedPlan:
        path = tmp_path / ("train.sh" if isinstance(text, str) else "ds.json")
        path.write_text(text if isinstance(text, str) else json.dumps(text, indent=1))
        given_model = None if model is None else load_model(model)
        launched = read_launch(
            str(path), load_cluster(cluster), given_model, LaunchOptions(**asked)
        )
        launched.check()
        return launched

    return call


def test_flags_of_the_first_3d_parallelism(read: Any) -> None:
    """Megatron-LM 1.1.5 with DeepSpeed's pipeline (DeepSpeedExamples): names of its own for the
    pipeline degree, the microbatch and how many of them make a step."""
    old = (
        GPT.replace("--micro-batch-size 4 --global-batch-size 64 --bf16", "--batch-size 4 --fp16")
        + "--model-parallel-size 2 --pipe-parallel-size 4 --gas 8\n"
    )
    launched = read(old)
    degrees = launched.plan.degrees
    assert (degrees.tensor, degrees.pipeline, degrees.data) == (2, 4, 2)
    assert (launched.plan.micro_batch_size, launched.plan.num_microbatches) == (4, 8)
    assert launched.scenario.job.global_batch_size == 64
    assert any("8 microbatches (--gas) of every" in one for one in launched.notes.assumed)


def test_sequences_split_by_deepspeed_are_contexts(read: Any) -> None:
    """--ds-sequence-parallel-size of Megatron-DeepSpeed takes replicas away; its profile of 2022
    has no such axis."""
    with pytest.raises(RuleError, match="no context parallelism"):
        read(GPT + "--deepspeed --ds-sequence-parallel-size 4\n")
    assert read(GPT + "--deepspeed --ds-sequence-parallel-size 1\n").plan.degrees.data == 16


def test_a_published_script_is_a_plan(data: Path) -> None:
    """Megatron-LM's example of GPT-3 on 1,024 A100 (examples/gpt3): its degrees, layers and
    devices, and an estimate with the fp16 gradients that it trains with."""
    launched = read_launch(str(data / "gpt3_175b.sh"), load_cluster("dgx-a100-128"))
    plan, job = launched.plan, launched.scenario.job
    assert (plan.degrees.tensor, plan.degrees.pipeline, plan.degrees.data) == (8, 16, 8)
    assert [stage.num_layers for stage in plan.stages] == [6] * 16
    assert (plan.num_microbatches, plan.data_sharding, plan.sequence_parallel) == (
        192,
        "none",
        False,
    )
    assert (job.devices, job.global_batch_size, job.seq_length) == (1024, 1536, 2048)
    assert launched.scenario.model.hidden_size == 12288
    cost = estimate(launched.scenario, plan)
    assert cost.memory.fits
    assert (launched.place("degrees.tensor").line, launched.place("degrees.tensor").column) == (
        27,
        31,
    )


KINDS: tuple[tuple[Any, ...], ...] = (
    ("dgx-h100-16", "llama-3-70b", "megatron-core", 4, ()),
    ("dgx-h100-16", "llama-3-8b", "megatron-core-perf", 4, ()),
    ("dgx-a100-16", "gpt3-175b", "megatron-core", 4, (("overlap", ("pipeline",)),)),
    ("dgx-h100-16", "mixtral-8x7b", "megatron-core", 4, ()),
    ("dgx-h100-16", "gpt-oss-120b", "megatron-core", 4, ()),
    ("gb200-nvl72-18", "deepseek-v3", "megatron-core-perf", 16, ()),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_exported_is_launched_as_planned(
    jobs: Jobs, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Plan, step time and memory of a launch script are those of the plan it was exported from."""
    job = jobs.draw(data, KINDS)
    try:
        text = as_arguments(job)
    except Inexpressible:
        assume(False)
    launched = _launch(text, job, tmp_path_factory.mktemp("launch") / "train.sh")
    launched.check()
    assert launched.plan == job.plan
    before, after = _price(job), estimate(launched.scenario, launched.plan)
    assert after.memory == before.memory
    assert after.time == before.time


def _launch(text: str, job: ExportJob, path: Path) -> LaunchedPlan:
    flags = [line for line in text.splitlines() if not line.startswith("#")]
    path.write_text("\n".join(["torchrun pretrain_gpt.py \\", *flags]) + "\n")
    asked = LaunchOptions(
        devices=job.job.devices, software=job.software.name, hosts=job.plan.placement.hosts
    )
    return read_launch(str(path), job.cluster, None, asked)


def _price(job: ExportJob) -> Any:
    from planner.training.scenario import build_scenario

    return estimate(build_scenario(job.cluster, job.model, job.job), job.plan)


@pytest.mark.parametrize(
    ("flags", "rule", "line", "says"),
    [
        ("--tensor-model-parallel-size 3", "world", 5, "does not divide the 16 devices"),
        ("--tensor-model-parallel-size 32", "world", 5, "nearest products that do: 16"),
        ("--nproc-per-node 12 --tensor-model-parallel-size 3", "heads", 5, "16 attention heads"),
        ("--pipeline-model-parallel-size 16", "layers", 2, "24 layers are not 16 equal chunks"),
        ("--tensor-model-parallel-size 8 --fp16", "flags", 5, "--bf16 is given too"),
        ("--expert-model-parallel-size 4", "experts", 5, "number of experts (0)"),
        ("--context-parallel-size 16 --seq-length 100", "cp", 5, "sequence length 100"),
        ("--micro-batch-size 5", "batch", 5, "found data 16, micro-batch-size 5"),
        ("--seq-length 4096", "posemb", 3, "2048 is below --seq-length 4096"),
        ("--recompute-granularity full", "recompute", 5, "full needs --recompute-method"),
        (
            "--recompute-granularity selective --recompute-num-layers 1",
            "recompute",
            5,
            "is for full recomputation",
        ),
        ("--overlap-param-gather", "overlap", 5, "needs --use-distributed-optimizer"),
        (
            "--use-distributed-optimizer --overlap-param-gather",
            "overlap",
            5,
            "needs --overlap-grad-reduce",
        ),
        ("--optimizer-cpu-offload", "flags", 5, "needs --use-precision-aware-optimizer"),
        (
            "--use-torch-fsdp2 --no-gradient-accumulation-fusion --pipeline-model-parallel-size 2",
            "fsdp2",
            5,
            "a pipeline exclude",
        ),
        (
            "--num-experts 8 --tensor-model-parallel-size 2 --disable-bias-linear",
            "sp",
            5,
            "under --sequence-parallel only",
        ),
        (
            "--recompute-granularity full --recompute-method uniform --recompute-num-layers 1 "
            "--cuda-graph-impl transformer_engine",
            "graphs",
            5,
            "that needs full_iteration",
        ),
    ],
)
def test_what_the_framework_refuses_is_said_at_the_flag(
    read: Any, flags: str, rule: str, line: int, says: str
) -> None:
    with pytest.raises(RuleError) as caught:
        read(f"{GPT}  {flags}\n")
    error = caught.value
    assert (error.rule, error.line) == (rule, line)
    assert str(error).startswith(f"{error.path}:{line}:{error.column}: {rule}: ")
    assert says in str(error)


def test_a_model_given_beside_a_script_must_be_the_same(read: Any, data: Path) -> None:
    cluster = load_cluster("dgx-a100-128")
    launched = read_launch(str(data / "gpt3_175b.sh"), cluster, load_model("gpt3-175b"))
    assert launched.scenario.model.name == "gpt3-175b"
    assert launched.scenario.model.training.global_batch_size == 1536
    with pytest.raises(InputError) as caught:
        read(GPT, model="gpt-1.7b")
    assert [(one.line, one.message) for one in caught.value.problems] == [
        (2, "hidden_size 1024 here, 2304 in model gpt-1.7b"),
        (2, "num_attention_heads 16 here, 24 in model gpt-1.7b"),
        (1, "head_dim 64 here, 96 in model gpt-1.7b"),
        (1, "ffn_hidden_size 4096 here, 9216 in model gpt-1.7b"),
    ]


def test_the_model_given_says_the_vocabulary_that_only_a_tokenizer_knows(read: Any) -> None:
    text = (
        "torchrun pretrain_gpt.py --num-layers 32 --hidden-size 4096 --num-attention-heads 32 "
        "--ffn-hidden-size 14336 --swiglu --group-query-attention --num-query-groups 8 "
        "--untie-embeddings-and-output-weights --disable-bias-linear --normalization RMSNorm "
        "--position-embedding-type rope --seq-length 8192 --max-position-embeddings 8192 "
        "--micro-batch-size 1 --global-batch-size 128 --bf16 --use-distributed-optimizer "
        "--tokenizer-type HuggingFaceTokenizer --tokenizer-model /models/ours\n"
    )
    launched = read(text, model="llama-3-8b")
    assert launched.scenario.model.vocab_size == 128256
    assert launched.scenario.job.devices == 128
    with pytest.raises(InputError, match="vocabulary's size is not stated"):
        read(text)
    assert read(text, vocabulary=1000).scenario.model.vocab_size == 1000


def test_options_fill_in_and_may_not_contradict(read: Any) -> None:
    text = GPT.replace("--nnodes 2 ", "--nnodes $NNODES ").replace("--global-batch-size 64 ", "")
    launched = read(text, nodes=4, global_batch_size=256)
    assert (launched.scenario.job.devices, launched.plan.num_microbatches) == (32, 2)
    assert read(text, variables={"NNODES": "3"}).scenario.job.devices == 24
    followed = read(text, nodes=4)
    assert followed.scenario.job.global_batch_size == 4 * 32
    assert "global batch size 128: a microbatch of every replica" in followed.notes.assumed
    with pytest.raises(InputError) as caught:
        read(GPT, seq_length=4096)
    assert str(caught.value).partition("train.sh")[2] == (
        ":3:16: seq-length 2048 is stated here, --seq-length 4096 is asked for; options fill in "
        "what the file leaves open; change the file, or leave out the option"
    )
    asked = Restrictions(tensor=(2,))
    with pytest.raises(InputError, match="tensor 1 is stated here, --tensor 2 is asked for"):
        read(GPT, decisions=asked)
    full = "--bf16 --recompute-granularity full --recompute-method block --recompute-num-layers 4"
    text = GPT.replace("--bf16", full)
    assert read(text, recompute_layers=4).plan.recompute.layers_per_stage == (4,)
    with pytest.raises(InputError, match="recompute-layers 4 is stated here, --recompute-layers 3"):
        read(text, recompute_layers=3)


HEADER = "#!/bin/bash\n#SBATCH --nodes=4\n#SBATCH --gpus-per-node=8\n"


@pytest.mark.parametrize(
    ("header", "nodes", "devices", "source"),
    [
        (HEADER, "$SLURM_NNODES", 32, "the launcher's flags"),
        (HEADER, "$SLURM_JOB_NUM_NODES", 32, "the launcher's flags"),
        (HEADER, "$HOW_MANY", 32, "the #SBATCH lines"),
        ("#!/bin/bash\n#SBATCH --gpus-per-node=8\n", "$HOW_MANY", 128, ""),
        ("", "$HOW_MANY", 128, ""),
        ("", "4", 32, "the launcher's flags"),
    ],
)
def test_a_number_of_nodes_that_nothing_says_is_never_one(
    read: Any, header: str, nodes: str, devices: int, source: str
) -> None:
    text = GPT.replace("--nnodes 2", f"--nnodes {nodes}").replace("--global-batch-size 64 ", "")
    launched = read(header + text)
    assert launched.scenario.job.devices == devices
    notes = [*launched.notes.read, *launched.notes.assumed]
    said = f"{devices} devices from {source}" if source else "all 128 devices of dgx-a100-16"
    assert any(clause.startswith(said) for clause in notes)


def test_what_a_script_says_and_a_plan_cannot_is_noted(read: Any) -> None:
    launched = read(
        GPT + "--fine-grained-activation-offloading --offload-modules attn_norm "
        "fused_group_mlp --use-transformer-engine-op-fuser --use-precision-aware-optimizer "
        "--use-distributed-optimizer --made-up-flag 3 --made-up-flag 4 "
        "--exp-avg-dtype bf16 --exp-avg-sq-dtype fp8 --recompute-granularity selective "
        "--recompute-modules core_attn gdn --main-grads-dtype bf16 "
        "--tensor-parallel-num-weight-shards 2\n"
    )
    left_out = "\n".join(launched.notes.left_out)
    for said in (
        "--offload-modules fused_group_mlp",
        "--tensor-parallel-num-weight-shards",
        "--recompute-modules gdn",
    ):
        assert said in left_out
    assert left_out.count("--made-up-flag") == 1 + left_out.count("--made-up-flag on line 5, --")


def test_switches_of_a_script_reach_the_estimate(read: Any) -> None:
    plain = read(GPT)
    cost = estimate(plain.scenario, plain.plan)
    changed = {
        "--use-distributed-optimizer": "memory",
        "--attention-backend unfused": "memory",
        "--grad-reduce-in-bf16": "memory",
        "--no-bias-dropout-fusion": "time",
        "--cross-entropy-loss-fusion": "time",
        "--overlap-grad-reduce": "time",
    }
    for flag, part in changed.items():
        other = read(f"{GPT} {flag}\n")
        assert getattr(estimate(other.scenario, other.plan), part) != getattr(cost, part), flag
    assert plain.scenario.job.software.overlap == ("pipeline",)
    said = [clause for clause in plain.scenario.job.assumptions if clause.startswith("software")]
    assert said == [
        "software: megatron-core as train.sh switches it: fused.cross_entropy off, overlap pipeline"
    ]


def test_a_switched_profile_is_not_the_shipped_one(read: Any) -> None:
    from planner.plan_document import record_inputs
    from planner.specs.load import load_software

    scenario = read(GPT).scenario
    recorded = record_inputs(scenario.cluster, scenario.model, scenario.job)
    shipped = load_software("megatron-core").source_file
    assert shipped is not None
    assert recorded.job.software == "megatron-core"
    assert recorded.job.software_sha256 not in (None, shipped.sha256)
    assert recorded.model.sha256 is not None


# --- DeepSpeed


def test_an_exported_configuration_reads_back(jobs: Jobs, read: Any) -> None:
    job = jobs.make("dgx-a100-16", "gpt-7.5b", tensor=2, pipeline=4, micro_batch_size=2,
                    recompute="full", sequence_parallel=False)  # fmt: skip
    document = json.loads(as_json(job))
    launched = read(
        document,
        model="gpt-7.5b",
        software="megatron-core",
        decisions=Restrictions(tensor=(2,)),
    )
    assert launched.plan == job.plan
    assert launched.scenario.job.global_batch_size == job.job.global_batch_size
    assert estimate(launched.scenario, launched.plan).memory == _price(job).memory


def test_a_configuration_needs_a_model_and_says_what_it_assumed(read: Any) -> None:
    with pytest.raises(InputError, match="does not say which model; give --model"):
        read(ZERO)
    launched = read(ZERO, model="llama-3-8b", global_batch_size=256, nodes=4)
    for axis in ("tensor", "pipeline", "context", "recompute"):
        assert any(clause.startswith(f"{axis} ") for clause in launched.notes.assumed)
    assert launched.plan.num_microbatches == 4


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    micro=st.sampled_from([1, 2, 4]),
    steps=st.integers(1, 6),
    known=st.sets(st.sampled_from(["batch", "micro", "steps"])),
)
def test_batch_sizes_complete_each_other(
    tmp_path_factory: pytest.TempPathFactory, micro: int, steps: int, known: set[str]
) -> None:
    """train_batch_size = micro-batch · accumulation steps · replicas, whichever are given; what
    nothing says is 1 (DeepSpeed `runtime/config.py`, _set_batch_related_parameters)."""
    replicas = 16
    keys = {
        "batch": ("train_batch_size", micro * steps * replicas),
        "micro": ("train_micro_batch_size_per_gpu", micro),
        "steps": ("gradient_accumulation_steps", steps),
    }
    document: dict[str, Any] = {"bf16": {"enabled": True}, "zero_optimization": {"stage": 1}}
    document |= dict(keys[name] for name in known)
    path = tmp_path_factory.mktemp("ds") / "ds.json"
    path.write_text(json.dumps(document))
    asked = LaunchOptions(nodes=2)
    launched = read_launch(str(path), load_cluster("dgx-a100-16"), load_model("gpt-7.5b"), asked)
    batch = launched.scenario.job.global_batch_size
    assert batch == launched.plan.micro_batch_size * launched.plan.num_microbatches * replicas
    if "batch" in known:
        assert batch == micro * steps * replicas
    if "micro" in known:
        assert launched.plan.micro_batch_size == micro
    if "steps" in known:
        assert launched.plan.num_microbatches == steps
    if known == {"batch"}:
        assert launched.plan.num_microbatches == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"zero_optimization": {"stage": 4}}, "zero_optimization.stage: expected a whole number"),
        ({"fp16": {"enabled": True}}, "fp16 and bf16 are both enabled"),
        ({"bf16": {"enabled": 1}}, "expected true or false"),
        ({"zero_optimization": 3}, "expected a mapping"),
        ({"communication_data_type": "int8"}, "expected one of fp32, fp16"),
        ({"train_batch_size": 17}, "train_batch_size 17 is not 2 sequences"),
        (
            {"zero_optimization": {"stage": 2}, "pipeline": {"stages": 2}},
            "sharded-pipeline: deepspeed shards gradients and weights only without a pipeline",
        ),
    ],
)
def test_wrong_configurations_are_refused_with_their_line(
    read: Any, change: dict[str, Any], says: str
) -> None:
    with pytest.raises((InputError, RuleError), match=re.escape(says)) as caught:
        read({"gradient_accumulation_steps": 2, **ZERO, **change}, model="gpt-7.5b", nodes=2)
    error = caught.value
    assert isinstance(error, InputError | RuleError)
    assert error.line is not None


def test_what_a_configuration_says_and_a_plan_cannot_is_noted(read: Any) -> None:
    launched = read(
        {
            **ZERO,
            "gradient_clipping": 1.0,
            "gradient_accumulation_steps": "auto",
            "zero_optimisation": {},
            "activation_checkpointing": {"partition_activations": True},
            "zero_optimization": {
                "stage": 3,
                "offload_optimizer": {"device": "cpu"},
                "offload_param": {"device": "none"},
                "zero_quantized_weights": True,
            },
        },
        model="llama-3-8b",
    )
    left_out = "\n".join(launched.notes.left_out)
    assert launched.plan.optimizer_offload == 1.0
    assert not launched.plan.weight_offload
    assert "zero_quantized_weights" in left_out
    assert "activation_checkpointing" in left_out
    assert "zero_optimisation (did you mean" in left_out
    assert '"auto", which the training program fills in: gradient_accumulation_steps' in left_out
    assert "offload_param" not in left_out
    assert "gradient_clipping" not in left_out
    assert launched.plan.data_sharding == "full"
    assert launched.scenario.job.software.overlap == ("gradient_reduce", "parameter_gather")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_automatic_values_are_for_options_to_fill_in(read: Any, precision: str) -> None:
    """As for a configuration that states them: the types of gradients follow the precision."""
    stage = {"zero_optimization": {"stage": 2}}
    automatic = {
        "train_micro_batch_size_per_gpu": "auto",
        precision: {"enabled": "auto"},
        **stage,
    }
    chosen = read(
        automatic,
        model="gpt-1.7b",
        precision=precision,
        global_batch_size=256,
        decisions=Restrictions(micro_batch_size=(2,)),
    )
    stated = {"train_micro_batch_size_per_gpu": 2, precision: {"enabled": True}, **stage}
    same = read(stated, model="gpt-1.7b", global_batch_size=256)
    assert chosen.plan == same.plan
    assert chosen.scenario.job.software == same.scenario.job.software
    assert chosen.scenario.job.software.gradient_dtype == precision
    twice = Restrictions(micro_batch_size=(4,))
    with pytest.raises(InputError, match=r"ds.json:\d+:\d+: micro-batch-size 2 is stated here"):
        read(stated, model="gpt-1.7b", decisions=twice)
    with pytest.raises(InputError, match="precision fp32 is stated here, --precision bf16"):
        read({**stage, "train_batch_size": 256}, model="gpt-1.7b", precision="bf16")


def test_stages_of_zero_hold_less_and_less(read: Any) -> None:
    """ZeRO's stages hold what the paper says (Rajbhandari et al. 2020, figure 1): on 128 devices
    stage 3 keeps a 128th of 2 + 2 + 12 bytes per parameter."""
    model = load_model("llama-3-8b")
    held = []
    for stage in range(4):
        launched = read({**ZERO, "zero_optimization": {"stage": stage}}, model="llama-3-8b")
        parts = estimate(launched.scenario, launched.plan).memory.per_stage[0].components
        held.append(parts.weights + parts.gradients + parts.optimizer)
    assert held[0] >= held[1] > held[2] > held[3]
    assert held[3] < held[1] / 8
    assert model.num_layers == 32


# --- Telling files apart, and damage


def test_files_are_told_apart(tmp_path: Path) -> None:
    for text, launch in (
        ('{"schema": "planner/plans/1", "plans": []}', False),
        ('{"zero_optimization": {}}', True),
        ('{"anything": 1}', False),
        ("#!/bin/bash\n", True),
        ("", False),
    ):
        path = tmp_path / "file"
        path.write_text(text)
        assert is_launch(str(path)) == launch
    assert not is_launch(str(tmp_path / "missing"))
    assert not is_launch(str(tmp_path))


def test_a_file_of_arguments(read: Any) -> None:
    """The form of Megatron-LM's functional tests: true is a switch, false leaves a flag out."""
    flags = dict(re.findall(r"(--\S+) (\d+)", GPT.partition("pretrain_gpt.py")[2]))
    text = "MODEL_ARGS:\n" + "".join(f"  {flag}: {value}\n" for flag, value in flags.items())
    extra = "  --bf16: true\n  --sequence-parallel: false\n  --recompute-granularity: selective\n"
    modules = "  --recompute-modules: [core_attn, layernorm]\n"
    launched = read(text + extra + modules, nodes=2)
    assert launched.plan == read(GPT + "--recompute-granularity selective").plan
    software = launched.scenario.job.software
    assert software.recompute.selective_modules == ("core_attn", "layernorm")
    with pytest.raises(InputError, match=r"train.sh:10:11: MODEL_ARGS.--bf16: expected a value"):
        read(text + "  --bf16: {a: 1}\n", nodes=2)


@settings(max_examples=instances(50, 150), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_is_an_error_or_a_result(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut, doubled and garbled launch files never end in a traceback."""
    whole = data.draw(
        st.sampled_from(
            [
                GPT + "--tensor-model-parallel-size 2 --use-distributed-optimizer\n",
                json.dumps({**ZERO, "zero_optimization": {"stage": 1}, "train_batch_size": 256}),
                "ENV_VARS:\n  A: '1'\nMODEL_ARGS:\n"
                + "".join(
                    f"  {flag}: {value}\n" for flag, value in re.findall(r"(--\S+) (\d+)", GPT)
                ),
            ]
        )
    )
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    garbage = data.draw(st.text(max_size=12))
    path = tmp_path_factory.mktemp("damaged") / "file"
    path.write_text(whole[:start] + garbage + whole[end:], encoding="utf-8", errors="replace")
    model = load_model("gpt-7.5b") if data.draw(st.booleans()) else None
    try:
        launched = read_launch(
            str(path), load_cluster("dgx-a100-16"), model, LaunchOptions(nodes=2)
        )
        launched.check()
    except (InputError, RuleError):
        return
    plan = launched.plan
    assert plan.degrees.devices == launched.scenario.job.devices
    total = plan.micro_batch_size * plan.num_microbatches * plan.degrees.data
    assert total == launched.scenario.job.global_batch_size


def test_experts_of_megatron_deepspeed(read: Any) -> None:
    """Spread over replicas, and padded to the capacity: twice the capacity keeps twice the tokens
    of every expert (DeepSpeed `sharded_moe.py`, `topkgating`)."""
    flags = GPT + "  --deepspeed --zero-stage 1 --num-experts 16 --moe-expert-parallel-size 16 "
    once = read(flags)
    assert once.scenario.job.software.name == "megatron-deepspeed-moe"
    assert (once.plan.degrees.expert, once.plan.degrees.data) == (16, 16)
    twice = read(flags + "--moe-train-capacity-factor 2.0")
    dropless = read(flags + "--disable-moe-token-dropping")
    kept, more, even = (
        estimate(one.scenario, one.plan).memory.per_stage[0].components.activations
        for one in (once, twice, dropless)
    )
    # Inputs of both products and of the activation, 16 bits, in 12 layers: h + 4h + 4h a token.
    assert more - kept == 12 * 4 * 2048 * 9 * 1024 * 2
    assert kept == even
    with pytest.raises(RuleError, match="the expert degree must divide the number of experts"):
        read(flags.replace("--num-experts 16", "--num-experts 8"))


ACCELERATE = """\
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
fsdp_config:
  fsdp_version: 2
  fsdp_reshard_after_forward: true
  fsdp_activation_checkpointing: true
  fsdp_offload_params: true
mixed_precision: bf16
num_machines: 2
num_processes: 16
parallelism_config:
  parallelism_config_dp_replicate_size: 2
  parallelism_config_dp_shard_size: 2
  parallelism_config_cp_size: 4
"""


def _accelerate(tmp_path: Path, text: str) -> LaunchedPlan:
    path = tmp_path / "accelerate.yaml"
    path.write_text(text)
    return read_launch(str(path), load_cluster("dgx-h100-16"), load_model("llama-3-8b"))


def test_an_accelerate_configuration_is_read_and_written_alike(tmp_path: Path) -> None:
    launched = _accelerate(tmp_path, ACCELERATE)
    plan = launched.plan
    assert (plan.degrees.data, plan.degrees.context, plan.sharding_groups) == (4, 4, 2)
    assert (plan.data_sharding, plan.weight_offload, plan.optimizer_offload) == ("full", True, 1.0)
    assert plan.recompute.granularity == "full"
    launched.check()
    written = as_config(export_job(launched.scenario, plan))
    again = _accelerate(tmp_path, written)
    assert again.plan == plan
    assert estimate(again.scenario, again.plan) == estimate(launched.scenario, plan)


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ("FSDP\n", "DEEPSPEED\n", 2, "read the file that its deepspeed_config_file names"),
        ("  fsdp_reshard_after_forward: true", "  fsdp_sharding_strategy: NO_SHARD", 5,
         "share nothing"),
        ("  fsdp_reshard_after_forward: true", "  fsdp_sharding_strategy: ALL", 5,
         "expected one of FULL_SHARD, "),
        ("num_processes: 16", "num_processes: many", 10, "expected a whole number"),
        ("cp_size", "sp_size", 14, "belong to its configuration"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_an_accelerate_configuration_has_its_place(
    tmp_path: Path, old: str, new: str, where: int, message: str
) -> None:
    with pytest.raises(InputError) as raised:
        _accelerate(tmp_path, ACCELERATE.replace(old, new))
    assert raised.value.line == where
    assert message in f"{raised.value.message} {raised.value.hint}"


def test_shards_within_nodes_of_the_first_version(tmp_path: Path) -> None:
    head = ACCELERATE.partition("parallelism_config:")[0].replace("version: 2", "version: 1")
    text = head.replace("reshard_after_forward: true", "sharding_strategy: HYBRID_SHARD")
    assert _accelerate(tmp_path, text).plan.shard_over == 8


def test_nodes_of_another_size_are_said(tmp_path: Path) -> None:
    script = tmp_path / "train.sh"
    script.write_text(GPT.replace("--nproc-per-node 8", "--nproc-per-node 16") + "\n")
    clause = "nodes of 8 devices, as cluster dgx-h100-16 has them; the file starts 16 on a node"
    assert clause in read_launch(str(script), load_cluster("dgx-h100-16")).notes.assumed
    script.write_text(GPT + "\n")
    assert clause not in read_launch(str(script), load_cluster("dgx-h100-16")).notes.assumed
