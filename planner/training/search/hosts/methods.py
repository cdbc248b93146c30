"""How a placement was decided where no program was needed."""

ALIKE = "all orders of the hosts are alike"
CLOSE = "no links are better than those as listed"
AS_LISTED = "hosts stay as listed, since time ran out"
UNALIGNED = "stages and nodes do not fall on each other, so hosts stay as listed"
