"""Messages when no combination is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from planner.errors import RuleError
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.scenario import Scenario


@pytest.mark.parametrize(
    ("size", "restrictions", "message"),
    [
        (
            {},
            Restrictions(tensor=(3,)),
            "heads: no combination with --tensor 3 is valid on 8 devices and global batch 16: the "
            "tensor degree must divide the 8 attention heads; valid with --tensor 1,2,4,8",
        ),
        (
            {},
            Restrictions(tensor=(4,), pipeline=(2,), data=(2,)),
            "world: no combination with --pipeline 2 --tensor 4 --data 2 is valid on 8 devices and "
            "global batch 16: tensor · pipeline · context · data must equal the 8 devices; valid "
            "with --tensor 2 or --pipeline 1 or --data 1",
        ),
        (
            {},
            Restrictions(micro_batch_size=(5,)),
            "batch: no combination with --micro-batch-size 5 is valid on 8 devices and global "
            "batch 16: micro-batch size · data must divide the global batch of 16; valid with "
            "--micro-batch-size 1,2,4,8,16",
        ),
        (
            {"devices_per_node": 7, "batch": 5, "layers": 6},
            Restrictions(),
            "batch: no combination is valid on 7 devices and global batch 5: micro-batch size · "
            "data must divide the global batch of 5; valid global batch sizes nearby: 7",
        ),
        (
            {},
            Restrictions(pipeline=(1,), virtual_stages=(2,)),
            "vpp: no combination with --pipeline 1 --virtual-stages 2 is valid",
        ),
        (
            {"batch": 8},
            Restrictions(data=(8,), schedule=("interleaved",)),
            "vpp: no combination with --data 8 --schedule interleaved is valid",
        ),
    ],
)
def test_the_rule_and_what_would_do(
    scenario_of: Callable[..., Scenario],
    size: dict[str, Any],
    restrictions: Restrictions,
    message: str,
) -> None:
    with pytest.raises(RuleError) as error:
        search(scenario_of(**size), restrictions=restrictions)
    assert str(error.value).startswith(message)
