"""All schedules, by name."""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from planner.errors import RuleError
from planner.schedule.kinds import ScheduleKind, Support, VocabularySharing
from planner.schedule.orders import ahead, alternating, dualpipe, v_shape, vocabulary, zero_bubble
from planner.schedule.passes import bidirectional, looped, vee
from planner.schedule.rules import (
    GROUP_FITS,
    ONE_CHUNK,
    POSITIVE,
    REMAINDER_FITS,
    SEVERAL_CHUNKS,
    TWICE_THE_STAGES,
    TWO_CHUNKS,
    TWO_ENDS,
    ScheduleRule,
    ScheduleSize,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.arrays import Floats, Ints
    from planner.schedule.graph.compile import Sends
    from planner.schedule.passes import Schedule


def _fill_and_drain(size: ScheduleSize) -> Floats:
    """(p − 1)/(v·m + p − 1): GPipe, section 2.3; Narayanan et al. 2021, section 2.2."""
    idle = size.stages - 1
    return idle / (size.virtual_stages * size.num_microbatches + idle)


def _alternating(name: str, warmup: Callable[[ScheduleSize], Ints], **of_kind: Any) -> ScheduleKind:
    return ScheduleKind(
        name=name,
        placement=looped,
        warmup=warmup,
        generate=lambda size: alternating.alternating_schedule(name, size, warmup(size)),
        peak=lambda size: alternating.peak(warmup(size), size),
        bubble_fraction=_fill_and_drain,
        **of_kind,
    )


def _handcrafted(depth: int, *runs_on: Support) -> ScheduleKind:
    name = f"zb-h{depth}"
    return ScheduleKind(
        name=name,
        source="Qi et al. 2024, Zero Bubble Pipeline Parallelism, arXiv:2401.10241, the "
        "handcrafted schedules",
        runs_on=(ZERO_BUBBLE, *runs_on),
        rules=(POSITIVE, ONE_CHUNK),
        placement=looped,
        generate=partial(zero_bubble.handcrafted, name, depth=depth),
        peak=partial(zero_bubble.handcrafted_peak, depth=depth),
        splits_backward=True,
        sends="asynchronous",
    )


def _v_shaped(
    name: str,
    source: str,
    generate: Callable[[ScheduleSize], Schedule],
    *runs_on: Support,
    rules: tuple[ScheduleRule, ...] = (POSITIVE, TWO_CHUNKS),
    sends: Sends = "asynchronous",
) -> ScheduleKind:
    return ScheduleKind(
        name=name,
        source=source,
        runs_on=runs_on,
        rules=rules,
        placement=vee,
        generate=generate,
        splits_backward=True,
        sends=sends,
    )


def _vocabulary(
    name: str,
    source: str,
    function: str,
    generate: Callable[[ScheduleSize], Schedule],
    peak: Callable[[ScheduleSize], Ints],
    sharing: VocabularySharing,
) -> ScheduleKind:
    return ScheduleKind(
        name=name,
        source=source,
        runs_on=(Support("megatron-lm", f"sail-sg/VocabularyParallelism {function}", False),),
        rules=(POSITIVE, ONE_CHUNK),
        placement=looped,
        generate=generate,
        peak=peak,
        vocabulary=sharing,
    )


def _torch(schedule: str) -> Support:
    return Support("torchtitan", f"torch.distributed.pipelining {schedule}", True)


ZERO_BUBBLE = Support("megatron-lm", "sail-sg/zero-bubble-pipeline-parallelism", False)
VOCABULARY = (
    "Yeung et al. 2024, Balancing Pipeline Parallelism with Vocabulary Parallelism, "
    "arXiv:2411.05288"
)
"""Source of the schedules that share the vocabulary layers or balance the output layer."""
CONTROLLABLE_MEMORY = (
    "Qi et al. 2024, Pipeline Parallelism with Controllable Memory, arXiv:2405.15362"
)
"""Source of `v-half` and `v-min`."""

SCHEDULES = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _alternating(
                "gpipe",
                alternating.gpipe_warmup,
                source="Huang et al. 2019, GPipe, arXiv:1811.06965, section 2.3",
                runs_on=(
                    _torch("ScheduleGPipe"),
                    Support("automodel", "torch.distributed.pipelining ScheduleGPipe", True),
                ),
                rules=(POSITIVE, ONE_CHUNK),
            ),
            _alternating(
                "1f1b",
                alternating.one_forward_one_backward_warmup,
                source="Narayanan et al. 2021, arXiv:2104.04473, section 2.2.1",
                runs_on=(
                    Support(
                        "megatron-lm", "forward_backward_pipelining_without_interleaving", True
                    ),
                    _torch("Schedule1F1B"),
                    Support("automodel", "torch.distributed.pipelining Schedule1F1B", True),
                    Support("deepspeed", "runtime/pipe/schedule.py TrainSchedule", True),
                    Support("internevo", "PipelineScheduler", True),
                    Support("composer", "no pipeline: microbatches one after the other", True),
                    Support("accelerate", "no pipeline: microbatches one after the other", True),
                    Support("fms-fsdp", "no pipeline: one microbatch a step", True),
                ),
                rules=(POSITIVE, ONE_CHUNK),
                windows_are_paths=True,
            ),
            _alternating(
                "1f1b-ahead",
                ahead.warmup,
                source="HARP, EuroSys 2026 (H-1F1B); warm-ups derived from round trips",
                runs_on=(_torch("_PipelineScheduleRuntime from a CSV"),),
                rules=(POSITIVE, ONE_CHUNK),
                sends="asynchronous",
                runs_ahead=True,
            ),
            _alternating(
                "interleaved",
                alternating.interleaved_warmup,
                source="Narayanan et al. 2021, arXiv:2104.04473, section 2.2.2",
                runs_on=(
                    Support("megatron-lm", "forward_backward_pipelining_with_interleaving", True),
                    _torch("ScheduleInterleaved1F1B"),
                    Support("automodel", "torch.distributed.pipelining", True),
                    Support("internevo", "InterleavedPipelineScheduler", True),
                ),
                rules=(POSITIVE, SEVERAL_CHUNKS, GROUP_FITS, REMAINDER_FITS),
                sends_may_overlap=True,
                runs_in_groups=True,
            ),
            _alternating(
                "1f1b-balanced",
                alternating.one_forward_one_backward_warmup,
                source=f"{VOCABULARY}, section 6.1",
                runs_on=(Support("megatron-lm", "--pipeline-model-parallel-layout", True),),
                rules=(POSITIVE, ONE_CHUNK),
                balances_head=True,
                windows_are_paths=True,
            ),
            _vocabulary(
                "1f1b-vocab-1",
                f"{VOCABULARY}, algorithm 1",
                "forward_backward_pipelining_with_vocab_parallel",
                partial(vocabulary.balanced_vocabulary, "1f1b-vocab-1", barriers=2),
                partial(vocabulary.balanced_peak, barriers=2),
                VocabularySharing(exchanges=vocabulary.TWO_BARRIERS, rescales=True),
            ),
            _vocabulary(
                "1f1b-vocab-2",
                f"{VOCABULARY}, algorithm 2",
                "forward_backward_pipelining_with_vocab_parallel",
                partial(vocabulary.balanced_vocabulary, "1f1b-vocab-2", barriers=1),
                partial(vocabulary.balanced_peak, barriers=1),
                VocabularySharing(
                    exchanges=vocabulary.ONE_BARRIER, rescales=True, early_input_gradient=True
                ),
            ),
            _vocabulary(
                "interlaced-vocab",
                "Lin et al. 2024, nnScaler, OSDI 24, as Yeung et al. 2024 built it",
                "forward_backward_pipelining_with_interlaced_schedule",
                vocabulary.interlaced,
                vocabulary.interlaced_peak,
                VocabularySharing(exchanges=vocabulary.INTERLACED, rescales=False),
            ),
            ScheduleKind(
                name="looped-bfs",
                source="Lamy-Poirier 2022, Breadth-First Pipeline Parallelism, arXiv:2211.05953",
                runs_on=(_torch("ScheduleLoopedBFS"),),
                rules=(POSITIVE, SEVERAL_CHUNKS),
                placement=looped,
                generate=alternating.breadth_first,
                peak=alternating.everything,
            ),
            _handcrafted(
                1,
                Support("deepspeed", "zbpp_light.patch_deepspeed", False),
                Support("internevo", "ZeroBubblePipelineScheduler", True),
            ),
            _handcrafted(2),
            _v_shaped(
                "zb-v",
                "Qi et al. 2024, Zero Bubble Pipeline Parallelism, arXiv:2401.10241",
                v_shape.zb_v,
                ZERO_BUBBLE,
                _torch("ScheduleZBVZeroBubble"),
                Support("internevo", "ZeroBubblePipelineVShapeScheduler", True),
            ),
            _v_shaped("v-half", CONTROLLABLE_MEMORY, v_shape.v_half, ZERO_BUBBLE),
            _v_shaped("v-min", CONTROLLABLE_MEMORY, v_shape.v_min, ZERO_BUBBLE),
            ScheduleKind(
                name="dualpipe",
                source="DeepSeek-AI 2024, arXiv:2412.19437, section 3.2.1",
                runs_on=(Support("torchtitan", "deepseek-ai/DualPipe", False),),
                rules=(POSITIVE, TWO_CHUNKS, TWO_ENDS, TWICE_THE_STAGES),
                placement=bidirectional,
                generate=dualpipe.dualpipe,
                splits_backward=True,
                sends="paired",
                parameter_copies=2,
            ),
            _v_shaped(
                "dualpipe-v",
                "DeepSeek-AI 2024, arXiv:2412.19437, cut in half (deepseek-ai/DualPipe)",
                dualpipe.dualpipe_v,
                _torch("ScheduleDualPipeV"),
                Support("megatron-lm", "Ascend/MindSpeed --schedules-method dualpipev", False),
                rules=(POSITIVE, TWO_CHUNKS, TWICE_THE_STAGES),
                sends="paired",
            ),
        )
    }
)

PLAIN = "1f1b"
"""The schedule that a single stage runs, whatever schedule is asked for: each microbatch goes
forward and back before the next. Of the schedules that place chunks in a loop, it keeps the fewest
activations."""


def kind_of(name: str) -> ScheduleKind:
    """The schedule of that name. Raises RuleError("schedule") for an unknown one."""
    if name not in SCHEDULES:
        nearest = get_close_matches(name, SCHEDULES, n=1)
        raise RuleError(
            "schedule",
            f"there is no pipeline schedule {name!r}; the known ones are {', '.join(SCHEDULES)}",
            hint=f"did you mean {nearest[0]}?" if nearest else None,
        )
    return SCHEDULES[name]


def runnable(framework: str) -> tuple[str, ...]:
    """The schedules that a framework runs, including through its forks and plug-ins."""
    return tuple(name for name, kind in SCHEDULES.items() if kind.support(framework))
