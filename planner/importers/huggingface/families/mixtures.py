"""Decoders with mixtures of experts and grouped attention."""

from __future__ import annotations

from planner.importers.huggingface.families.common import (
    attention,
    attention_biases,
    dense,
    refuse,
)
from planner.importers.huggingface.families.dense import qwen2, qwen3
from planner.importers.huggingface.keys import Keys
from planner.importers.huggingface.layers import (
    Model,
    every_nth_full,
    expert_layers,
    experts,
    full_layers,
    listed_sparse,
    window,
)


def mixtral(keys: Keys, model: Model) -> None:
    _mixture(keys, model)
    window(keys, model, [False] * model["num_layers"])


def _mixture(keys: Keys, model: Model) -> None:
    """Experts in every layer, each as wide as the MLP's key says."""
    dense(keys, model)
    model["moe"] = {**experts(keys), "ffn_hidden_size": model["ffn_hidden_size"]}


def olmoe(keys: Keys, model: Model) -> None:
    _mixture(keys, model)
    attention_biases(keys, model)


def granitemoe(keys: Keys, model: Model) -> None:
    olmoe(keys, model)
    shared = keys.optional("shared_intermediate_size", least=0)
    if shared:
        model["moe"]["shared_expert_ffn_hidden_size"] = shared


def phimoe(keys: Keys, model: Model) -> None:
    olmoe(keys, model)
    model["head_bias"] = keys.boolean("lm_head_bias", False)
    window(keys, model, [False] * model["num_layers"])


def minimax_m2(keys: Keys, model: Model) -> None:
    _mixture(keys, model)
    if keys.optional("num_mtp_modules", least=0):
        keys.notes.left_out.append("num_mtp_modules: layers that predict further tokens")


def qwen3_moe(keys: Keys, model: Model) -> None:
    qwen3(keys, model)
    model["moe"] = _qwen_experts(keys, model)


def qwen2_moe(keys: Keys, model: Model) -> None:
    qwen2(keys, model)
    model["qkv_bias"] = keys.boolean("qkv_bias", True)
    model["moe"] = _qwen_experts(keys, model) | {
        "shared_expert_ffn_hidden_size": keys.integer("shared_expert_intermediate_size"),
        "shared_expert_gate": True,
    }


def _qwen_experts(keys: Keys, model: Model) -> Model:
    layers = model["num_layers"]
    step = keys.integer("decoder_sparse_step")
    dense_layers = keys.sequence("mlp_only_layers") or []
    if not all(type(layer) is int for layer in dense_layers):
        raise keys.error("expected whole numbers", "mlp_only_layers")
    chosen = [index not in dense_layers and (index + 1) % step == 0 for index in range(layers)]
    moe = {**experts(keys), "ffn_hidden_size": keys.integer("moe_intermediate_size")}
    return moe | expert_layers(keys, chosen, "mlp_only_layers")


def gpt_oss(keys: Keys, model: Model) -> None:
    _mixture(keys, model)
    model["qkv_bias"] = model["attention_bias"] = keys.boolean("attention_bias", True)
    model["moe"]["router_bias"] = True
    layers = model["num_layers"]
    window(keys, model, full_layers(keys, layers) or every_nth_full(layers, 2))


def glm4_moe(keys: Keys, model: Model) -> None:
    dense(keys, model)
    attention_biases(keys, model, output=False)
    model["qk_norm"] = keys.boolean("use_qk_norm", False)
    model["moe"] = experts_after_dense(keys, model)
    prediction_layers(keys, model)


def dots1(keys: Keys, model: Model) -> None:
    dense(keys, model)
    attention_biases(keys, model)
    model["moe"] = experts_after_dense(keys, model)
    layers = model["num_layers"]
    window(keys, model, full_layers(keys, layers) or [True] * layers)


def experts_after_dense(keys: Keys, model: Model) -> Model:
    """Dense layers first, then experts of a width of their own and shared experts."""
    layers = model["num_layers"]
    routed = experts(keys)
    width = keys.integer("moe_intermediate_size")
    shared = keys.optional("n_shared_experts", least=0, most=100_000) or 0
    first = keys.optional("first_k_dense_replace", least=0) or 0
    step = keys.optional("moe_layer_freq") or 1
    chosen = listed_sparse(keys, layers) or [
        index >= first and index % step == 0 for index in range(layers)
    ]
    moe = {**routed, "ffn_hidden_size": width}
    if shared:
        moe["shared_expert_ffn_hidden_size"] = shared * width
    return moe | _routing(keys, routed) | expert_layers(keys, chosen, "first_k_dense_replace")


