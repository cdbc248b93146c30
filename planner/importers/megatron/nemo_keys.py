"""What the keys of NeMo 1's configuration of a GPT model are among Megatron-LM's flags.

Keys as in NVIDIA/NeMo 2.0.0, examples/nlp/language_modeling/conf/megatron_gpt_config.yaml.
"""

from __future__ import annotations

RENAMED = {
    "encoder_seq_length": "--seq-length",
    "num_moe_experts": "--num-experts",
    "virtual_pipeline_model_parallel_size": "--num-virtual-stages-per-pipeline-rank",
    "activations_checkpoint_granularity": "--recompute-granularity",
    "activations_checkpoint_method": "--recompute-method",
    "activations_checkpoint_num_layers": "--recompute-num-layers",
    "override_vocab_size": "--vocab-size",
}
VALUES = """
micro_batch_size global_batch_size tensor_model_parallel_size pipeline_model_parallel_size
context_parallel_size expert_model_parallel_size max_position_embeddings num_layers hidden_size
ffn_hidden_size num_attention_heads kv_channels num_query_groups hidden_dropout attention_dropout
make_vocab_size_divisible_by moe_router_topk moe_token_dispatcher_type moe_expert_capacity_factor
moe_ffn_hidden_size vocab_size window_size rampup_batch_size
"""
ON = {
    "sequence_parallel": "--sequence-parallel",
    "qkv_bias": "--add-qkv-bias",
    "moe_grouped_gemm": "--moe-grouped-gemm",
    "moe_pad_expert_input_to_capacity": "--moe-pad-expert-input-to-capacity",
    "fp8": "--fp8-hybrid",
    "fp8_params": "--fp8-param-gather",
    "use_flash_attention": "--use-flash-attn",
    "cross_entropy_loss_fusion": "--cross-entropy-loss-fusion",
    "enable_cuda_graph": "--enable-cuda-graph",
    "use_tp_pp_dp_mapping": "--use-tp-pp-dp-mapping",
}
OFF = {
    "bias": "--disable-bias-linear",
    "share_embeddings_and_output_weights": "--untie-embeddings-and-output-weights",
    "gradient_accumulation_fusion": "--no-gradient-accumulation-fusion",
    "masked_softmax_fusion": "--no-masked-softmax-fusion",
    "bias_dropout_add_fusion": "--no-bias-dropout-fusion",
    "bias_activation_fusion": "--no-bias-swiglu-fusion",
    "apply_rope_fusion": "--no-rope-fusion",
    "overlap_p2p_comm": "--no-overlap-p2p-communication",
}
NORMS = {"layernorm": "LayerNorm", "layernorm1p": "LayerNorm", "rmsnorm": "RMSNorm"}
ACTIVATIONS = {
    "gelu": None,
    "swiglu": "--swiglu",
    "fast-swiglu": "--swiglu",
    "geglu": "--quick-geglu",
    "fast-geglu": "--quick-geglu",
    "squared-relu": "--squared-relu",
}
PRECISIONS = {"bf16": "--bf16", "bf16-mixed": "--bf16", "16": "--fp16", "16-mixed": "--fp16",
               "32": None, "32-true": None}  # fmt: skip
LIBRARIES = {"huggingface": "HuggingFaceTokenizer", "sentencepiece": "GPTSentencePieceTokenizer"}
SHARDED = ("mcore_distributed_optim", "distributed_fused_adam")
OTHERS = {
    "mm_cfg": "--vision-model-type",
    "img_h": "--img-h",
    "retro": "--retro-add-retriever",
}
REFUSED = {
    "fsdp": "FSDP of NeMo 1 is not read",
    "mcore_customization_config": "layers of an own kind are not read",
}
READ_BESIDE = {"activation", "normalization", "position_embedding_type", "tokenizer", "optim"}
WITHOUT_EFFECT = """
pre_process post_process native_amp_init_scale native_amp_growth_interval gradient_as_bucket_view
grad_allreduce_chunk_size_mb grad_div_ar_fusion onnx_safe persist_layer_norm hysteresis mcore_gpt
apex_transformer_log_level fp32_residual_connection fp16_lm_cross_entropy use_scaled_init_method
do_layer_norm_weight_decay batch_p2p_comm openai_gelu ffn_dropout headscale precision
normalize_attention_scores attention_type sync_batch_comm use_emha gc_interval megatron_legacy
seq_len_interpolation_factor async_grad_allreduce sharp layernorm_zero_centered_gamma data
get_attention_mask_from_fusion reduce_amax ub_tp_comm_overlap ub_tp_comm_overlap_cfg
scale_positional_embedding deterministic_mode tp_only_amax_red nsys_profile megatron_amp_O2
transformer_engine transformer_block_type resume_from_checkpoint restore_from_path name peft
fsdp_sharding_strategy fsdp_grad_reduce_dtype fsdp_sharded_checkpoint gated_linear_unit
num_micro_batches_with_partial_activation_checkpoints activations_checkpoint_layers_per_pipeline
use_te_rng_tracker nccl_communicator_config_path answer_only_loss dist_ckpt_load_on_device
dist_ckpt_parallel_save dist_ckpt_format init_method_std apply_query_key_layer_scaling seed
layernorm_epsilon rotary_percentage rotary_base rotary_interleaved use_cpu_initialization
fp8_e4m3 fp8_hybrid fp8_margin fp8_interval fp8_amax_history_len fp8_amax_compute_algo fp8_wgrad
moe_aux_loss_coeff moe_router_load_balancing_type enable_megatron_timers megatron_timer_kwargs
validation_param_sync_overlap tp_comm_overlap_ag tp_comm_overlap_rs tp_comm_atomic_ag
tp_comm_atomic_rs cpu_offloading_activations cpu_offloading_weights bert_binary_head
"""
