"""Arrow arrays to and from NumPy arrays and lists of text, by way of their memory.

``pyarrow.array`` and ``to_numpy`` would do, but they import pandas to see whether a Series is meant: half of the time
that a short run takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def index_array(indices: npt.NDArray[np.int64]) -> pa.Int64Array:
    contiguous = np.ascontiguousarray(indices, dtype=np.int64)
    return pa.Int64Array.from_buffers(pa.int64(), len(contiguous), [None, pa.py_buffer(contiguous)])


def mask_array(mask: npt.NDArray[np.bool_]) -> pa.BooleanArray:
    return pa.BooleanArray.from_buffers(
        pa.bool_(), len(mask), [None, pa.py_buffer(np.packbits(mask, bitorder="little"))]
    )


def binary_array(offsets: npt.NDArray[np.int64], data: bytes | pa.Buffer) -> pa.LargeBinaryArray:
    """The pieces of ``data`` between the offsets, n + 1 of them; its memory is shared."""
    buffer = data if isinstance(data, pa.Buffer) else pa.py_buffer(data)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(np.ascontiguousarray(offsets, dtype=np.int64)), buffer]
    )


def text_array(texts: Sequence[str]) -> pa.LargeBinaryArray:
    """Texts as their UTF-8 bytes."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)), out=offsets[1:])
    return binary_array(offsets, b"".join(encoded))


def numbers_of(array: pa.Int32Array) -> npt.NDArray[np.int32]:
    """The numbers of an array without missing values."""
    _, values = array.buffers()
    return np.frombuffer(values, dtype=np.int32)[array.offset : array.offset + len(array)]


def offsets_of(array: pa.LargeBinaryArray) -> npt.NDArray[np.int64]:
    """Where each value of an array begins in its memory, and where the last one ends."""
    _, offsets, _ = array.buffers()
    return np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]


def texts_of(array: pa.StringArray) -> list[str]:
    """The texts of an array without missing values."""
    if not len(array):
        return []
    _, offsets, values = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    data = b"" if values is None else bytes(values.slice(int(bounds[0]), int(bounds[-1] - bounds[0])))
    edges = (bounds - bounds[0]).tolist()
    if data.isascii():
        text = data.decode()
        return [text[start:end] for start, end in itertools.pairwise(edges)]
    return [data[start:end].decode() for start, end in itertools.pairwise(edges)]
