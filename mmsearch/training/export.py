"""Two trained towers into an encoder folder of ONNX graphs with small weights.

Only the stored weights are small: at load the graph turns them back into float32 and computes in float32. So
a text's vector does not depend on its batch, as it does when activations are quantised too, and any processor runs it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from mmsearch.media import Preprocessing

logger = logging.getLogger(__name__)

OPSET = 18
SMALL = 4096
"""Weights with fewer numbers stay float32: they are biases and norms, which matter and cost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What ``encoder.json`` says besides the files' digests."""

    name: str
    dim: int
    preprocessing: Preprocessing
    tokenizer: str
    context_length: int
    logit_scale: float


class Pictures(nn.Module):
    """Pixels to embeddings: tower and head in one graph."""

    def __init__(self, tower: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.tower, self.head = tower, head

    def forward(self, pixels: Tensor) -> Tensor:
        """``(n, size, size, 3)`` uint8 -> ``(n, dim)`` float32 unit rows."""
        embeddings: Tensor = self.head(self.tower(pixels))
        return embeddings


class Texts(nn.Module):
    """Token ids to embeddings: tower and head in one graph."""

    def __init__(self, tower: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.tower, self.head = tower, head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``(n, length)`` int64 twice -> ``(n, dim)`` float32 unit rows."""
        embeddings: Tensor = self.head(self.tower(input_ids, attention_mask))
        return embeddings


def export_folder(
    folder: Path, description: Description, *, pictures: nn.Module, texts: nn.Module, tokenizer: Path
) -> None:
    """Write an encoder folder as ``OnnxEncoder`` reads it; ``encoder.json``, written last, makes it whole."""
    folder.mkdir(parents=True, exist_ok=True)
    size = description.preprocessing.size
    pixels = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    image_graph = trace(pictures, {"pixels": pixels}, outputs=["embeddings"])
    tokens = torch.ones(2, 7, dtype=torch.int64)
    text_graph = trace(texts, {"input_ids": tokens, "attention_mask": tokens.clone()}, outputs=["embeddings"])
    contents = {
        "image.onnx": store_as_float16(image_graph).SerializeToString(),
        "text.onnx": store_as_int8(text_graph).SerializeToString(),
        "tokenizer.json": tokenizer.read_bytes(),
    }
    for name, data in contents.items():
        _replace(folder / name, data)
        logger.info("%s has %.1f MB", name, len(data) / 1e6)
    facts = {
        "format_version": 1,
        "name": description.name,
        "dim": description.dim,
        "preprocessing": description.preprocessing.to_json(),
        "tokenizer": description.tokenizer,
        "context_length": description.context_length,
        "logit_scale": round(description.logit_scale, 4),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
    }
    _replace(folder / "encoder.json", (json.dumps(facts, indent=2) + "\n").encode())


def store_as_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Halve the weights of a graph, in place; relative error at most 5e-4."""

    def halve(weight: npt.NDArray[np.float32], name: str) -> list[onnx.NodeProto]:
        _add(model, weight.astype(np.float16), f"{name}_f16")
        return [helper.make_node("Cast", [f"{name}_f16"], [name], to=TensorProto.FLOAT)]

    return _rewrite(model, halve)


def store_as_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Quarter the matrices of a graph, in place: int8 with one float32 scale for each row or column.

    A table that is looked up (``Gather``) has a scale for each row, and only the rows looked up are turned back;
    a factor of a product has one for each column. Everything else becomes float16.
    """
    tables = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}
    gathers = {node.input[0]: node for node in model.graph.node if node.op_type == "Gather"}

    def quarter(weight: npt.NDArray[np.float32], name: str) -> list[onnx.NodeProto]:
        if weight.ndim != 2:
            raise ValueError(f"weight {name} has {weight.ndim} axes; only matrices are stored as int8")
        steps, scale = quantise(weight, axis=1 if name in tables else 0)
        _add(model, steps, f"{name}_i8")
        _add(model, scale, f"{name}_scale")
        if name not in tables:
            return [
                helper.make_node("Cast", [f"{name}_i8"], [f"{name}_steps"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{name}_steps", f"{name}_scale"], [name]),
            ]
        gather = gathers[name]
        found, ids = gather.output[0], gather.input[1]
        gather.input[0], gather.output[0] = f"{name}_i8", f"{found}_i8"
        after = [
            helper.make_node("Gather", [f"{name}_scale", ids], [f"{found}_scale"], axis=0),
            helper.make_node("Cast", [f"{found}_i8"], [f"{found}_steps"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{found}_steps", f"{found}_scale"], [found]),
        ]
        place = next(i for i, node in enumerate(model.graph.node) if node is gather or node == gather)
        for offset, node in enumerate(after, start=1):
            model.graph.node.insert(place + offset, node)
        return []

    return _rewrite(model, quarter)


def quantise(weight: npt.NDArray[np.float32], *, axis: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Symmetric int8 steps and the float32 scale that turns them back.

    Args:
        weight: a matrix.
        axis: the axis that shares one scale.

    Returns:
        Steps in -127..127, of the weight's shape, and the scale with length 1 along ``axis``;
        ``steps * scale`` is off by at most half a scale.
    """
    scale = np.abs(weight).max(axis=axis, keepdims=True) / 127.0
    scale = np.where(scale == 0.0, 1.0, scale).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def _rewrite(
    model: onnx.ModelProto, smaller: Callable[[npt.NDArray[np.float32], str], list[onnx.NodeProto]]
) -> onnx.ModelProto:
    large = [
        tensor
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims, dtype=np.int64) >= SMALL
    ]
    for tensor in large:
        model.graph.initializer.remove(tensor)
        before = smaller(numpy_helper.to_array(tensor), tensor.name)
        for node in reversed(before):
            model.graph.node.insert(0, node)
    onnx.checker.check_model(model)
    return model


def _add(model: onnx.ModelProto, array: npt.NDArray[np.generic], name: str) -> None:
    model.graph.initializer.append(numpy_helper.from_array(array, name))


def trace(module: nn.Module, inputs: dict[str, Tensor], *, outputs: list[str]) -> onnx.ModelProto:
    """A module as an ONNX graph whose inputs may have any length along axis 0 and, for token ids, axis 1."""
    any_length = {
        name: dict.fromkeys(range(min(value.ndim, 2)), torch.export.Dim.AUTO) for name, value in inputs.items()
    }
    if "pixels" in inputs:
        any_length["pixels"] = {0: torch.export.Dim.AUTO}
    program = torch.onnx.export(
        module.eval(),
        (),
        kwargs=inputs,
        input_names=list(inputs),
        output_names=outputs,
        dynamic_shapes=any_length,
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.optimize()
    model: onnx.ModelProto = program.model_proto
    _forget_origin(model)
    return model


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop the stack traces and file paths that the exporter notes at every node; they are a third of a megabyte."""
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""


def _replace(path: Path, data: bytes) -> None:
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_bytes(data)
    unfinished.replace(path)
