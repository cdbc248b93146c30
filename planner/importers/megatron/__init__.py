"""Megatron-LM: command lines and launch scripts, and Megatron-Bridge override lists."""
