"""How each framework's training program is started: its files, what a user has to fill in, and the
shell lines that make the command of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from planner.exporters import accelerate, automodel, deepspeed, torch_pipelining, torchtitan
from planner.exporters.megatron import arguments
from planner.exporters.megatron.unstated import unstated
from planner.exporters.quoting import filled, shell_word

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

ARGUMENTS = "megatron-lm.sh"
CONFIG = "planned_config"
JSON = "deepspeed.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """`files`: name and text. `settings`: shell assignments for the user to fill in. `program`:
    shell lines that set the array `program` from them; they may call `needs NAME…` and use `$here`,
    the folder. `wanted`: what there is to fill in, in words. `notes`: what the files do not say."""

    files: dict[str, str]
    settings: str
    program: str
    wanted: str
    notes: tuple[str, ...]


_MEGATRON_SETTINGS = """\
# A checkout of Megatron-LM.
MEGATRON_PATH=${MEGATRON_PATH:-}
# Prefixes of preprocessed data (what is in front of .bin and .idx), with weights where several.
DATA_PATH=${DATA_PATH:-}
TOKENIZER_TYPE=${TOKENIZER_TYPE:-HuggingFaceTokenizer}
TOKENIZER_MODEL=${TOKENIZER_MODEL:-}
# 1: made-up tokens in place of data and tokenizer, to see the step time.
MOCK_DATA=${MOCK_DATA:-0}
# Where checkpoints are saved and loaded; empty: nowhere.
CHECKPOINTS=${CHECKPOINTS:-}

# How to train is no part of a plan. These are for a trial of 50 steps.
TRAINING_ARGS=(
  --train-iters 50 --lr 1e-4 --min-lr 1e-5 --lr-decay-style cosine --clip-grad 1.0
  --split 99,1,0 --eval-iters 0 --log-interval 1 --log-throughput
)"""

_MEGATRON_PROGRAM = """\
needs MEGATRON_PATH
if [[ $MOCK_DATA == 1 ]]; then
  DATA_ARGS=(--mock-data --tokenizer-type NullTokenizer)
else
  needs DATA_PATH TOKENIZER_MODEL
  read -ra prefixes <<< "$DATA_PATH"
  DATA_ARGS=(
    --data-path "${prefixes[@]}"
    --tokenizer-type "$TOKENIZER_TYPE" --tokenizer-model "$TOKENIZER_MODEL"
  )
fi
[[ -z $CHECKPOINTS ]] || DATA_ARGS+=(--save "$CHECKPOINTS" --load "$CHECKPOINTS")
source "$here/megatron-lm.sh"
program=("$MEGATRON_PATH/pretrain_gpt.py" "${MEGATRON_ARGS[@]}" "${DATA_ARGS[@]}")"""

_TORCHTITAN_SETTINGS = """\
# A checkout of torchtitan; empty where it is installed.
TORCHTITAN_PATH=${TORCHTITAN_PATH:-}
# The model's tokenizer and configuration, as scripts/download_hf_assets.py leaves them.
HF_ASSETS_PATH=${HF_ASSETS_PATH:-}

# How to train is no part of a plan. Without --training.steps the recipe's number of steps runs.
TRAINING_ARGS=(--training.steps 50)"""

_TORCHTITAN_PROGRAM = """\
needs HF_ASSETS_PATH
export PYTHONPATH=$here${TORCHTITAN_PATH:+:$TORCHTITAN_PATH}${PYTHONPATH:+:$PYTHONPATH}
program=(
  -m torchtitan.train --module @MODULE@ --config @CONFIG@
  --hf_assets_path "$HF_ASSETS_PATH"@ORDER@
)"""

_DEEPSPEED_SETTINGS = """\
# The training program, which calls deepspeed.add_config_arguments or reads --deepspeed_config.
PROGRAM=${PROGRAM:-}

