"""Documents beside one another: where they differ, and which best plan is faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.fuzz.case import Case

ROUNDING = 1e-8
"""Documents keep nine digits."""


def differences(ours: Any, theirs: Any, at: str = "") -> Iterator[str]:
    """Where two values differ by more than rounding."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys((*ours, *theirs)):
            yield from differences(ours.get(key), theirs.get(key), f"{at}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{at}[{index}]")
    elif isinstance(ours, float) and isinstance(theirs, (int, float)):
        if abs(ours - theirs) > ROUNDING * max(abs(ours), abs(theirs)):
            yield f"{at}: {ours} != {theirs}"
    elif ours != theirs:
        yield f"{at}: {str(ours)[:80]} != {str(theirs)[:80]}"


def close(one: float, other: float) -> bool:
    return one == other or abs(one - other) <= ROUNDING * max(one, other)


def best_s(document: Mapping[str, Any] | None) -> float:
    """Seconds that the search ranked its best plan by; infinite without any."""
    if not document or not document["plans"]:
        return float("inf")
    best = document["plans"][0]
    return float(best.get("worst_step_s", best["estimate"]["step_s"]))


def settled(document: Mapping[str, Any]) -> bool:
    """Whether the search says that nothing at all is faster: no other combination, stage layout or
    placement."""
    search = document["search"]
    return bool(search["proven"]) and not search["gap"]


def least_s(document: Mapping[str, Any]) -> float:
    """Seconds below which no plan is, by what the search says of its own gaps."""
    search, plans = document["search"], document["plans"]
    if not plans:
        return float("inf") if search["proven"] else 0.0
    last = plans[-1]
    last_s = float(last.get("worst_step_s", last["estimate"]["step_s"]))
    of_best_s = best_s(document) * (1 - float(search["placement_gap"]))
    others = max(search["combination_gap"], search["layout_gap"])
    return min(of_best_s, last_s * (1 - float(others)))


def not_slower(case: Case, what: str, before: Any, after: Any) -> None:
    """The best step of `after` is no longer than that of `before`: exactly where `after` is
    settled, elsewhere by no more than its gaps admit."""
    if before is None or after is None:
        return
    old_s, new_s = best_s(before), best_s(after)
    search = after["search"]
    detail = (
        f"{new_s:.9g} s after {old_s:.9g} s; stopped: {search['stopped']}, gap {search['gap']:.3g},"
        f" of layouts {search['layout_gap']:.3g}, of placement {search['placement_gap']:.3g}"
    )
    case.holds(f"{what}, by the gaps", old_s >= least_s(after) * (1 - ROUNDING), detail)
    faster = new_s <= old_s * (1 + ROUNDING)
    if settled(after):
        case.holds(what, faster, detail)
    else:
        case.seen(f"{what}, unproven", faster, detail)


def same_steps(case: Case, what: str, before: Any, after: Any) -> None:
    """Both list the same steps, where both are settled; elsewhere that is worth a remark."""
    if after is None:
        case.fail(what, "refused")
        return
    not_slower(case, what, before, after)
    not_slower(case, what, after, before)
    steps = [[plan["estimate"]["step_s"] for plan in one["plans"]] for one in (before, after)]
    same, detail = not list(differences(steps[0], steps[1])), f"{steps[0]} became {steps[1]}"
    if settled(before) and settled(after):
        case.holds(f"{what}, all ranks", same, detail)
    else:
        case.seen(f"{what}, all ranks, unproven", same, detail)
