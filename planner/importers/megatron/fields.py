"""Which flags of Megatron-LM decide a field of the model, the job and the plan."""

from __future__ import annotations

from planner.importers.megatron.decisions import EXPERT_OVERLAP

FLAG_OF = {
    "tensor": "--tensor-model-parallel-size",
    "pipeline": "--pipeline-model-parallel-size",
    "context": "--context-parallel-size",
    "expert": "--expert-model-parallel-size",
    "expert_tensor": "--expert-tensor-parallel-size",
    "micro_batch_size": "--micro-batch-size",
    "global_batch_size": "--global-batch-size",
    "seq_length": "--seq-length",
    "sequence_parallel": "--sequence-parallel",
    "recompute": "--recompute-granularity",
    "recompute_layers": "--recompute-num-layers",
    "activation_offload": "--cpu-offloading-num-layers",
    "optimizer_offload": "--optimizer-cpu-offload",
    "shard_over": "--num-distributed-optimizer-instances",
    "num_layers": "--num-layers",
    "hidden_size": "--hidden-size",
    "num_attention_heads": "--num-attention-heads",
    "num_query_groups": "--num-query-groups",
    "head_dim": "--kv-channels",
    "ffn_hidden_size": "--ffn-hidden-size",
    "vocab_size": "--vocab-size",
    "num_experts": "--num-experts",
    "top_k": "--moe-router-topk",
    "expert_overlap": EXPERT_OVERLAP,
    "mtp_num_layers": "--mtp-num-layers",
    "attention_window": "--window-size",
    "kv_lora_rank": "--kv-lora-rank",
    "q_lora_rank": "--q-lora-rank",
    "qk_head_dim": "--qk-head-dim",
    "qk_rope_head_dim": "--qk-pos-emb-head-dim",
    "v_head_dim": "--v-head-dim",
}
DEEPSPEED_EXPERT = "--moe-expert-parallel-size"
FIRST_OF = {
    "dispatcher": (
        "--moe-flex-dispatcher-backend",
        "--moe-enable-deepep",
        "--moe-token-dispatcher-type",
    ),
    "expert": ("--expert-model-parallel-size", DEEPSPEED_EXPERT),
    "virtual_stages": (
        "--num-layers-per-virtual-pipeline-stage",
        "--num-virtual-stages-per-pipeline-rank",
        "--pipeline-model-parallel-layout",
    ),
    "stage_layers": (
        "--pipeline-model-parallel-layout",
        "--decoder-first-pipeline-num-layers",
        "--decoder-last-pipeline-num-layers",
        "--account-for-embedding-in-pipeline-split",
        "--account-for-loss-in-pipeline-split",
    ),
    "data_sharding": (
        "--data-parallel-sharding-strategy",
        "--use-distributed-optimizer",
        "--use-torch-fsdp2",
        "--use-megatron-fsdp",
        "--zero-stage",
    ),
    "precision": ("--fp4-format", "--fp8-format", "--fp8-hybrid", "--fp8-e4m3", "--bf16", "--fp16"),
}
