"""The command-line flags of Megatron-LM that shape a model, its memory or its time.

Names as in Megatron-LM d98e8a64 (mcore 0.20, August 2026): `megatron/training/arguments.py` and the
dataclasses its flags are made from. Older names and those of forks that mean the same are read too.
"""

from __future__ import annotations

INTEGERS = frozenset(
    {
        "--num-layers",
        "--hidden-size",
        "--ffn-hidden-size",
        "--num-attention-heads",
        "--num-query-groups",
        "--num-key-value-heads",
        "--kv-channels",
        "--vocab-size",
        "--make-vocab-size-divisible-by",
        "--pad-vocab-size-to",
        "--padded-vocab-size",
        "--extra-vocab-size",
        "--seq-length",
        "--max-position-embeddings",
        "--moe-router-topk",
        "--topk",
        "--expert-interval",
        "--moe-expert-parallel-size",
        "--moe-ffn-hidden-size",
        "--moe-shared-expert-intermediate-size",
        "--moe-router-num-groups",
        "--moe-router-group-topk",
        "--n-shared-experts",
        "--first-k-dense-replace",
        "--multiple-of",
        "--q-lora-rank",
        "--kv-lora-rank",
        "--qk-head-dim",
        "--qk-pos-emb-head-dim",
        "--v-head-dim",
        "--mtp-num-layers",
        "--tensor-model-parallel-size",
        "--pipeline-model-parallel-size",
        "--context-parallel-size",
        "--expert-model-parallel-size",
        "--expert-tensor-parallel-size",
        "--micro-batch-size",
        "--global-batch-size",
        "--gas",
        "--num-layers-per-virtual-pipeline-stage",
        "--num-virtual-stages-per-pipeline-rank",
        "--decoder-first-pipeline-num-layers",
        "--decoder-last-pipeline-num-layers",
        "--recompute-num-layers",
        "--num-distributed-optimizer-instances",
        "--cpu-offloading-num-layers",
        "--zero-stage",
    }
)

TEXTS = frozenset(
    {
        "--cross-entropy-fusion-impl",
        "--position-embedding-type",
        "--normalization",
        "--mlp-type",
        "--tokenizer-type",
        "--tokenizer-model",
        "--patch-tokenizer-type",
        "--moe-layer-freq",
        "--window-attn-skip-freq",
        "--pipeline-model-parallel-layout",
        "--recompute-granularity",
        "--recompute-method",
        "--optimizer",
        "--fp8-format",
        "--fp8-recipe",
        "--fp4-format",
        "--data-parallel-sharding-strategy",
        "--attention-backend",
        "--transformer-impl",
        "--softmax-type",
        "--hidden-dropout",
        "--optimizer-offload-fraction",
        "--activation-offload-fraction",
        "--attention-dropout",
        "--cuda-graph-impl",
        "--activation-func-clamp-value",
        "--moe-token-dispatcher-type",
        "--moe-flex-dispatcher-backend",
        "--moe-router-score-function",
        "--moe-router-dtype",
        "--attention-head-type",
        "--context-parallel-algo",
        "--stage",
        "--glu-activation",
        "--hidden-dim-multiplier",
        "--exp-avg-dtype",
        "--exp-avg-sq-dtype",
        "--main-params-dtype",
        "--moe-expert-capacity-factor",
        "--main-grads-dtype",
    }
)

LISTS = frozenset(
    {
        "--cp-comm-type",
        "--hierarchical-context-parallel-sizes",
        "--noop-layers",
        "--num-experts",
        "--num-layer-list",
        "--window-size",
        "--spec",
        "--recompute-modules",
        "--offload-modules",
        "--rampup-batch-size",
    }
)

