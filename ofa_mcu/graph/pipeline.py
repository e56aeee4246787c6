"""All passes over an int8 graph in a good order, with an account of what they did and a way to check it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import MismatchError
from ofa_mcu.graph import reference
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes import adds
from ofa_mcu.graph.passes.borders import fold_borders
from ofa_mcu.graph.passes.canonical import convolve_one_channel, convolve_rows, flatten_whole_windows
from ofa_mcu.graph.passes.channels import remove_dead_channels
from ofa_mcu.graph.passes.cropping import crop_kernels
from ofa_mcu.graph.passes.folding import fold_constants
from ofa_mcu.graph.passes.identities import reshape_identities
from ofa_mcu.graph.passes.padding import fold_padding
from ofa_mcu.graph.passes.relu import fuse_relu
from ofa_mcu.graph.passes.reshapes import Aliases, alias_reshapes, remove_reshapes
from ofa_mcu.graph.passes.transposes import sink_transposes
from ofa_mcu.graph.passes.unread import drop_unread
from ofa_mcu.graph.passes.views import Keep, Permute, Rewrite, View, composed, viewed

__all__ = ["Optimized", "Step", "optimize", "same_bytes"]


@dataclass(frozen=True)
class Step:
    """What one pass did: `changes` has one line for every operator or tensor that it changed."""

    name: str
    changes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Optimized:
    """A graph after all passes, with the tensors of the graph before that are still there.

    `aliases.root` maps tensors that are gone, or are free reshapes, to the tensor of `graph` that has their bytes.
    `kept` maps narrowed tensors to the channels they still have, by the numbers before. `eliminated` maps each tensor
    that is gone to the pass that took it. `views` says of every tensor that is not as before where its codes come from.
    """

    graph: Int8Graph
    aliases: Aliases
    kept: Mapping[str, NDArray[np.int64]]
    eliminated: Mapping[str, str]
    steps: tuple[Step, ...]
    views: Mapping[str, View] = field(default_factory=dict)

    def expected(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What the tensors of `graph` must hold, given those of the graph before (N, ...) by `reference.run`.

        Outputs that are constants are told, too. Tensors whose source is not among the given ones are left out.
        """
        structure = self.graph.structure
        count = len(next(iter(tensors.values())))
        found = {}
        for name in dict.fromkeys((*structure.inputs, *(op.output for op in structure.operators), *structure.outputs)):
            view = self.views.get(name, View(name))
            shape = reference.image_shape(structure.shapes[name])
            if view.source in tensors:
                found[name] = viewed(view, tensors[view.source]).reshape(count, *shape)
            elif name in self.graph.constants:
                found[name] = np.broadcast_to(self.graph.constants[name].reshape(shape), (count, *shape))
        return found


def optimize(
    graph: Int8Graph,
    *,
    dead_channels: bool = True,
    keep: Collection[str] = (),
    multiple: int = 1,
    fuse_adds: bool | Callable[[Int8Graph], Collection[str]] = False,
) -> Optimized:
    """Runs all passes until nothing changes any more.

    `dead_channels` says whether channels that are constant or unneeded go; tensors in `keep` keep all of theirs;
    `multiple` is what narrowed channel counts are rounded up to. With `fuse_adds` pointwise convolutions and the sums
    that read them are one operator in the end: all there are, or those that a function names, given the graph with all.
    """

    def narrow(given: Int8Graph) -> Rewrite:
        live = remove_dead_channels(given, multiple=multiple, keep=keep)
        shapes = given.structure.shapes
        views = {name: View(name, (Keep(shapes[name][-1], left),)) for name, left in live.kept.items()}
        return Rewrite(live.graph, views)

    passes: list[Callable[[Int8Graph], Int8Graph | Rewrite]] = [
        drop_unread,
        fold_constants,
        fold_borders,
        fold_padding,
        fuse_relu,
        reshape_identities,
        sink_transposes,
        remove_reshapes,
        crop_kernels,
        convolve_one_channel,
        convolve_rows,
        flatten_whole_windows,
        *([narrow] if dead_channels else []),
    ]
    state = Optimized(graph, Aliases({}, frozenset()), {}, {}, ())
    while True:
        before = state
        for run in passes:
            state = _taken(state, "remove_dead_channels" if run is narrow else run.__name__, run(state.graph))
        if len(state.steps) == len(before.steps):
            break
    if fuse_adds:
        fused = adds.fuse_adds(state.graph)
        if callable(fuse_adds) and fused is not state.graph:
            fused = adds.fuse_adds(state.graph, fuse_adds(fused))
        state = _taken(state, "fuse_adds", fused)
    return _finished(graph, state)


