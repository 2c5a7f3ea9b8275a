#!/usr/bin/env python3
"""Prunes images with Ray Data: one actor a core, each with a pipeline of its own; Parquet of tokens out.

    pip install "ray[data]" .build/wheel/vtok-*.whl
    python contrib/ray/prune.py list.txt tokens --workers 64 --method divprune --keep-ratio 0.25

list.txt has one path a line, which every worker can read. A worker that dies is started anew, and the batch that it had is done
again: tokens are the same bytes. An image that cannot be read is a row with an error.
"""
import argparse
import os

import pyarrow as pa
import ray
import vtok


# Said here, for a block without errors would have a column of no type.
SCHEMA = pa.schema([("file", pa.string()), ("error", pa.string()), ("shape", pa.list_(pa.int64())), ("tokens", pa.binary()),
                    ("keep", pa.list_(pa.int64()))])


class Prune:
    """One worker. The model is loaded once, when the actor starts, and again where it starts again."""

    def __init__(self, model, method, keep_ratio):
        self.pipeline = vtok.Pipeline(model, method, keep_ratio=keep_ratio)

    def __call__(self, batch):
        paths, rows = batch["text"].tolist(), []
        # One thread: Ray has counted this actor as one core.
        for path, result in zip(paths, self.pipeline.map(paths, threads=1, errors="return")):
            if isinstance(result, vtok.ImageError):
                rows.append({"file": path, "error": str(result)})
            elif isinstance(result, vtok.Error):
                raise result  # of the machine, as no memory: no fault of the image
            else:
                # Bytes of float32: np.frombuffer(row["tokens"], "<f4").reshape(row["shape"]).
                rows.append({"file": path, "shape": result.tokens.shape, "tokens": result.tokens.tobytes(), "keep": result.keep})
        return pa.Table.from_pylist(rows, SCHEMA)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("list", help="a file, or a folder of such files")
    parser.add_argument("output", help="a folder for Parquet, on disk or s3://...")
    parser.add_argument("--model", default="vtok-tiny")
    parser.add_argument("--method", default="divprune")
    parser.add_argument("--keep-ratio", type=float, default=0.25)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64, help="images that are done again when a worker dies, at most")
    flags = parser.parse_args()

    # A cluster by RAY_ADDRESS; else this machine, with a place more than workers: reading and writing are tasks too, which would
    # wait for the last image, with all tokens in memory.
    ray.init(num_cpus=None if "RAY_ADDRESS" in os.environ else flags.workers + 1, log_to_driver=False)
    # Blocks of a batch each: they spread over the workers as these get done.
    images = ray.data.read_text(flags.list).repartition(target_num_rows_per_block=flags.batch)
    tokens = images.map_batches(
        Prune, fn_constructor_args=(flags.model, flags.method, flags.keep_ratio), batch_size=flags.batch,
        compute=ray.data.ActorPoolStrategy(size=flags.workers), num_cpus=1,
        # A dead actor starts again and its task with it; more deaths than these end the job.
        max_restarts=4, max_task_retries=4)
    tokens.write_parquet(flags.output)


if __name__ == "__main__":
    main()
