"""The keys of a DeepSpeed configuration, by what they mean to a plan.

`runtime/config.py`, `runtime/constants.py` and `runtime/zero/config.py` of DeepSpeed edaa7221.
"""

from __future__ import annotations

READ = frozenset(
    {
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "optimizer",
        "fp16",
        "bf16",
        "bfloat16",
        "data_types",
        "communication_data_type",
        "zero_optimization",
        "pipeline",
        "tensor_parallel",
        "expert_parallel",
        "managed_gradient_accumulation",
        "sequence_parallel_size",
        "data_parallel_size",
        "seq_parallel_communication_data_type",
    }
)

NOT_MODELLED = {
    "activation_checkpointing": "it says how activations are kept, not which layers recompute",
    "sequence_parallel": "its sequence parallelism exchanges heads",
    "fp16.fp16_master_weights_and_grads": "the optimizer is planned for with fp32 weights",
    "bf16.bf16_master_weights_and_grads": "the optimizer is planned for with fp32 weights",
    "bf16.bf16_optimizer_states": "the optimizer's states are planned for in fp32",
    "amp": "mixed precision of NVIDIA Apex",
    "fp32_allreduce": "gradients travel in the type of communication_data_type",
    "sparse_attention": "attention is planned for in full",
    "sparse_gradients": "gradients are planned for in full",
    "compression_training": "weights are planned for in full",
    "progressive_layer_drop": "all layers are planned for",
    "curriculum_learning": "the full sequence length is planned for",
    "data_efficiency": "the full sequence length is planned for",
    "hybrid_engine": "generation is not planned for",
    "compile": "kernels are planned for as the software profile has them",
    "torch_autocast": "the number format is that of fp16 or bf16",
    "elasticity.enabled": "batch sizes are planned for as stated, and it sets them itself",
    "zero_allow_untested_optimizer": "the optimizer is planned for as stated",
    "prescale_gradients": "gradients travel as in the software profile",
}
"""Settings of the whole configuration that change memory or time, and what is done instead."""

ZERO_NOT_MODELLED = {
    "zero_quantized_weights": "parameters travel in the number format",
    "zero_quantized_gradients": "gradients travel in their own type",
    "zero_quantized_nontrainable_weights": "parameters travel in the number format",
    "sub_group_size": "the optimizer is planned for in one piece",
    "stage3_max_live_parameters": "one layer's parameters are gathered at a time",
    "stage3_max_reuse_distance": "parameters are gathered again for the backward pass",
    "stage3_param_persistence_threshold": "all parameters are planned for sharded",
    "stage3_prefetch_bucket_size": "one layer's parameters are gathered at a time",
}
"""Settings of `zero_optimization`, likewise. The last four have little effect at their defaults."""

ZERO_READ = frozenset(
    {
        "stage",
        "overlap_comm",
        "reduce_bucket_size",
        "contiguous_gradients",
        "zero_hpz_partition_size",
        "mics_shard_size",
        "offload_optimizer",
        "offload_param",
        "cpu_offload",
        "cpu_offload_param",
    }
)

ZERO_WITHOUT_EFFECT = frozenset(
    {
        "allgather_partitions",
        "allgather_bucket_size",
        "reduce_scatter",
        "round_robin_gradients",
        "load_from_fp32_weights",
        "elastic_checkpoint",
        "stage3_gather_16bit_weights_on_model_save",
        "stage3_gather_fp16_weights_on_model_save",
        "ignore_unused_parameters",
        "legacy_stage1",
        "memory_efficient_linear",
        "use_multi_rank_bucket_allreduce",
        "pipeline_loading_checkpoint",
        "override_module_apply",
        "log_trace_cache_warnings",
        "mics_hierarchical_params_gather",
        "leaf_module",
    }
)

WITHOUT_EFFECT = frozenset(
    {
        "steps_per_print",
        "gradient_allreduce_op",
        "wall_clock_breakdown",
        "memory_breakdown",
        "dump_state",
        "gradient_clipping",
        "gradient_predivide_factor",
        "scheduler",
        "tensorboard",
        "wandb",
        "csv_monitor",
        "comet",
        "flops_profiler",
        "comms_logger",
        "aio",
        "checkpoint",
        "data_sampling",
        "seed",
        "zero_force_ds_cpu_optimizer",
        "elasticity",
        "autotuning",
        "disable_allgather",
        "use_data_before_expert_parallel_",
        "dataloader_drop_last",
        "nebula",
        "weight_quantization",
        "graph_harvesting",
        "eigenvalue",
        "timers",
        "train_steps",
    }
)
