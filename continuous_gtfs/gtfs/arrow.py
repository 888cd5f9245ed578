"""What an Arrow array holds, taken from its memory.

``to_numpy`` and ``to_pylist`` would do, but they import pandas to see whether a Series is meant: half of the time that
a short run takes. ``pyarrow.compute`` is another tenth.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def numbers_of(array: pa.Int32Array) -> npt.NDArray[np.int32]:
    """The numbers of an array without missing values."""
    _, values = array.buffers()
    return np.frombuffer(values, dtype=np.int32)[array.offset : array.offset + len(array)]


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
