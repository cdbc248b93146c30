"""Tokens that travel to their experts in pieces: seconds and bytes of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.training.layer.pieces import hidden_by_pieces_s
from planner.training.layer.prices import LayerPrices
from planner.training.scenario import build_scenario
from planner.workload.expert_exchange import is_exchange
from planner.workload.operators import GroupedMatmul
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from planner.training.scenario import Scenario

SECONDS = st.floats(min_value=0.0, max_value=10.0)
SHARD = Shard(expert=8, micro_batch_size=2, dispatcher="alltoall")


def simulated_s(exchange_s: float, products_s: float, pieces: int) -> float:
    """One stream for exchanges, one for products, first come first served."""
    there_s, product_s = exchange_s / 2 / pieces, products_s / pieces
    sent = [there_s * (1 + index) for index in range(pieces)]
    ready_s, link_s = 0.0, sent[-1]
    for arrived_s in sent:
        ready_s = max(ready_s, arrived_s) + product_s
        link_s = max(link_s, ready_s) + there_s
    return link_s


@given(SECONDS, SECONDS, st.integers(min_value=1, max_value=12))
def test_what_is_hidden_is_what_two_streams_hide(
    exchange_s: float, products_s: float, pieces: int
) -> None:
    hidden_s = float(hidden_by_pieces_s(exchange_s, products_s, pieces))
    serial_s = exchange_s + products_s
    assert serial_s - hidden_s == pytest.approx(
        simulated_s(exchange_s, products_s, pieces), rel=1e-9, abs=1e-12
    )
    assert 0.0 <= hidden_s <= min(exchange_s, products_s) + 1e-9
    assert pieces > 1 or hidden_s == 0.0


def scenario(share: float = 0.4, pieces: tuple[int, ...] = (2, 4)) -> Scenario:
    model, profile = load_model("qwen3-30b-a3b"), load_software("megatron-core")
    constant = profile.expert.overlapped_share.model_copy(update={"value": share})
    expert = profile.expert.model_copy(
        update={"dispatch_piece_choices": pieces, "overlapped_share": constant}
    )
    job = build_job(
        model,
        profile.model_copy(update={"expert": expert}),
        devices=64,
        global_batch_size=64,
        seq_length=4096,
        precision="bf16",
    )
    return build_scenario(load_cluster("dgx-h100-16").sized(devices=64), model, job)


def test_pieces_make_kernels_smaller_and_more() -> None:
    """Alone, pieces cost: without anything hidden a pass gets longer with every division."""
    prices = LayerPrices(scenario(share=1e-9))
    kind = "moe"
    each = [
        prices.price(kind, SHARD._replace(dispatch_pieces=pieces)).times[0]
        for pieces in (1, 2, 4, 8)
    ]
    assert each[0] == prices.price(kind, SHARD).times[0]
    forward = [one.forward.total_s for one in each]
    backward = [one.backward.total_s for one in each]
    assert forward == sorted(forward)
    assert backward == sorted(backward)
    assert forward[0] < forward[-1]


@pytest.mark.parametrize("pieces", [2, 3, 4, 8, 64])
def test_no_number_of_pieces_beats_the_longer_of_exchanges_and_products(pieces: int) -> None:
    """Neither all the work of the device nor all exchanges can be shorter than they are whole."""
    prices = LayerPrices(scenario(share=1.0))
    whole = prices.price("moe", SHARD).times[0]
    divided = prices.price("moe", SHARD._replace(dispatch_pieces=pieces)).times[0]
    for one, other in ((divided.forward, whole.forward), (divided.backward, whole.backward)):
        assert one.compute_s >= other.compute_s
        assert one.total_s >= other.total_s - other.expert_s
        assert one.expert_s >= 0.0


def test_pieces_hide_exchanges_between_nodes() -> None:
    """Of long exchanges two pieces hide more than dividing the products costs."""
    prices = LayerPrices(scenario(share=1.0))
    spread = SHARD._replace(expert=64, micro_batch_size=8)
    whole = prices.price("moe", spread).times[0]
    divided = prices.price("moe", spread._replace(dispatch_pieces=2)).times[0]
    assert divided.forward.total_s < whole.forward.total_s
    assert divided.hidden_s > whole.hidden_s


def test_pieces_keep_what_is_saved_and_add_what_is_in_flight() -> None:
    prices = LayerPrices(scenario())
    whole = prices.price("moe", SHARD).memory
    divided = prices.price("moe", SHARD._replace(dispatch_pieces=4)).memory
    assert divided.saved_bytes == whole.saved_bytes
    assert divided.expert_parameters == whole.expert_parameters
    received, hidden, products = 2 * 4096 * 8, 2048, 2 * 768
    on_their_way = 2 * received * hidden * 3 // 4
    assert divided.working_bytes == 2 * received * (products + hidden) + on_their_way
    assert divided.working_bytes > whole.working_bytes


def test_every_piece_has_launches_of_its_own() -> None:
    prices = LayerPrices(scenario())
    whole, divided = (
        prices.operators("moe", SHARD._replace(dispatch_pieces=pieces)) for pieces in (1, 4)
    )
    calls = [[one.calls for one in part if is_exchange(one)] for part in (whole, divided)]  # type: ignore[attr-defined]
    assert calls[1] == [4 * one for one in calls[0]]
    pieces = {one.pieces for one in divided if isinstance(one, GroupedMatmul)}
    assert pieces == {4}


def test_many_layers_in_pieces_are_priced_as_each() -> None:
    prices = LayerPrices(scenario())
    shards = [
        SHARD._replace(dispatch_pieces=pieces, tensor=tensor, sequence_parallel=tensor > 1)
        for pieces in (1, 2, 4)
        for tensor in (1, 2)
    ]
    found = prices.passes_s("moe", shards)
    each = [[time.passes_s for time in prices.price("moe", shard).times] for shard in shards]
    assert np.array_equal(found, np.array(each))
