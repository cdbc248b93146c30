"""Combinations whose layers may be spread over the chunks of interleaved schedules in many ways.

Letters: N cases, p stages, v chunks of a stage, V = p · v chunks in the order in which a microbatch
visits them. A case is a combination with a number of recomputed layers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.training.batch import SELECTIVE
from planner.training.search.bounding.every_layout import recomputed_numbers
from planner.training.search.bounding.slow_rows import SlowRows, links_s, passes_s, reduction_line_s
from planner.training.search.layouts.bound import beside_pipeline_s, jitter_share, update_s
from planner.training.search.mixed.speeds import layer_columns
from planner.training.step.sends import send_mode

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.every_layout import LayoutStages

ENDS = 2
"""Chunks that may hold no layer: those with the embedding and with the head."""

ROUNDING = 1e-9
"""Share of a layer that rounding may hide."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpreadCases:
    """Combinations [N] of one schedule, number of stages and chunks. Seconds with one microbatch:
    `forward_s` and `backward_s` [N] of a layer, `first_s` [N] what the first layer of a chunk
    replays, `more_s` [N] every further one at least; `ends_s` [N, 2, 2] forward and backward of the
    embedding and of the head. `sends_s` [N, 2, V − 1] there and back, `waits_s` [N, p] what a stage
    waits of its own ones; `after_s` [N] what follows the pipeline. `reduced_s` [N, 2]: of a
    gradient reduction, what it takes in any case and for every layer of its stage. `owed`
    [N, p, 2]: a stage with k layers beyond its fewest replays at least the first and the second · k
    more of them than `first_s` and `more_s` say, or they do not fit. `slow` [N]: the stage of a
    node with slow links, −1 without one; `slow_reduced_s` and `gathered_s` [N, 2] what its stage
    takes to reduce gradients, and what it gathers, which `after_s` lacks then. `most` [N, p]:
    layers that a stage has room for, in memory and in time. `least_s` [N]: a bound on the step of
    layouts that take less than `below_s` [N]. `combination`: its index."""

    combination: Ints
    microbatches: Ints
    forward_s: Floats
    backward_s: Floats
    first_s: Floats
    more_s: Floats
    ends_s: Floats
    sends_s: Floats
    waits_s: Floats
    after_s: Floats
    reduced_s: Floats
    slow: Ints
    slow_reduced_s: Floats
    gathered_s: Floats
    owed: Floats
    most: Floats
    least_s: Floats
    below_s: Floats

    def __len__(self) -> int:
        return len(self.combination)

    def some(self, which: Ints) -> SpreadCases:
        return SpreadCases(**{one.name: getattr(self, one.name)[which] for one in fields(self)})

    @classmethod
    def joined(cls, parts: list[SpreadCases]) -> SpreadCases:
        return cls(
            **{
                one.name: np.concatenate([getattr(part, one.name) for part in parts])
                for one in fields(cls)
            }
        )

    def raised(self, bounds_s: Floats) -> SpreadCases:
        """With what is known of combinations, by index."""
        return replace(self, least_s=np.maximum(self.least_s, bounds_s[self.combination]))

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        table: CostTable,
        batch: Batch,
        stages: LayoutStages,
        indices: Ints,
        below_s: Floats,
    ) -> SpreadCases:
        """The cases of the combinations `indices` of a batch, which has these `stages`, that may
        take less than `below_s` [N]. All that is said of them holds of layouts that do. `scenario`
        has one device type, or is the ideal one of such a cluster; all layers are alike."""
        counts = batch.load.counts.sum(axis=(0, 1))
        column = int(next(c for c in layer_columns(scenario).tolist() if counts[c]))
        rows = SlowRows.of(scenario, table, batch, column)
        if rows is None:
            forward, backward = passes_s(table)[:, batch.row]
        else:
            forward, backward = rows.passes_s
        selective = batch.granularity == SELECTIVE
        backward = backward + selective[:, None] * table.selective_s.min(axis=0)[batch.row]
        outside = batch.load.counts.copy()
        outside[..., layer_columns(scenario)] = 0
        ends = outside[0, 0].astype(np.float64), outside[-1, -1].astype(np.float64)
        mode = send_mode(scenario.job.software, batch.schedule)
        sends_s = links_s(scenario, table, batch)
        if not scenario.topology.symmetric:
            sends_s = np.zeros_like(sends_s)
        none = np.zeros((len(batch), 1))
        own_s = np.zeros((len(batch), batch.pipeline * batch.virtual_stages))
        if mode in ("blocking", "paired"):
            own_s += np.append(sends_s[:, 0], none, axis=1)
        if mode == "blocking":
            own_s += np.append(none, sends_s[:, 1], axis=1)
        waits_s = own_s.reshape(len(batch), -1, batch.pipeline).sum(axis=1)
        work_s = batch.num_microbatches * stages.work_s / batch.pipeline
        after_s = jitter_share(scenario, batch.pipeline) * work_s
        after_s = after_s + beside_pipeline_s(scenario, table, batch)
        reduced_s = reduction_line_s(scenario, table, batch, column)
        replays = stages.replays(_unlike(table, batch, column))
        held_least = fewest_layers(own_s.shape[1]).reshape(-1, batch.pipeline).sum(axis=0)
        least_s = batch.num_microbatches * (forward + backward)[:, column]
        longest = np.floor(below_s / least_s) - (batch.virtual_stages - 1) + ENDS
        parts = []
        numbers = recomputed_numbers(stages, batch)
        for recomputed in numbers:
            most = stages.most(recomputed, last=recomputed == numbers[-1])
            held = np.maximum(np.minimum(longest, most.max(axis=1)), 2.0)
            replayed = np.minimum(recomputed, held) - min(recomputed, 1)
            share = replayed / (held - 1)
            needed = np.stack(
                (
                    replays[..., 0] + (replays[..., 1] - 1) * held_least,
                    replays[..., 1] - share[:, None],
                ),
                axis=-1,
            )
            kept = (most >= 0).all(axis=1) & (most.sum(axis=1) >= stages.layers)
            kept &= stages.full | (recomputed == numbers[0])
            parts.append(
                cls(
                    combination=indices,
                    microbatches=batch.num_microbatches,
                    forward_s=forward[:, column],
                    backward_s=backward[:, column],
                    first_s=stages.replay_s,
                    more_s=stages.replay_s * share,
                    ends_s=np.stack(
                        [np.stack((forward @ one, backward @ one), axis=-1) for one in ends], axis=1
                    ),
                    sends_s=sends_s,
                    waits_s=waits_s,
                    after_s=after_s,
                    reduced_s=reduced_s,
                    slow=np.full(len(batch), -1),
                    slow_reduced_s=reduced_s,
                    gathered_s=np.zeros_like(reduced_s),
                    owed=np.where(stages.full[:, None, None], needed, 0.0),
                    most=most,
                    least_s=np.zeros(len(batch)),
                    below_s=below_s,
                ).some(np.flatnonzero(kept))
            )
        cases = cls.joined(parts)._within(stages.layers)
        if rows is None:
            return cases
        update = update_s(scenario, table, batch) + jitter_share(scenario, batch.pipeline) * work_s
        return cases._in_every_stage(rows, update, np.searchsorted(indices, cases.combination))

    def _in_every_stage(self, rows: SlowRows, update_s: Floats, of: Ints) -> SpreadCases:
        """With a node that has slow links in every stage in turn, where there is one. `update_s`
        [n]: what follows the pipeline besides the gather; `of` [N]: the combinations of the cases
        in `rows` and `update_s`."""
        slow = rows.known[of]
        parts = [self.some(np.flatnonzero(~slow))]
        some, of = self.some(np.flatnonzero(slow)), of[slow]
        parts += [
            replace(
                some,
                sends_s=sends_s[of],
                slow=np.full(len(some), stage),
                slow_reduced_s=rows.reduced_s[of],
                gathered_s=rows.gathered_s[of],
                after_s=update_s[of],
            )
            for stage, sends_s in enumerate(rows.sends_s)
        ]
        return SpreadCases.joined(parts)

    def _within(self, layers: int) -> SpreadCases:
        """The cases whose stages hold all `layers` where none takes longer than `below_s`.

        A microbatch goes to a stage through the first chunks of those before it, and the stage runs
        all its passes. Then it reduces its gradients, or the last microbatch goes back and the
        first stage reduces its own. These are paths, whatever other chunks hold beyond their fewest
        layers. A layer more than fit into the time makes one of them longer than `below_s`."""
        (few, stages), m = self.most.shape, self.microbatches[:, None]
        fewest = fewest_layers(self.sends_s.shape[-1] + 1)
        held = fewest.reshape(-1, stages).sum(axis=0)
        layer_s = np.stack((self.forward_s, self.backward_s), axis=1)
        one_s, more_s = layer_s.copy(), layer_s.copy()
        one_s[:, 1] += self.first_s
        more_s[:, 1] += self.more_s
        way_s = np.zeros((few, 2, stages))
        way_s[..., 1:] = one_s[..., None] * fewest[: stages - 1]
        way_s[..., 1:] += self.sends_s[..., : stages - 1]
        way_s[..., 1] += self.ends_s[:, 0]
        there_s, back_s = np.moveaxis(np.cumsum(way_s, axis=-1), 1, 0)
        passes_s = held * one_s.sum(axis=1)[:, None]
        passes_s[:, 0] += self.ends_s[:, 0].sum(axis=-1)
        passes_s[:, -1] += self.ends_s[:, 1].sum(axis=-1)
        # Of the messages of the last two passes nothing is said.
        waits_s = np.maximum(m - 2, 0) * self.waits_s
        base_s = self.after_s[:, None] + m * passes_s + waits_s + there_s + self.reduced_s[:, :1]
        each_s = self.reduced_s[:, 1:]
        own_s, own_more_s = base_s + held * each_s, m * more_s.sum(axis=1)[:, None] + each_s
        first_s, first_more_s = base_s + back_s + held[0] * each_s, own_more_s - each_s
        below_s = self.below_s[:, None]
        room = np.minimum((below_s - own_s) / own_more_s, (below_s - first_s) / first_more_s)
        most = np.minimum(self.most, held + np.floor(room + ROUNDING))
        kept = (most >= held).all(axis=1) & (most.sum(axis=1) >= layers)
        # What others have no room for.
        more = np.maximum(layers - (most.sum(axis=1, keepdims=True) - most) - held, 0)
        longest_s = np.maximum(own_s + more * own_more_s, first_s + more * first_more_s)
        least_s = np.maximum(self.least_s, longest_s.max(axis=1))
        return replace(self, most=most, least_s=least_s).some(np.flatnonzero(kept))


def _unlike(table: CostTable, batch: Batch, column: int) -> Floats:
    """[N]: replays that a stage may save by holding no layer beside the embedding or the head: a
    layer of another chunk that is moved there adds what it keeps at most, which so many free."""
    kept = table.saved_bytes[batch.row, column]
    dropped = kept - table.full_bytes[batch.row, column]
    return np.asarray(1 + kept / np.maximum(dropped, 1))


def fewest_layers(chunks: int) -> Floats:
    """[V]: layers that every chunk has at least."""
    fewest = np.ones(chunks)
    fewest[[0, -1]] = 0.0
    return fewest