def _taken(state: Optimized, name: str, result: Int8Graph | Rewrite) -> Optimized:
    """The state after a pass; the same one where the pass changed nothing."""
    done = result if isinstance(result, Rewrite) else Rewrite(result)
    changes = _changes(state.graph, done)
    if not changes:
        return state
    views = composed(state.views, {**_reshaped_views(state.graph, done), **done.views})
    root = {tensor: done.aliases.get(found, found) for tensor, found in state.aliases.root.items()}
    root |= {tensor: found for tensor, found in done.aliases.items() if not _permuted(state.views.get(tensor))}
    root = {tensor: found for tensor, found in root.items() if not _permuted(done.views.get(found))}
    there = _tensors(done.graph)
    gone = {tensor: name for tensor in _tensors(state.graph) if tensor not in there}
    return Optimized(
        graph=done.graph,
        aliases=Aliases(root, frozenset()),
        kept={},
        eliminated={**state.eliminated, **gone},
        steps=(*state.steps, Step(name, changes)),
        views=views,
    )


def _finished(graph: Int8Graph, state: Optimized) -> Optimized:
    """The state told in names of the graph before."""
    known, there = _tensors(graph), _tensors(state.graph)
    left = alias_reshapes(state.graph)
    root = {tensor: left.root.get(found, found) for tensor, found in state.aliases.root.items()} | dict(left.root)
    kept = {}
    for name, view in state.views.items():
        channels = [step for step in view.steps if isinstance(step, Keep)]
        if name in there and channels:
            total = np.arange(channels[0].depth)
            for step in channels:
                total = total[step.channels]
            kept[name] = total
    return replace(
        state,
        aliases=Aliases({a: b for a, b in root.items() if (a in known or a in there) and b in there}, left.free),
        kept=kept,
        eliminated={
            tensor: name for tensor, name in state.eliminated.items() if tensor in known and tensor not in there
        },
        views={name: view for name, view in state.views.items() if name in there},
    )


def _permuted(view: View | None) -> bool:
    return view is not None and any(isinstance(step, Permute) for step in view.steps)


def _tensors(graph: Int8Graph) -> dict[str, None]:
    """Tensors that a run fills, in order; a dictionary is a set that keeps it."""
    return dict.fromkeys((*graph.structure.inputs, *(op.output for op in graph.structure.operators)))


def _reshaped_views(before: Int8Graph, done: Rewrite) -> dict[str, View]:
    """Of new tensors that only are another one under a new shape: which tensor from before has the same codes."""
    known = _tensors(before)
    roots = alias_reshapes(done.graph).root
    views = {}
    for name in _tensors(done.graph):
        if name in known or name in done.views:
            continue
        group = roots.get(name, name)
        same = [group, *(tensor for tensor, root in roots.items() if root == group)]
        views[name] = next(done.views.get(tensor, View(tensor)) for tensor in same if tensor in known)
    return views


def _changes(before: Int8Graph, done: Rewrite) -> tuple[str, ...]:
    """One line for each operator that is gone, new or another one, and each tensor of another shape."""
    old = {op.name: op for op in before.structure.operators}
    new = {op.name: op for op in done.graph.structure.operators}
    lines = [f"{type(op).__name__} '{name}' is gone" for name, op in old.items() if name not in new]
    for name, op in new.items():
        if name not in old:
            lines.append(f"{type(op).__name__} '{name}' is new")
        elif type(op) is not type(old[name]):
            lines.append(f"{type(old[name]).__name__} '{name}' is a {type(op).__name__}")
        elif op != old[name]:
            other = [key for key, value in vars(op).items() if vars(old[name])[key] != value]
            lines.append(f"{type(op).__name__} '{name}' has other {', '.join(other)}")
        elif before.parameters.get(name) is not done.graph.parameters.get(name) and (
            before.parameters[name].weights.shape == done.graph.parameters[name].weights.shape
            and not np.array_equal(before.parameters[name].weights, done.graph.parameters[name].weights)
        ):
            lines.append(f"{type(op).__name__} '{name}' has other weights")
    shapes = done.graph.structure.shapes
    for name, shape in before.structure.shapes.items():
        if shapes.get(name, shape) != shape:
            lines.append(f"tensor '{name}' is {shapes[name]} instead of {shape}")
    return tuple(lines)


def same_bytes(before: Int8Graph, optimized: Optimized, inputs: Mapping[str, NDArray[Any]]) -> int:
    """How many bytes of surviving tensors were compared, all equal, between the graph before and after all passes.

    `inputs` are those of the graph before (N, ...). Raises MismatchError naming the first tensor that differs.
    """
    tensors = reference.run(before, inputs)
    expected = optimized.expected(tensors)
    found = reference.run(optimized.graph, {name: expected[name] for name in optimized.graph.structure.inputs})
    for name, codes in found.items():
        if not np.array_equal(codes, expected[name]):
            raise MismatchError(
                f"tensor '{name}' of graph '{before.structure.name}' differs after the passes in "
                f"{int((codes != expected[name]).sum())} of {codes.size} elements: keep the model and report it"
            )
    for name, root in optimized.aliases.root.items():
        plain = name in tensors and root not in optimized.kept and root not in optimized.views
        if plain and not np.array_equal(tensors[name].ravel(), found[root].ravel()):
            raise MismatchError(
                f"tensor '{name}' of graph '{before.structure.name}' is not tensor '{root}' under another shape: "
                "keep the model and report it"
            )
    return sum(codes.nbytes for codes in found.values())