# Its own arguments: data, tokenizer, learning rate.
TRAINING_ARGS=()"""

_DEEPSPEED_PROGRAM = """\
needs PROGRAM
program=("$PROGRAM" --deepspeed --deepspeed_config "$here/deepspeed.json")"""


_AUTOMODEL_SETTINGS = """\
# Where the configuration of the model comes from: a folder in place of its name on the Hub.
MODEL_PATH=${MODEL_PATH:-}

# How to train is no part of a plan. Your own data take the place of made-up tokens by --dataset.…
TRAINING_ARGS=(--step_scheduler.max_steps 50)"""

_AUTOMODEL_PROGRAM = """\
program=(-m nemo_automodel.cli.app "$here/automodel.yaml")
[[ -z $MODEL_PATH ]] || program+=(--model.config.pretrained_model_name_or_path "$MODEL_PATH")"""

_ACCELERATE_SETTINGS = """\
# The training program, such as trl/scripts/sft.py.
PROGRAM=${PROGRAM:-}

# Its own arguments: model, data, learning rate.
TRAINING_ARGS=()"""

_ACCELERATE_PROGRAM = """\
needs PROGRAM
# What accelerate launch would set from accelerate.yaml.
export \\
@VARIABLES@
program=("$PROGRAM")"""


def _megatron(job: ExportJob) -> Start:
    return Start(
        files={ARGUMENTS: arguments.as_shell(job)},
        settings=_MEGATRON_SETTINGS,
        program=_MEGATRON_PROGRAM,
        wanted="`MEGATRON_PATH`, and `DATA_PATH` with `TOKENIZER_MODEL` or `MOCK_DATA=1`",
        notes=unstated(job),
    )


def _torchtitan(job: ExportJob) -> Start:
    files = {f"{CONFIG}.py": torchtitan.as_recipe(job)}
    order = ""
    if job.ahead is not None:
        files[torch_pipelining.FILE] = torch_pipelining.as_csv(job)
        order = f'\n  --parallelism.pipeline_parallel_schedule_csv "$here/{torch_pipelining.FILE}"'
    return Start(
        files=files,
        settings=_TORCHTITAN_SETTINGS,
        program=filled(
            _TORCHTITAN_PROGRAM,
            module=CONFIG,
            config=shell_word(torchtitan.config_name(job)),
            order=order,
        ),
        wanted="`HF_ASSETS_PATH`",
        notes=(),
    )


def _deepspeed(job: ExportJob) -> Start:
    return Start(
        files={JSON: deepspeed.as_json(job)},
        settings=_DEEPSPEED_SETTINGS,
        program=_DEEPSPEED_PROGRAM,
        wanted="`PROGRAM`",
        notes=deepspeed.code_notes(job),
    )


def _automodel(job: ExportJob) -> Start:
    return Start(
        files={automodel.FILE: automodel.as_recipe(job)},
        settings=_AUTOMODEL_SETTINGS,
        program=_AUTOMODEL_PROGRAM,
        wanted="`MODEL_PATH` where the Hub cannot be reached, and your data",
        notes=automodel.recipe_notes(job),
    )


def _accelerate(job: ExportJob) -> Start:
    said = accelerate.as_environment(job)
    variables = " \\\n".join(f"  {name}={shell_word(value)}" for name, value in said.items())
    return Start(
        files={accelerate.FILE: accelerate.as_config(job)},
        settings=_ACCELERATE_SETTINGS,
        program=filled(_ACCELERATE_PROGRAM, variables=variables),
        wanted="`PROGRAM`, and in TRAINING_ARGS what the notes say",
        notes=accelerate.training_notes(job),
    )


FRAMEWORKS: MappingProxyType[str, Callable[[ExportJob], Start]] = MappingProxyType(
    {
        "megatron-lm": _megatron,
        "torchtitan": _torchtitan,
        "deepspeed": _deepspeed,
        "automodel": _automodel,
        "accelerate": _accelerate,
    }
)
"""By the framework of the software profile."""
