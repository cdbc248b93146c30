"""Steps of an engine, memory and the simulated load: what must hold, and brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.errors import RuleError
from planner.hardware import collectives
from planner.hardware.described import topology_from_spec
from planner.serving.estimate import estimate, estimate_decode_pool, prices
from planner.serving.held import HeldPrices
from planner.serving.layer.attention import readings
from planner.serving.layer.laws import activated, experts_s, fullest, product_s
from planner.serving.layer.layers import expert_part_s, mlp_part_s
from planner.serving.layer.network import all_reduce_s, routed_s
from planner.serving.load.lengths import ClosedLoad
from planner.serving.memory import serving_memory
from planner.serving.scenario import ServingDegrees, ServingScenario
from planner.serving.step import Prompt
from planner.specs.engine import load_engine
from planner.specs.files import catalog
from planner.specs.load import load_cluster, load_device, load_model


def scenario(
    model: str = "llama-3-70b",
    device: str = "h200-sxm",
    engine: str = "vllm",
    weights: str = "fp8",
    kv: str = "bf16",
    **degrees: int,
) -> ServingScenario:
    return ServingScenario(
        model=load_model(model),
        device=load_device(device),
        engine=load_engine(engine),
        weights=weights,
        kv=kv,
        degrees=ServingDegrees(**degrees),
    )


def test_a_decoding_step_reads_weights_and_cache() -> None:
    """Llama 70B in fp8 on one H200: 70e9 bytes at 4.8 TB/s are 14.6 ms, and 128 sequences of 2,048
    tokens add 2 x 8 x 128 x 80 x 2 bytes each, 86 GB or 17.9 ms."""
    costs, _ = prices(scenario())
    alone_s, full_s = costs.decode_s(1, 2048), costs.decode_s(128, 128 * 2048)
    assert 14.6e-3 < alone_s < 1.6 * 14.6e-3
    assert 17.9e-3 < full_s - costs.decode_s(128, 0) < 1.5 * 17.9e-3


def test_the_cache_is_read_by_kv_heads_until_there_is_one_on_a_rank() -> None:
    per_token = {
        tensor: prices(scenario(tensor=tensor))[0].decode_s(1, 1e6)
        - prices(scenario(tensor=tensor))[0].decode_s(1, 0)
        for tensor in (1, 8, 16)
    }
    assert per_token[1] == pytest.approx(8 * per_token[8])
    assert per_token[16] == pytest.approx(per_token[8])


def test_a_compressed_cache_is_read_by_every_rank() -> None:
    bytes_of = {
        tensor: serving_memory(
            scenario("deepseek-v3", weights="fp8-block", tensor=tensor)
        ).request_bytes(1600)
        for tensor in (8, 16)
    }
    assert bytes_of[8] == bytes_of[16] == 1600 * 61 * (512 + 64) * 2


def test_windows_hold_no_more_than_their_width() -> None:
    memory = serving_memory(scenario("gpt-oss-120b", weights="mxfp4"))
    each = 2 * 8 * 64 * 2
    assert memory.request_bytes(16_000) == 18 * each * 16_000 + 18 * each * 128


def test_tensorrt_llm_caches_the_whole_context_of_windows() -> None:
    """KVCacheManager: max_attention_window is the longest sequence unless it is stated."""
    whole = serving_memory(scenario("gpt-oss-120b", engine="trtllm", weights="mxfp4"))
    assert whole.request_bytes(16_000) == 36 * 2 * 8 * 64 * 2 * 16_000


@pytest.mark.parametrize(
    ("engine", "kv", "model", "tokens", "measured_s"),
    [
        ("trtllm", "bf16", "llama-3-70b", 1024, 50e-6),
        ("trtllm", "bf16", "llama-3-70b", 16_384, 4.33e-3),
        ("trtllm", "fp8", "llama-3-70b", 16_384, 2.91e-3),
        ("sglang", "bf16", "llama-3-70b", 8192, 0.9e-3),
        ("trtllm", "bf16", "deepseek-v3", 1024, 34e-6),
        ("trtllm", "bf16", "deepseek-v3", 8192, 0.635e-3),
    ],
)
def test_attention_of_prompts_takes_what_its_operator_table_says(
    engine: str, kv: str, model: str, tokens: int, measured_s: float
) -> None:
    """Of one layer on an H200 with 32 query and 4 KV heads, and with 16 heads over a compressed
    cache (ai-dynamo/aiconfigurator, h200_sxm: attention and mla, 1.3.0rc10 and rc20, 0.5.9)."""
    degrees = {"weights": "fp8-block", "tensor": 8} if model == "deepseek-v3" else {"tensor": 2}
    one = scenario(model, engine=engine, kv=kv, **degrees)
    (part,) = readings(one)
    layers = one.model.num_layers
    found_s = (part.prompt_start_s + part.pair_s * tokens * (tokens / 2 + part.ramp)) / layers
    assert found_s == pytest.approx(measured_s, rel=0.25)


def test_shared_experts_run_beside_the_routed_ones_of_short_steps() -> None:
    """vLLM up to 256 tokens: the floors of two products in each of 58 mixtures are hidden."""
    beside = scenario("deepseek-v3", weights="fp8-block", tensor=8)
    table = beside.table.model_copy(update={"shared_beside": None})
    engine = beside.engine.model_copy(update={"kernels": {"hopper": table}})
    after = replace(beside, engine=engine)
    saved_s = [
        prices(after)[0].decode_s(n, n * 1000.0) - prices(beside)[0].decode_s(n, n * 1000.0)
        for n in (4, 1000)
    ]
    floor = table.products["fp8-block"].floor
    assert saved_s == [pytest.approx(58 * 2 * floor), pytest.approx(0, abs=1e-9)]


def test_long_products_run_at_the_power_that_training_sustains() -> None:
    """A step of 8,192 tokens on an H100: its products take what training runs find of the short
    kernels of the operator tables (`sustained` of the device); a decoding one streams weights."""
    one = scenario(device="h100-sxm-80gb", weights="bf16")
    tokens = np.array([4.0, 8192.0])
    free = one.device.model_copy(
        update={
            "sustained": one.device.sustained.model_copy(
                update={"matmul": one.device.sustained.matmul.model_copy(update={"value": 1.0})}
            )
        }
    )
    short, long = (
        product_s(one, tokens, 8192, 8192, "bf16")
        / product_s(replace(one, device=free), tokens, 8192, 8192, "bf16")
    ).tolist()
    assert short == pytest.approx(1, rel=0.01)
    assert long == pytest.approx(1 / one.device.sustained.matmul.value, rel=0.02)


@pytest.mark.parametrize(
    ("n", "k", "measured_s"), [(2112, 7168, 123e-6), (3072, 1536, 30e-6), (7168, 2048, 34e-6)]
)
def test_undivided_sums_take_the_time_of_their_chain(n: int, k: int, measured_s: float) -> None:
    """Kernels of 64 tokens on an MI325X, SGLang 0.5.9 (SemiAnalysisAI/InferenceX, issue 863)."""
    one = scenario("deepseek-v3", "mi325x", "sglang", "fp8-block", tensor=8)
    found = product_s(one, np.array([64.0]), n, k, "fp8-block")
    assert float(found[0]) == pytest.approx(measured_s, rel=0.15)


def test_fused_shared_experts_are_one_more_expert() -> None:
    """SGLang on AMD devices: 2,048 x 7,168 of one more expert for every token, divided 8 ways; with
    whole experts on a device it is computed apart."""
    tokens = np.array([4.0])
    for expert, fused in ((1, True), (8, False)):
        one = scenario("deepseek-v3", "mi355x", "sglang", "fp8-block", tensor=8, expert=expert)
        table = one.table.model_copy(update={"shared_fused": None})
        apart = replace(one, engine=one.engine.model_copy(update={"kernels": {"cdna": table}}))
        less_s = float((expert_part_s(apart, tokens) - expert_part_s(one, tokens))[0])
        products_s = float(mlp_part_s(one, tokens, 2048)[0])
        assert (0.2 * products_s < less_s < products_s) if fused else less_s == 0


@pytest.mark.parametrize(("tokens", "devices"), [(4, 16), (16, 16), (16, 8), (128, 8)])
def test_the_fullest_device_agrees_with_drawing_it(tokens: int, devices: int) -> None:
    """Tokens that choose 8 of 256 experts at random, which devices hold in equal parts."""
    rng = np.random.default_rng(1)
    met, rows = [], []
    for _ in range(200):
        chosen = np.concatenate([rng.choice(256, 8, replace=False) for _ in range(tokens)])
        met.append(np.bincount(np.unique(chosen) * devices // 256, minlength=devices).max())
        rows.append(np.bincount(chosen * devices // 256, minlength=devices).max())
    found = fullest(256, 8 / 256, np.array([float(tokens)]), devices)
    assert float(found[0][0]) == pytest.approx(np.mean(met), rel=0.1)
    assert float(found[1][0]) == pytest.approx(np.mean(rows), rel=0.1)
    assert fullest(256, 8 / 256, np.array([1.0]), 1)[1][0] == 8


def test_stages_over_several_nodes_sum_over_the_network() -> None:
    """As the collective library does in training; a group inside a node is as before. NCCL takes
    tens of microseconds for short messages of two nodes."""
    group = topology_from_spec(load_cluster("dgx-h100-16"), devices=16).group(16, 1)
    inside = scenario("deepseek-v3", "h100-sxm-80gb", "trtllm", "fp8-block", tensor=16)
    across = replace(inside, stage_group=group)
    sizes = np.array([14336.0, 1e6])
    found = all_reduce_s(across, 16, sizes)
    assert found.tolist() == [collectives.all_reduce_s(group, size) for size in sizes]
    assert 20e-6 < found[0] < 60e-6
    assert all_reduce_s(across, 8, sizes).tolist() == all_reduce_s(inside, 8, sizes).tolist()
    near = replace(inside, degrees=ServingDegrees(attention_data=16, expert=16))
    tokens = np.array([64.0])
    assert routed_s(replace(near, stage_group=group), tokens)[0] > routed_s(near, tokens)[0]


def test_sparse_attention_of_a_long_prompt_costs_what_its_operator_table_says() -> None:
    """GLM-5 with 8 heads on an H200: one prompt of 8,192 tokens takes 5.2 ms a layer and four of
    2,048, which see all their keys, less than a millisecond (ai-dynamo/aiconfigurator,
    h200_sxm/sparse_attention/sglang/0.5.14, dsa_context_module, bf16 cache)."""
    model = str(catalog.folder("runs") / "serving" / "models" / "glm-5.yaml")
    costs, _ = prices(scenario(model, engine="sglang", weights="fp8-block", tensor=8))
    long_s = costs.prompt_s(0, 0.0, [Prompt(8192, 0)])
    short_s = costs.prompt_s(0, 0.0, [Prompt(2048, 0)] * 4)
    assert (long_s - short_s) / 78 == pytest.approx(4.4e-3, rel=0.2)


def test_layers_with_chunks_see_no_more_than_a_chunk() -> None:
    """Llama 4 Maverick: three of four layers cut the sequence into chunks of 8,192 tokens. From a
    mean of 6,144 keys to one of 30,720 they see 2,048 more, the others 24,576."""
    model = str(catalog.folder("runs") / "serving" / "models" / "llama-4-maverick.yaml")
    chunked = scenario(model, device="b200-sxm", engine="trtllm", weights="nvfp4", tensor=4)
    whole = replace(chunked, model=replace(chunked.model, attention_chunk=None))
    longer_s = []
    for one in (chunked, whole):
        costs, _ = prices(one)
        early, late = (costs.prompt_s(0, 0, [Prompt(4096, before)]) for before in (4096, 28672))
        longer_s.append(late - early)
    share = (24576 + 3 * 2048) / (4 * 24576)
    assert longer_s[0] == pytest.approx(share * longer_s[1])


def test_experts_met_agree_with_drawing_them() -> None:
    """64 tokens that choose 8 of 256 experts at random."""
    rng = np.random.default_rng(1)
    drawn = [
        len({int(e) for _ in range(64) for e in rng.choice(256, 8, replace=False)})
        for _ in range(200)
    ]
    assert float(activated(256, 8 / 256, np.array(64.0))) == pytest.approx(np.mean(drawn), rel=0.01)


def test_experts_cost_more_with_more_tokens_and_less_on_more_ranks() -> None:
    tokens = np.array([1.0, 4, 16, 64, 256, 4096])
    on_8 = experts_s(scenario("deepseek-v3", weights="fp8-block", tensor=8), tokens)
    split = experts_s(scenario("deepseek-v3", weights="fp8-block", tensor=8, expert=8), tokens)
    on_16 = experts_s(scenario("deepseek-v3", weights="fp8-block", tensor=16), tokens)
    assert (np.diff(on_8) > 0).all()
    assert (on_16 < on_8).all()
    assert (split > 0.9 * on_8).all()
    assert (split < 1.35 * on_8).all()
    assert split[-1] == pytest.approx(on_8[-1], rel=0.1)


def test_short_all_reduces_are_those_of_the_operator_table() -> None:
    """vLLM on 8 H200, in a graph: 32 KB 5.7 us, 64 MB 317 us (ai-dynamo/aiconfigurator)."""
    measured_s = {32 * 2**10: 5.7e-6, 64 * 2**20: 317e-6}
    found_s = all_reduce_s(scenario(tensor=8), 8, np.array([*map(float, measured_s)]))
    assert found_s == pytest.approx(list(measured_s.values()), rel=0.15)


def test_weights_that_do_not_fit_are_refused_with_their_room() -> None:
    with pytest.raises(RuleError, match="leaves 0 tokens of KV cache"):
        estimate(
            scenario("deepseek-v3", weights="fp8-block"),
            ClosedLoad(concurrency=1, input_tokens=100, output_tokens=10),
        )


def test_a_format_without_kernels_is_refused() -> None:
    with pytest.raises(RuleError, match="vllm has no products in nvfp4 on h200-sxm"):
        scenario(weights="nvfp4")


def test_one_client_waits_for_its_own_steps_only() -> None:
    """By hand: a prompt step, then one decoding step for each further token."""
    one = scenario()
    costs, _ = prices(one)
    load = ClosedLoad(concurrency=1, input_tokens=1000, output_tokens=101)
    found = estimate(one, load)
    assert found.tpot is not None
    steps_s = [costs.decode_s(1, 1000 + step) for step in range(100)]
    assert found.tpot.mean_s == pytest.approx(sum(steps_s) / 100)
    host = one.engine.host
    late_s = host.request.value + host.late_steps.value * found.tpot.mean_s
    taken_s = host.intake.value + 1000 * host.token_intake.value
    prompt_s = costs.prompt_s(0, 0, [Prompt(1000, 0)])
    assert found.ttft.mean_s == pytest.approx(taken_s + prompt_s + late_s)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_more_clients_serve_more_and_wait_longer(engine: str) -> None:
    found = [
        estimate(
            scenario(engine=engine, tensor=8),
            ClosedLoad(concurrency=c, input_tokens=1024, output_tokens=256, least=0.8, rounds=4),
        )
        for c in (1, 8, 64)
    ]
    rates = [one.output_tokens_per_s_per_device for one in found]
    tpots = [one.tpot.mean_s for one in found if one.tpot is not None]
    assert rates == sorted(rates)
    assert tpots == sorted(tpots)
    assert all(one.ttft.median_s <= one.ttft.p99_s for one in found)


def test_requests_beyond_the_cache_wait() -> None:
    """A cache for two requests and four clients: two of them run at a time."""
    one = scenario(tensor=8)
    rule = one.engine.memory
    _, memory = prices(one)
    share = rule.share.value - (memory.kv_bytes - 2.2 * memory.request_bytes(1500)) / (
        one.device.memory.capacity.value
    )
    small = one.engine.model_copy(
        update={
            "memory": rule.model_copy(
                update={"share": rule.share.model_copy(update={"value": share})}
            )
        }
    )
    tight = ServingScenario(
        model=one.model,
        device=one.device,
        engine=small,
        weights=one.weights,
        kv=one.kv,
        degrees=one.degrees,
    )
    load = ClosedLoad(concurrency=4, input_tokens=1000, output_tokens=500, rounds=4)
    wide, narrow = estimate(one, load), estimate(tight, load)
    assert wide.tpot is not None
    assert narrow.ttft.median_s > 400 * wide.tpot.mean_s
    two = estimate(one, replace(load, concurrency=2))
    assert narrow.output_tokens_per_s_per_device == pytest.approx(
        two.output_tokens_per_s_per_device, rel=0.1
    )


def test_requests_wait_for_the_next_look() -> None:
    """A scheduler that looks for requests every 30 steps makes them wait half of that."""
    one = scenario(tensor=8)
    slow = one.engine.model_copy(
        update={"scheduler": one.engine.scheduler.model_copy(update={"poll_steps": 30})}
    )
    rare = ServingScenario(
        model=one.model,
        device=one.device,
        engine=slow,
        weights=one.weights,
        kv=one.kv,
        degrees=one.degrees,
    )
    load = ClosedLoad(concurrency=8, input_tokens=1024, output_tokens=1024, least=0.8, rounds=10)
    often, seldom = estimate(one, load), estimate(rare, load)
    assert often.tpot is not None
    waited_steps = (seldom.ttft.mean_s - often.ttft.mean_s) / often.tpot.mean_s
    assert 8 < waited_steps < 20


def test_a_decoding_pool_is_no_busier_than_prompts_are_read() -> None:
    load = ClosedLoad(concurrency=2000, input_tokens=8192, output_tokens=256)
    pools = [
        estimate_decode_pool(
            scenario(tensor=2), scenario(tensor=8), load, prefill_replicas=n, decode_replicas=1
        )
        for n in (1, 4, 400)
    ]
    running = [pool.running for pool in pools]
    assert running == sorted(running)
    assert running[1] == pytest.approx(4 * running[0], rel=0.3)
    assert running[2] > 10 * running[0]


def test_tables_that_had_to_go_are_worked_out_alike() -> None:
    """Room for two tables of three: each is asked for again after it went, and never three stay."""
    asked = [scenario(tensor=tensor) for tensor in (1, 2, 4)]
    each = HeldPrices().of(asked[0])[0].table_bytes
    held = HeldPrices(2 * each)
    for one in 2 * asked:
        costs, memory = held.of(one)
        assert held.of(one)[0] is costs
        assert held.table_bytes <= 2 * each
        fresh, fresh_memory = HeldPrices().of(one)
        steps = (8, 8 * 2048.0, [Prompt(512, 256)])
        assert costs.prompt_s(*steps) == fresh.prompt_s(*steps)
        assert costs.decode_s(8, 8 * 2048) == fresh.decode_s(8, 8 * 2048)
        assert memory == fresh_memory
