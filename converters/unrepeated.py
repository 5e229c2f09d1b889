"""A lowering of ExecuTorch without what it does over and over to no effect. The program that comes out is the same to the byte.

Some sixty passes make every node of the graph anew. Five things are needed once, or not at all (docs/log.md has what each costs):
a copy of all that earlier passes noted of a node, and of the weights; torchao's operators, some ten others each, computed on
tensors without values; a whole pass, where nothing has changed since the last one that did no more; the Python of a graph that is
never called; and patterns of images that are scaled up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from executorch.backends.xnnpack.partition.graphs import bilinear_2d
from executorch.exir.pass_base import ExportPass, _ExportPassBase
from torch import Tensor, nn
from torch._inductor.decomposition import decompositions
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx import Graph, GraphModule
from torch.fx.graph import _PyTreeCodeGen
from torch.fx.passes.infra.pass_base import PassResult
from torch.fx.traceback import NodeSource

Kernel = Callable[..., Any]


@contextlib.contextmanager
def unrepeated() -> Iterator[None]:
    with _shared_copies(), _remembered_shapes(), _skipped_retraces(), _written_when_called(), _no_upsampling():
        yield


@contextlib.contextmanager
def _shared_copies() -> Iterator[None]:
    """What torch notes of a node's origin is shared and not copied, and so are weights: nothing changes either where it stands.

    Weights that are a part of others are copied all the same: XNNPACK's lowering writes the whole storage that it is given.
    """
    copied = nn.Parameter.__deepcopy__

    def shared(parameter: nn.Parameter, memo: dict[int, Any]) -> nn.Parameter:
        whole = parameter.is_contiguous() and parameter.untyped_storage().nbytes() == parameter.nbytes
        return parameter if whole else copied(parameter, memo)

    NodeSource.__deepcopy__ = lambda source, memo: source  # type: ignore[attr-defined]
    nn.Parameter.__deepcopy__ = shared  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del NodeSource.__deepcopy__  # type: ignore[attr-defined]
        nn.Parameter.__deepcopy__ = copied  # type: ignore[method-assign]


@contextlib.contextmanager
def _remembered_shapes() -> Iterator[None]:
    """torchao's operators on tensors without values give what they gave to others of those shapes."""
    with torch.library._scoped_library("torchao", "IMPL") as library:
        for name in ("choose_qparams_affine", "quantize_affine", "dequantize_affine"):
            kernel = decompositions[getattr(torch.ops.torchao, name).default]
            library.impl(name, _remembering(kernel), "CompositeImplicitAutograd", allow_override=True)
        yield


def _remembering(kernel: Kernel) -> Kernel:
    """`kernel`, asked once for each kind of arguments where they hold no values and nobody records what it does."""
    known: dict[object, list[tuple[torch.Size, tuple[int, ...], torch.dtype]]] = {}

    def call(*args: Any, **kwargs: Any) -> Any:
        tensors = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        if not all(type(each) is FakeTensor for each in tensors) or _recorded():
            return kernel(*args, **kwargs)
        kind = (tuple(map(_kind, args)), tuple((name, _kind(each)) for name, each in kwargs.items()))
        if kind not in known:
            made = kernel(*args, **kwargs)
            known[kind] = [(each.shape, each.stride(), each.dtype) for each in (made if isinstance(made, tuple) else (made,))]
            return made
        empty = tuple(tensors[0].new_empty_strided(*places, dtype=dtype) for *places, dtype in known[kind])
        return empty if len(empty) > 1 else empty[0]

    return call


def _kind(argument: object) -> object:
    """All of an argument that shapes depend on."""
    if isinstance(argument, Tensor):
        return argument.shape, argument.stride(), argument.dtype, argument.device
    return tuple(argument) if isinstance(argument, list) else argument


def _recorded() -> bool:
    """Whether a graph is being written of whatever is computed."""
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None


@contextlib.contextmanager
def _skipped_retraces() -> Iterator[None]:
    """Passes that change nothing on their own trace the graph again. One that was traced so, and is as it was, is left."""
    traced = _ExportPassBase.call

    def call(self: ExportPass, module: GraphModule) -> PassResult:
        if not _traces_alone(type(self)):
            return traced(self, module)
        if getattr(module.graph, "_edgevit_traced", None) == _words(module.graph):
            return PassResult(module, False)
        result = traced(self, module)
        result.graph_module.graph._edgevit_traced = _words(result.graph_module.graph)
        return result

    _ExportPassBase.call = call
    try:
        yield
    finally:
        _ExportPassBase.call = traced


@contextlib.contextmanager
def _written_when_called() -> Iterator[None]:
    """A graph becomes Python when it is called, and not after every pass, whose like read its nodes."""
    write = GraphModule.recompile

    def forward(self: GraphModule, *args: Any, **kwargs: Any) -> Any:
        write(self)
        return self(*args, **kwargs)

    def later(self: GraphModule) -> None:
        if isinstance(self.graph._codegen, _PyTreeCodeGen):
            self._in_spec, self._out_spec = self.graph._codegen.pytree_info.in_spec, self.graph._codegen.pytree_info.out_spec
        self._code = "# not written yet"  # whoever prints a graph prints this
        type(self).forward = forward  # every graph has a class of its own
        self._recompile_submodules()

    GraphModule.recompile = later  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        GraphModule.recompile = write  # type: ignore[method-assign]


@contextlib.contextmanager
def _no_upsampling() -> Iterator[None]:
    """Images that are scaled up are not looked for, whose patterns would be exported first: no ViT has any."""
    patterns = bilinear_2d.get_graphs_dict
    bilinear_2d.get_graphs_dict = dict
    try:
        yield
    finally:
        bilinear_2d.get_graphs_dict = patterns


CALLED = {
    name for base in (ExportPass, _ExportPassBase) for name, each in vars(base).items() if callable(each) and name[:2] != "__"
} - {"call"}
"""What a trace calls for the nodes of a graph, by name."""


def _traces_alone(kind: type[ExportPass]) -> bool:
    """Whether the trace of such a pass does what that of any pass does: it changes the graph before or after, if at all."""
    return all(getattr(kind, name, None) is getattr(ExportPass, name, None) for name in CALLED)


def _words(graph: Graph) -> list[tuple[object, ...]]:
    """The graph as it stands: another node, or another argument of one, is another graph."""
    return [(node, node.op, node.target, node.args, node.kwargs) for node in graph.nodes]
