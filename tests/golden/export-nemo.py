"""NeMo 2 (8cfedd72), plan 1: llama-3-70b on dgx-h100-16, 128 devices."""

import os

import torch.nn.functional as F
from megatron.core.transformer.enums import AttnBackend


def apply_plan(recipe):
    """Set a NeMo 2 pre-training recipe to the plan and return it."""
    os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = "1"
    recipe.trainer.num_nodes = 16
    recipe.trainer.devices = 8
    recipe.trainer.strategy.virtual_pipeline_model_parallel_size = None
    recipe.trainer.strategy.pipeline_model_parallel_layout = "Et*19|t*21|t*21|t*19L"
    recipe.trainer.strategy.num_layers_in_first_pipeline_stage = None
    recipe.trainer.strategy.num_layers_in_last_pipeline_stage = None
    recipe.trainer.strategy.account_for_embedding_in_pipeline_split = False
    recipe.trainer.strategy.account_for_loss_in_pipeline_split = False
    recipe.model.config.recompute_granularity = None
    recipe.model.config.recompute_method = None
    recipe.model.config.recompute_num_layers = None
    recipe.model.config.recompute_modules = None
    recipe.model.config.offload_modules = None
    recipe.model.config.mtp_num_layers = None
    recipe.model.config.window_size = None
    recipe.model.config.window_attn_skip_freq = None
    recipe.model.config.softmax_type = "vanilla"
    recipe.trainer.strategy.ddp.num_distributed_optimizer_instances = 1
    recipe.trainer.strategy.ddp.data_parallel_sharding_strategy = "no_shard"
    recipe.trainer.strategy.tensor_model_parallel_size = 8
    recipe.trainer.strategy.pipeline_model_parallel_size = 4
    recipe.trainer.strategy.context_parallel_size = 1
    recipe.data.micro_batch_size = 1
    recipe.data.global_batch_size = 512
    recipe.model.config.num_layers = 80
    recipe.model.config.hidden_size = 8192
    recipe.model.config.ffn_hidden_size = 28672
    recipe.model.config.num_attention_heads = 64
    recipe.model.config.num_query_groups = 8
    recipe.model.config.kv_channels = 128
    recipe.model.config.vocab_size = 128256
    recipe.model.config.make_vocab_size_divisible_by = 128
    recipe.model.config.max_position_embeddings = 8192
    recipe.model.config.position_embedding_type = "rope"
    recipe.model.config.normalization = "RMSNorm"
    recipe.optim.config.optimizer = "adam"
    recipe.model.config.attention_backend = AttnBackend.flash
    recipe.model.config.hidden_dropout = 0.0
    recipe.model.config.attention_dropout = 0.0
    recipe.model.config.cross_entropy_fusion_impl = "te"
    recipe.trainer.strategy.sequence_parallel = True
    recipe.trainer.strategy.use_tp_pp_dp_mapping = False
    recipe.model.config.qk_layernorm = False
    recipe.model.config.multi_latent_attention = False
    recipe.model.config.gated_linear_unit = True
    recipe.model.config.add_bias_linear = False
    recipe.model.config.add_qkv_bias = False
    recipe.model.config.share_embeddings_and_output_weights = False
    recipe.trainer.strategy.ddp.use_distributed_optimizer = True
    recipe.optim.config.use_distributed_optimizer = True
    recipe.optim.config.use_precision_aware_optimizer = False
    recipe.model.config.cpu_offloading = False
    recipe.model.config.fine_grained_activation_offloading = False
    recipe.optim.config.optimizer_cpu_offload = False
    recipe.optim.config.overlap_cpu_optimizer_d2h_h2d = False
    recipe.trainer.strategy.ddp.overlap_grad_reduce = False
    recipe.trainer.strategy.ddp.overlap_param_gather = False
    recipe.model.config.masked_softmax_fusion = True
    recipe.model.config.bias_dropout_fusion = True
    recipe.model.config.gradient_accumulation_fusion = True
    recipe.model.config.cross_entropy_loss_fusion = True
    recipe.trainer.strategy.use_te_rng_tracker = False
    recipe.data.seq_length = 8192
    recipe.model.config.activation_func = F.silu
    recipe.model.config.bias_activation_fusion = True
    recipe.model.config.apply_rope_fusion = True
    recipe.model.config.overlap_p2p_comm = False
    recipe.model.config.batch_p2p_comm = True
    recipe.trainer.strategy.ddp.grad_reduce_in_fp32 = True
    recipe.model.config.tp_comm_overlap = False
    recipe.trainer.plugins.precision = "bf16-mixed"
    recipe.trainer.plugins.grad_reduce_in_fp32 = True
    return recipe