def _routing(keys: Keys, routed: Model) -> Model:
    """Groups that hold the experts of one token, and the router's scores."""
    routing: Model = {}
    groups = keys.optional("n_group", most=100_000) or 1
    if groups > 1:
        experts_each, rest = divmod(routed["num_experts"], groups)
        if rest:
            raise keys.error(f"does not divide {routed['num_experts']} experts", "n_group")
        chosen = keys.optional("topk_group", most=groups) or groups
        if chosen * experts_each < routed["top_k"]:
            raise keys.error(f"{chosen} groups hold fewer experts than a token has", "topk_group")
        routing |= {"num_groups": groups, "group_top_k": chosen}
    scores = keys.word("scoring_func", ("softmax", "sigmoid"))
    return routing if scores is None else routing | {"score_function": scores}


def prediction_layers(keys: Keys, model: Model) -> None:
    predictions = keys.optional("num_nextn_predict_layers", least=0, most=100)
    if predictions:
        model["mtp_num_layers"] = predictions


def ernie4_5_moe(keys: Keys, model: Model) -> None:
    dense(keys, model)
    refuse(keys, "use_bias")
    layers, width = model["num_layers"], keys.integer("moe_intermediate_size")
    shared = keys.optional("moe_num_shared_experts", least=0, most=100_000) or 0
    first = keys.optional("moe_layer_start_index", least=0) or 0
    last = keys.optional("moe_layer_end_index", least=-1)
    last = layers - 1 if last in (None, -1) else last
    step = keys.optional("moe_layer_interval") or 1
    chosen = [(index + 1) % step == 0 and first <= index <= last for index in range(layers)]
    model["moe"] = {**experts(keys), "ffn_hidden_size": width}
    if shared:
        model["moe"]["shared_expert_ffn_hidden_size"] = shared * width
    model["moe"] |= expert_layers(keys, chosen, "moe_layer_start_index")


def llama4(keys: Keys, model: Model) -> None:
    """Dense layers have a width of their own, experts and the shared one the other."""
    attention(keys, model)
    attention_biases(keys, model)
    layers, width = model["num_layers"], keys.integer("intermediate_size")
    model["ffn_hidden_size"] = keys.integer("intermediate_size_mlp")
    step = keys.optional("interleave_moe_layer_step") or 1
    listed = keys.sequence("moe_layers")
    chosen = [
        (index + 1) % step == 0 if listed is None else index in listed for index in range(layers)
    ]
    model["moe"] = {
        **experts(keys),
        "ffn_hidden_size": width,
        "shared_expert_ffn_hidden_size": width,
    }
    model["moe"] |= expert_layers(keys, chosen, "moe_layers")
    model["qk_norm"] = keys.boolean("use_qk_norm", True)
    _chunks(keys, model)


def _chunks(keys: Keys, model: Model) -> None:
    """Layers with rotary positions see chunks, the others the whole sequence."""
    layers = model["num_layers"]
    listed = full_layers(keys, layers, local="chunked_attention")
    rotary = keys.sequence("no_rope_layers")
    every = keys.optional("no_rope_layer_interval") or 4
    usual = every_nth_full(layers, every)
    full = listed or ([not one for one in rotary] if rotary else usual)
    window(keys, model, full, key="attention_chunk_size", into="attention_chunk")


def hunyuan_moe(keys: Keys, model: Model) -> None:
    """Experts and shared ones in every layer; numbers may be listed layer by layer."""
    dense(keys, model)
    attention_biases(keys, model)
    width = keys.in_all_layers("moe_intermediate_size") or model["ffn_hidden_size"]
    routed, chosen = keys.in_all_layers("num_local_experts"), keys.in_all_layers("moe_topk")
    if routed is None or chosen is None or chosen > routed:
        raise keys.error(f"{chosen} of {routed} experts", "moe_topk")
    model["moe"] = {
        "num_experts": routed,
        "top_k": chosen,
        "ffn_hidden_size": width,
        "shared_expert_ffn_hidden_size": (keys.in_all_layers("num_shared_expert") or 1) * width,
    }
