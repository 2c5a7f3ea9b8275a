"""Pictures in Parquet, as Hugging Face's datasets keep them, and tokens in Parquet. It needs pyarrow.

>>> from vtok import Pipeline, data
>>> data.write_parquet("tokens.parquet", data.prune(Pipeline(method="divprune"), data.pictures("photos/*.parquet")))
"""

from __future__ import annotations

import glob
import json
import os
from dataclasses import dataclass
from itertools import islice
from typing import Any, Iterable, Iterator

import numpy as np

from .errors import Error, ImageError, RequestError
from .pipeline import Pipeline, Result

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise ImportError("vtok.data needs pyarrow: pip install pyarrow") from error


@dataclass(frozen=True)
class Picture:
    """A picture of a table."""

    #: The bytes of its file; None where the row has none.
    bytes: bytes | None
    #: Path as the table has it, else its file and row: ``photos/a.parquet#12``.
    name: str


def pictures(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], column: str | None = None, *, batch: int = 64
) -> Iterator[Picture]:
    """The pictures of Parquet files, in order; few rows are in memory at a time.

    Args:
        paths: files, or patterns such as ``photos/*.parquet``.
        column: of structs with ``bytes`` and ``path`` (Hugging Face's Image), or of the bytes of image files. None: the only
            column that is one of these.

    Raises:
        RequestError: for paths that name nothing, and for tables without such a column.
    """
    for path in _files(paths):
        with pq.ParquetFile(path) as file:
            name = _column(file.schema_arrow, column, path)
            row = 0
            for part in file.iter_batches(batch, columns=[name]):
                for value in part.column(0).to_pylist():
                    yield _picture(value, path, row)
                    row += 1


def _files(paths: Any) -> list[str]:
    patterns = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    found: list[str] = []
    for given in patterns:
        pattern: str = os.fspath(given)
        files = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))
        if not files:
            raise RequestError(f"data '{pattern}': no such file, expected Parquet files. Check the path.")
        found += files
    return found


def _is_picture(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _column(schema: pa.Schema, asked: str | None, path: str) -> str:
    found = [field.name for field in schema if _is_picture(field.type)]
    if asked is None and len(found) == 1:
        return found[0]
    if asked is not None and asked in found:
        return asked
    told = f"the columns {', '.join(schema.names)}" if asked is None else f"no such column '{asked}' of pictures"
    raise RequestError(
        f"data '{path}': {told}, expected one column of image files ({', '.join(found) or 'there is none'}). Name it."
    )


def _picture(value: Any, path: str, row: int) -> Picture:
    if isinstance(value, dict):
        return Picture(value.get("bytes"), value.get("path") or f"{path}#{row}")
    return Picture(value, f"{path}#{row}")


def prune(
    pipeline: Pipeline, pictures: Iterable[Picture], *, threads: int | None = None, seed: int = 0
) -> Iterator[tuple[str, Result | Error]]:
    """Names and results in the order of the pictures; an error in the place of a picture that cannot be read."""
    from concurrent.futures import ThreadPoolExecutor

    def run(picture: Picture) -> tuple[str, Result | Error]:
        try:
            if picture.bytes is None:
                raise ImageError(f"{picture.name}: the row has no bytes; expected the bytes of an image file")
            return picture.name, pipeline(picture.bytes, name=picture.name, seed=seed)
        except Error as error:
            return picture.name, error

    count = threads or os.cpu_count() or 1
    source = iter(pictures)
    with ThreadPoolExecutor(count) as pool:
        ahead = [pool.submit(run, picture) for picture in islice(source, 2 * count)]
        while ahead:
            yield ahead.pop(0).result()
            ahead += [pool.submit(run, picture) for picture in islice(source, 1)]


def write_parquet(
    path: str | os.PathLike[str], results: Iterable[tuple[str, Result | Error]], *, rows_per_group: int = 256
) -> int:
    """Writes a row for each result, whole or not at all: ``file``, ``error`` (null where there is none), ``tokens`` (a list
    of lists of ``width`` floats), ``keep``, ``pooled`` and ``row`` (JSON, what the command writes about the image).

    Returns:
        the number of rows that have an error.

    Raises:
        RequestError: where no image could be read, so that nobody knows how wide a token is.
    """
    source, waiting, failed = iter(results), [], 0
    part = f"{os.fspath(path)}.part"
    writer = None
    try:
        while chunk := list(islice(source, rows_per_group)):
            waiting += chunk
            good = next((result for _, result in waiting if isinstance(result, Result)), None)
            if writer is None and good is not None:
                writer = pq.ParquetWriter(part, _schema(good.tokens.shape[1]))
            if writer is not None:
                failed += sum(isinstance(result, Error) for _, result in waiting)
                writer.write_table(_table(waiting, writer.schema))
                waiting = []
        if writer is None:
            told = f": {waiting[0][1]}" if waiting else ""
            raise RequestError(f"results: no picture that could be read{told}, expected at least one. Check them.")
        writer.close()
        os.replace(part, path)
        return failed
    except BaseException:
        if writer is not None:
            writer.close()
            os.unlink(part)
        raise


def _schema(width: int) -> pa.Schema:
    return pa.schema(
        [
            ("file", pa.string()),
            ("error", pa.string()),
            ("tokens", pa.list_(pa.list_(pa.float32(), width))),
            ("keep", pa.list_(pa.int64())),
            ("pooled", pa.list_(pa.float32(), width)),
            ("row", pa.string()),
        ]
    )


def _table(results: list[tuple[str, Result | Error]], schema: pa.Schema) -> pa.Table:
    width = schema.field("pooled").type.list_size
    good = [result if isinstance(result, Result) else None for _, result in results]
    nothing = np.zeros((0, width), np.float32)
    tokens = [nothing if result is None else result.tokens for result in good]
    keep = [np.zeros(0, np.int64) if result is None else result.keep for result in good]
    pooled = np.concatenate([np.zeros(width, np.float32) if result is None else result.pooled for result in good])
    offsets = pa.array(np.cumsum([0] + [len(rows) for rows in keep]), pa.int32())
    missing = pa.array([result is None for result in good])
    columns = [
        pa.array([name for name, _ in results], pa.string()),
        pa.array([str(result) if isinstance(result, Error) else None for _, result in results], pa.string()),
        pa.ListArray.from_arrays(
            offsets, pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(tokens).reshape(-1)), width), mask=missing
        ),
        pa.ListArray.from_arrays(offsets, pa.array(np.concatenate(keep)), mask=missing),
        pa.FixedSizeListArray.from_arrays(pa.array(pooled), width, mask=missing),
        pa.array([None if result is None else json.dumps(result.row) for result in good], pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=schema)
