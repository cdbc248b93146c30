"""torchtitan (b5bcd76c), plan 1: llama-3-8b on dgx-h100-16, 128 devices.

Run it with --config llama3_8b_planned from a registry that holds it, such as
torchtitan/models/llama3/config_registry.py (--module llama3).
"""

from torchtitan.distributed.activation_checkpoint import SelectiveAC
from torchtitan.models.llama3.config_registry import llama3_8b
from torchtitan.trainer import Trainer


def llama3_8b_planned() -> Trainer.Config:
    config = llama3_8b()
    config.parallelism.data_parallel_replicate_degree = 1
    config.parallelism.data_parallel_shard_degree = 16
    config.parallelism.fsdp_reshard_after_forward = "default"
    config.parallelism.tensor_parallel_degree = 2
    config.parallelism.enable_sequence_parallel = True
    config.parallelism.context_parallel_degree = 1
    config.parallelism.pipeline_parallel_degree = 4
    config.parallelism.pipeline_parallel_schedule = "Interleaved1F1B"
    config.parallelism.num_pp_microbatches = 32
    config.parallelism.module_fqns_per_model_part = [
        ["tok_embeddings", "layers.0", "layers.1", "layers.2"],
        ["layers.3", "layers.4", "layers.5", "layers.6"],
        ["layers.7", "layers.8", "layers.9", "layers.10"],
        ["layers.11", "layers.12", "layers.13", "layers.14"],
        ["layers.15", "layers.16", "layers.17", "layers.18"],
        ["layers.19", "layers.20", "layers.21", "layers.22", "layers.23"],
        ["layers.24", "layers.25", "layers.26", "layers.27"],
        ["layers.28", "layers.29", "layers.30", "layers.31", "norm", "lm_head"],
    ]
    config.training.max_context_length = 8192
    config.training.num_tokens_per_microbatch_per_dp_rank = 8192
    config.training.num_tokens_per_train_step = 4194304
    config.training.mixed_precision_param = "bfloat16"
    config.training.mixed_precision_reduce = "float32"
    config.training.disable_cuda_graphs = True
    config.activation_checkpoint = SelectiveAC.Config()
    config.compile.enable = False
    return config
