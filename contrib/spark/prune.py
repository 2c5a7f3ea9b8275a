#!/usr/bin/env python3
"""Prunes images with Spark: a stream of the vtok command for each partition; a JSON line an image out.

    pip install pyspark    # and a Java
    spark-submit contrib/spark/prune.py list.txt rows --partitions 1000 -- --method divprune --keep-ratio 0.25

list.txt has one path a line, which every worker can read. What stands behind -- are flags of `vtok prune`. Rows hold the tokens in
base64 (docs/cli.md, "Streams"); an image that cannot be read is a row with an error.
"""
import argparse
import os
import shlex
import sys

from pyspark import SparkConf, SparkContext


def command(vtok, flags):
    """One thread, as Spark counts a task as one core.

    Exit code 3 says that some images failed: their rows say so, and a retry would not mend them. Every other code is the worker's
    trouble, and the task must fail.
    """
    run = shlex.join([vtok, "prune", "--stream", "--threads", "1", "--quiet", *flags])
    return shlex.join(["sh", "-c", f"{run}; code=$?; [ $code = 3 ] || exit $code"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("list")
    parser.add_argument("output", help="a folder of text files, on disk, hdfs:// or s3a://")
    parser.add_argument("--partitions", type=int, default=8, help="a partition is done again when its worker dies")
    parser.add_argument("--vtok", default="vtok")
    parser.add_argument("--master", help="for example local[2,4]: two workers here, each task tried four times")
    given = sys.argv[1:]
    own = given.index("--") if "--" in given else len(given)
    flags, reduction = parser.parse_args(given[:own]), given[own + 1 :]

    configuration = SparkConf().setAppName("vtok")
    if flags.master:
        configuration.setMaster(flags.master)
    spark = SparkContext(conf=configuration)
    images = spark.textFile(flags.list).repartition(flags.partitions)
    # checkCode: without it a worker that was killed ends its partition early, and its images are missing without a word.
    # env: without it there is no PATH.
    rows = images.pipe(command(flags.vtok, reduction), env=dict(os.environ), checkCode=True)
    rows.saveAsTextFile(flags.output, "org.apache.hadoop.io.compress.GzipCodec")
    spark.stop()


if __name__ == "__main__":
    main()
