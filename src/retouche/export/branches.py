"""Choices of a recorded graph as ONNX writes them: an engine runs the chosen side alone.

Tracing runs both sides. A network marks where a side may be left out (`layers.exporting.where_needed`); here the
operators that serve nothing but that side move into a branch of an `If`, with the weights that only they read.
"""

from __future__ import annotations

from typing import Any

from retouche.layers.exporting import CHOICE

DOMAIN, NAME = CHOICE.split("::")


def marked(model: Any) -> Any:
    """The model with each choice as a `Where`, whose name tells; changes the model itself. Both sides run."""
    for node in model.graph.node:
        if node.domain == DOMAIN and node.op_type == NAME:
            node.domain, node.op_type, node.name = "", "Where", f"{CHOICE}{node.output[0]}"
    kept = [each for each in model.opset_import if each.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def branched(model: Any) -> Any:
    """The model with each such `Where` as an `If`; changes the model itself."""
    _branch(model.graph)
    return model


def _branch(graph: Any) -> None:
    """Turn choices into branches, the last first: what an earlier one serves may lie in a later one's branch."""
    import onnx
    from onnx import helper

    while True:
        at = next((k for k in reversed(range(len(graph.node))) if graph.node[k].name.startswith(CHOICE)), None)
        if at is None:
            return
        node = graph.node[at]
        wanted, produced, otherwise = node.input
        moved = _serving(graph, at, produced)
        inside = [each for k, each in enumerate(graph.node) if k in moved]
        outside = [each for k, each in enumerate(graph.node) if k not in moved]
        elsewhere = {name for each in outside for name in _read(each)}
        own = [tensor for tensor in graph.initializer if tensor.name not in elsewhere]
        output = node.output[0]
        # branches' outputs have names of their own; their sizes are for the engine to find
        sides = [[*inside, helper.make_node("Identity", [produced], [f"{output}_made"])]]
        sides.append([helper.make_node("Identity", [otherwise], [f"{output}_otherwise"])])
        graphs = [
            helper.make_graph(
                nodes,
                f"{output}_{side}",
                [],
                [helper.make_tensor_value_info(nodes[-1].output[0], onnx.TensorProto.FLOAT, None)],
                weights,
            )
            for nodes, side, weights in zip(sides, ("then", "else"), (own, []), strict=True)
        ]
        _branch(graphs[0])
        choice = helper.make_node("If", [wanted], [output], output, then_branch=graphs[0], else_branch=graphs[1])
        nodes = [choice if each is node else each for each in outside]
        names = {tensor.name for tensor in own}
        left = [tensor for tensor in graph.initializer if tensor.name not in names]
        nodes, left = [_copy(each) for each in nodes], [_copy(each) for each in left]
        del graph.node[:]
        del graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend(left)


def _copy(message: Any) -> Any:
    """A message that stays when the list it came from is emptied."""
    result = type(message)()
    result.CopyFrom(message)
    return result


def _serving(graph: Any, at: int, produced: str) -> set[int]:
    """Positions of the operators whose results are read on the way to the tensor `produced` of choice `at` alone."""
    readers: dict[str, set[int]] = {}
    for k, node in enumerate(graph.node):
        for name in _read(node):
            readers.setdefault(name, set()).add(k)
    given = {value.name for value in graph.output}
    found: set[int] = set()
    for k in reversed(range(at)):
        outputs = graph.node[k].output
        if given.intersection(outputs):
            continue
        read_by = set().union(*(readers.get(name, set()) for name in outputs))
        through = {name for name in outputs if at in readers.get(name, ())}
        if read_by - {at} <= found and read_by and through <= {produced} and produced not in graph.node[at].input[2:]:
            found.add(k)
    return found


def _read(node: Any) -> list[str]:
    """Tensors that a node reads, those that its branches take from around them included."""
    inner = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
    return [*node.input, *(name for graph in inner for each in graph.node for name in _read(each))]
