#!/bin/sh
# DiffRate's token counts for dinov2s-focus at 60 % of its dense multiply-adds, learned from the 500 training photographs
# of the clothing set. An interrupted run goes on where it stopped.
# usage: Benchmarks/calibrate.sh [MODEL-DIR [TRAIN-LIST [OUTPUT]]]    (VTOK=path of a built vtok; else it is built)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
data=$root/../shared/data
model=${1:-$data/dinov2s-focus}
list=${2:-$data/clothing/train.txt}
output=${3:-$here/results/rates-dinov2s-focus-60.json}
if [ -z "${VTOK:-}" ]; then
  swift build -c release --package-path "$root" --product vtok >&2
  VTOK=$root/.build/release/vtok
fi
mkdir -p "$(dirname "$output")"
exec "$VTOK" calibrate --method diffrate --model "$model" --data "$list" --target-ratio 0.6 --verbose -o "$output"
