"""How a placement was decided where no program was needed."""

ALIKE = "all orders of the hosts are alike"
CLOSE = "no links are better than those of the listed order"
AS_LISTED = "hosts stay as listed, since time ran out"
UNALIGNED = "stages and nodes do not align, so hosts stay as listed"
TYPES = "bound over all types, layers and hosts"
ALIKE_BY_TYPE = "nodes of one device type are alike"
