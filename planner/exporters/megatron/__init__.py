"""Megatron-LM arguments, by the names of mcore 0.20 (commit d98e8a64, August 2026).

Where a name or a default was read: `megatron/training/arguments.py`, the dataclasses its flags are
made from, `megatron/core/transformer/transformer_config.py` and
`megatron/core/transformer/pipeline_parallel_layer_layout.py`.
"""
