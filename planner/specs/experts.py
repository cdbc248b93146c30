"""How tokens reach their experts: the part of a software profile about mixtures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from planner.specs.files.fields import Constant, Count, Efficiency, Fraction, Input, Seconds, Text
from planner.specs.files.general import general, general_part
from planner.specs.networks import NetworkKind, NetworkShares

Times = Annotated[float, Field(gt=0, le=1000)]


class Dispatcher(Input):
    """One way in which tokens travel to their experts and back."""

    deduplicated: bool = False
    """A token goes to each device once, and crosses the network once per domain, however many of
    its experts are there."""
    networks: tuple[NetworkKind, ...] | None = None
    """Kinds of network over which it reaches other scale-up domains. Default: all."""
    ranks: tuple[Count, ...] = ()
    """Numbers of ranks that it has settings for. Default: any."""
    node_devices: Count | None = None
    """Devices of a node that it is built for where its ranks lie on several; the fast fabric must
    end with the node. Default: any fabric."""
    vendors: tuple[Text, ...] = ()
    """Vendors of devices that it runs on. Default: all."""
    overlaps: bool = True
    """Its exchanges may run beside the computation of another microbatch."""
    calls: Count
    """Collectives that the host launches for one dispatch."""
    dispatch_launch: Constant[Seconds]
    """Host time of one dispatch in addition to those collectives."""
    network_efficiency: NetworkShares | None = None
    """Share of the network cards' rate that an exchange reaches. Default: that of the collective
    library's all-to-all."""
    multiprocessors: Constant[Count]
    """Multiprocessors that it takes from kernels that run at the same time."""


DispatcherName = Literal["alltoall", "allgather", "deepep", "hybridep", "ncclep"]


def _dispatcher(name: str) -> Dispatcher:
    return general_part("software", f"expert.dispatchers.{name}", Dispatcher)


class Dispatchers(Input):
    """What each dispatcher costs."""

    alltoall: Dispatcher = _dispatcher("alltoall")
    """Every copy of a token goes to its expert's rank, by the collective library."""
    allgather: Dispatcher = _dispatcher("allgather")
    """All tokens go to all ranks, by the collective library."""
    deepep: Dispatcher = _dispatcher("deepep")
    """DeepEP, over any network."""
    hybridep: Dispatcher = _dispatcher("hybridep")
    """HybridEP, inside a scale-up domain and over networks with its RDMA."""
    ncclep: Dispatcher = _dispatcher("ncclep")
    """NCCL's own device-side exchange."""

    def of(self, name: str) -> Dispatcher:
        found: Dispatcher = getattr(self, name)
        return found


class Expert(Input):
    """How tokens reach their experts."""

    dispatcher: DispatcherName = "alltoall"
    """How tokens travel to their experts."""
    dispatcher_choices: tuple[DispatcherName, ...] = ()
    """Dispatchers a plan may choose from. Default: the one in `dispatcher`."""
    dispatch_piece_choices: tuple[Count, ...] = ()
    """Parts into which a plan may divide tokens, the exchange of one beside the products of
    another. Default: tokens travel at once."""
    grouped_matmul: bool = True
    """All experts of a device run in one call."""
    fused_permutation: bool = False
    """Tokens are sorted for their experts, and back, in one kernel."""
    fused_mlp: bool = False
    """In 8 and 4 bits the experts' activation and the casts around it belong to their products."""
    fused_router: bool = False
    """Scores, choice and counts are a few kernels instead of one for each operation."""
    deduplicated: bool = False
    """With `alltoall`: it is `deepep`."""
    product_launch: Constant[Seconds] | None = None
    """Host time of one expert's part of a grouped product, which is launched expert by expert.
    Default: `host_launch` for each of one product forward and two backward."""
    quantized_launch: Constant[Seconds] | None = None
    """Host time to quantise one expert's operand and hand over its product, in 8 or 4 bits.
    Default: `host_launch`."""
    weighs_activation: bool = True
    """Probabilities weigh the activation of an expert, not its output."""
    fp32_probabilities: bool = False
    """Those probabilities are fp32."""
    fused_biases: bool = False
    """Biases of the experts' outputs and clamps of their activations belong to other kernels."""
    drops_tokens: bool = False
    """The router can drop what exceeds a capacity of every expert."""
    capacity_factor: Times | None = None
    """That capacity over the mean load of an expert. Default: none, every token reaches its
    experts."""
    padded: bool = False
    """Experts always get as many tokens as their capacity."""
    looped: bool = False
    """The model runs its experts in a loop of Python, expert by expert. That time is not priced,
    so a mixture is refused."""
    tensor_default: bool = False
    """Experts are split over the tensor degree where no expert-tensor degree is stated."""
    tensor_parallel_biases: bool = True
    """Experts with biases may be split over an expert-tensor degree above 1."""
    dispatchers: Dispatchers = Dispatchers()
    overlapped_share: Efficiency = general(
        "software", "expert.overlapped_share", Constant[Fraction]
    )
    """Most of an exchange, as a share, that runs during another microbatch's computation where
    `overlap` has `expert`, or during that of another piece of the tokens."""
    broadcast_share: Efficiency = general("software", "expert.broadcast_share", Constant[Fraction])
    """What eager kernels that spread an operand over rows or columns reach, as a share of the rate
    of those whose operands have one shape."""

    @property
    def dispatch_piece_options(self) -> tuple[int, ...]:
        """What a plan may choose from, the default first."""
        return tuple(sorted({1, *self.dispatch_piece_choices}))

    @property
    def sends_by(self) -> DispatcherName:
        """The default dispatcher."""
        return "deepep" if self.deduplicated and self.dispatcher == "alltoall" else self.dispatcher

    @property
    def dispatcher_options(self) -> tuple[DispatcherName, ...]:
        """What a plan may choose from, the default first."""
        return tuple(dict.fromkeys((self.sends_by, *self.dispatcher_choices)))