SWITCHES = frozenset(
    {
        "--group-query-attention",
        "--swiglu",
        "--quick-geglu",
        "--squared-relu",
        "--moe-shared-expert-gate",
        "--enable-expert-tensor-parallelism",
        "--disable-bias-linear",
        "--add-qkv-bias",
        "--post-norm",
        "--post-self-attn-layernorm",
        "--post-mlp-layernorm",
        "--qk-layernorm",
        "--untie-embeddings-and-output-weights",
        "--use-rotary-position-embeddings",
        "--multi-latent-attention",
        "--embed-layernorm",
        "--sequence-parallel",
        "--use-distributed-optimizer",
        "--use-megatron-fsdp",
        "--use-torch-fsdp2",
        "--init-model-with-meta-device",
        "--overlap-grad-reduce",
        "--overlap-param-gather",
        "--tp-comm-overlap",
        "--no-overlap-p2p-communication",
        "--overlap-p2p-communication",
        "--recompute-activations",
        "--account-for-embedding-in-pipeline-split",
        "--account-for-loss-in-pipeline-split",
        "--use-tp-pp-dp-mapping",
        "--bf16",
        "--fp16",
        "--fp8-hybrid",
        "--fp8-e4m3",
        "--fp8-param-gather",
        "--use-flash-attn",
        "--grad-reduce-in-bf16",
        "--accumulate-allreduce-grads-in-fp32",
        "--deepspeed",
        "--fp4-param-gather",
        "--use-precision-aware-optimizer",
        "--optimizer-cpu-offload",
        "--cpu-offloading",
        "--fine-grained-activation-offloading",
        "--overlap-cpu-optimizer-d2h-h2d",
        "--enable-cuda-graph",
        "--external-cuda-graph",
        "--moe-grouped-gemm",
        "--overlap-moe-expert-parallel-comm",
        "--moe-shared-expert-overlap",
        "--moe-permute-fusion",
        "--moe-pad-expert-input-to-capacity",
        "--no-gradient-accumulation-fusion",
        "--no-masked-softmax-fusion",
        "--no-bias-gelu-fusion",
        "--no-bias-swiglu-fusion",
        "--no-bias-dropout-fusion",
        "--no-rope-fusion",
        "--cross-entropy-loss-fusion",
    }
)

ALIASES = {
    "--model-parallel-size": "--tensor-model-parallel-size",
    "--batch-size": "--micro-batch-size",
    "--activations-checkpoint-method": "--recompute-method",
    "--activations-checkpoint-num-layers": "--recompute-num-layers",
    "--checkpoint-num-layers": "--recompute-num-layers",
    "--encoder-num-layers": "--num-layers",
    "--use-flash-attn-v1": "--use-flash-attn",
    "--use-flash-attn-v2": "--use-flash-attn",
    "--use-flash-attn-triton": "--use-flash-attn",
    "--encoder-seq-length": "--seq-length",
    "--tokenizer-name-or-path": "--tokenizer-model",
    "--ds-sequence-parallel-size": "--context-parallel-size",
    "--pipe-parallel-size": "--pipeline-model-parallel-size",
    "--checkpoint-activations": "--deepspeed-activation-checkpointing",
    "--intermediate-size": "--ffn-hidden-size",
    "--moe-intermediate-size": "--moe-ffn-hidden-size",
    "--shared-moe-ffn-hidden-size": "--moe-shared-expert-intermediate-size",
    "--num-shared-experts": "--n-shared-experts",
    "--moe-topk": "--topk",
    "--n-group": "--moe-router-num-groups",
    "--topk-group": "--moe-router-group-topk",
    "--n-head-kv": "--num-key-value-heads",
    "--num-attention-heads-kv": "--num-key-value-heads",
    "--multi-head-latent-attention": "--multi-latent-attention",
    "--qk-nope-head-dim": "--qk-head-dim",
    "--qk-rope-head-dim": "--qk-pos-emb-head-dim",
    "--geglu": "--quick-geglu",
    "--gelu-tanh": "--quick-geglu",
    "--use-llama2-rotary-position-embeddings": "--use-rotary-position-embeddings",
    "--use-mistral-rotary-position-embeddings": "--use-rotary-position-embeddings",
}
"""Older names, and those of forks: Pai-Megatron-Patch, MindSpeed-LLM, FlagScale, Megatron-LLM."""

OLD_SWITCHES = frozenset({"--deepspeed-activation-checkpointing"})
"""Full recomputation in Megatron-DeepSpeed and in Megatron-LM before 3.0."""

LAUNCHER_FLAGS = frozenset(
    {
        "--nnodes",
        "--nproc-per-node",
        "--node-rank",
        "--master-addr",
        "--master-port",
        "--rdzv-id",
        "--rdzv-backend",
        "--rdzv-endpoint",
        "--rdzv-conf",
        "--max-restarts",
        "--tee",
        "--redirects",
        "--log-dir",
        "--local-addr",
        "--standalone",
        "--use-env",
        "--num-nodes",
        "--num-gpus",
        "--hostfile",
        "--include",
        "--launcher",
    }
)
"""Flags of torchrun and the deepspeed launcher, underscores written as dashes."""

KNOWN = INTEGERS | TEXTS | LISTS | SWITCHES | OLD_SWITCHES


def canonical(name: str, *, underscored: bool = False) -> str:
    """The name of a flag in Megatron-LM; some forks write underscores in place of dashes."""
    known = name
    if underscored:
        dashed = name.replace("_", "-")
        known = dashed if dashed in KNOWN or dashed in ALIASES else name
    return ALIASES.get(known, known)
