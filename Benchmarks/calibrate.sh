#!/bin/sh
# DiffRate's token counts for dinov2s-focus, learned from the 500 training photographs of the clothing set, for some shares
# of its dense multiply-adds. An interrupted run goes on where it stopped; what is there is not learned again.
# usage: Benchmarks/calibrate.sh [PERCENT...]    (default: 75 60 50 35 25; MODEL, DATA, LAMBDA, STEPS and VTOK name others; else
# vtok is built. The loss counts a missed target in GMACs, so that a smaller model needs a larger LAMBDA.)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
data=$here/../../shared/data
model=${MODEL:-$data/dinov2s-focus}
list=${DATA:-$data/clothing/train.txt}
. "$here/needs.sh"
[ "$model" = vtok-tiny ] || need "$model" "MODEL and DATA: $CLOTHING_MODEL, and $CLOTHING"
need "$list" "DATA: $CLOTHING"
build
[ $# -gt 0 ] || set -- 75 60 50 35 25
for percent in "$@"; do
  # Below half, DiffRate's own price of multiply-adds is too low to reach the target.
  lambda=5 steps=500
  [ "$percent" -ge 50 ] || { lambda=50 steps=300; }
  output=$here/rates/$(basename "$model")-$percent.json
  [ -e "$output" ] || "$VTOK" calibrate --method diffrate --model "$model" --data "$list" \
    --target-ratio "$(echo "$percent" | awk '{ print $1 / 100 }')" --lambda "${LAMBDA:-$lambda}" --steps "${STEPS:-$steps}" --verbose -o "$output"
done
