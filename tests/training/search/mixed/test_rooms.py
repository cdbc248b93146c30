"""How many layers may fit, against what really does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from planner.training.memory.stage import stage_peaks
from planner.training.search.best_first.run import SearchRun
from planner.training.search.bounding.fitting import batch_of
from planner.training.search.mixed.chunk_rooms import ChunkRooms
from planner.training.search.mixed.rooms import MemoryLines, Rooms, allocated_bytes, rooms_bytes
from planner.training.search.space.restrictions import Restrictions
from planner.workload.stages import StageLoad

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.batch import Batch
    from planner.training.scenario import Scenario

NODES = {"device_nodes": (("a100-sxm-40gb", 1), ("h100-sxm-80gb", 1)), "devices_per_node": 4}


def loaded(batch: Batch, chunks: np.ndarray, replayed: int) -> Batch:
    """The only plan of the batch with these layers in the chunks of every stage."""
    counts = batch.load.counts.copy()
    counts[..., 0] = chunks
    leading = np.zeros((replayed + 1, *counts.shape), dtype=np.int64)
    for led in range(replayed + 1):
        leading[led, ..., 0] = np.minimum(chunks, led)
    load = StageLoad(counts=counts, leading=leading)
    return replace(batch, load=load, recomputed_layers=np.full(1, replayed))


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize(("schedule", "chunks"), [("1f1b", 1), ("interleaved", 2)])
def test_no_stage_holds_more_than_its_room(
    scenario_of: Callable[..., Scenario], schedule: str, chunks: int, recompute: str
) -> None:
    """The first layer of a stage brings what a layer needs while it runs, later ones do not. What
    is said of a division over chunks is nearly always exact."""
    wide: dict[str, Any] = {"hidden": 4096, "ffn": 14336, "length": 16384}
    scenario = scenario_of(**NODES, **wide, layers=24, batch=16)
    restrictions = Restrictions(
        pipeline=(4,),
        tensor=(1, 2),
        schedule=(schedule,),
        virtual_stages=(chunks,),
        recompute=(recompute,),
        micro_batch_size=(1,),
    )
    run = SearchRun(scenario=scenario, restrictions=restrictions, top=1)
    run.bound()
    random = np.random.default_rng(0)
    held = close = compared = 0
    for group in run.space.fitting:
        for index in range(len(group)):
            batch = batch_of(scenario.ideal, group, np.array([index]), np.array([1]))
            types = np.arange(2)[None]
            table = run.space.growing.table
            lines = MemoryLines(scenario=scenario.ideal, table=table, batch=batch)
            rooms = Rooms.of(lines, types)
            room = rooms_bytes(scenario.ideal, types)[0]
            by_chunk = ChunkRooms.of(lines)
            for _ in range(20):
                layers = random.integers(1, 12, (4, chunks))
                if chunks > 1:
                    layers[0, 0], layers[-1, -1] = random.integers(0, 2, 2) * random.integers(
                        1, 12, 2
                    )
                for replayed in (1, 3, 12) if recompute == "full" else (0,):
                    one = loaded(batch, layers, replayed)
                    peaks = stage_peaks(scenario.ideal, run.space.growing.table, one)
                    fits = allocated_bytes(peaks)[0][:, None] <= room
                    total = layers.sum(axis=1)[:, None]
                    again = np.minimum(layers, replayed).sum(axis=1)[:, None]
                    assert not (fits & (total > rooms.most[0])).any()
                    if recompute == "full":
                        needed = rooms.over[0] + rooms.each[0] * total
                        assert not (fits & (needed > again + 1e-6)).any()
                    for stage in range(4) if chunks > 1 else ():
                        way = layers[stage : stage + 1]
                        may = np.array(
                            [
                                by_chunk.may_fit(stage, one, way, replayed)[0]
                                for one in room.tolist()
                            ]
                        )
                        assert (may | ~fits[stage]).all()
                        close += int((may == fits[stage]).sum())
                        compared += len(may)
                    held += int(fits.sum())
    assert held > 20
    assert close >= 0.9 * compared
