"""From files users already have to the planner's own YAML.

`models` reads a model from a Hugging Face config, a Megatron-LM launch script, a Megatron-Bridge
override list or a torchtitan flavor; `clusters` reads nodes, links and tiers from what benchmarks
and schedulers print. Every import reports what it read, what it assumed and what it left out.
"""
