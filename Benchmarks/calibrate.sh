#!/bin/sh
# DiffRate's token counts for dinov2s-focus, learned from the 500 training photographs of the clothing set, for some shares
# of its dense multiply-adds. An interrupted run goes on where it stopped; what is there is not learned again.
# usage: Benchmarks/calibrate.sh [PERCENT...]    (default: 75 60 50 35 25; MODEL, DATA, LAMBDA, STEPS and VTOK name others; else
# vtok is built. The loss counts a missed target in GMACs, so that a smaller model needs a larger LAMBDA.)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
data=$root/../shared/data
model=${MODEL:-$data/dinov2s-focus}
list=${DATA:-$data/clothing/train.txt}
if [ -z "${VTOK:-}" ]; then
  swift build -c release --package-path "$root" --product vtok >&2
  VTOK=$root/.build/release/vtok
fi
[ $# -gt 0 ] || set -- 75 60 50 35 25
for percent in "$@"; do
  # Below half, DiffRate's own price of multiply-adds is too low to reach the target.
  lambda=5 steps=500
  [ "$percent" -ge 50 ] || { lambda=50 steps=300; }
  output=$here/results/rates-$(basename "$model")-$percent.json
  [ -e "$output" ] || "$VTOK" calibrate --method diffrate --model "$model" --data "$list" \
    --target-ratio "$(echo "$percent" | awk '{ print $1 / 100 }')" --lambda "${LAMBDA:-$lambda}" --steps "${STEPS:-$steps}" --verbose -o "$output"
done
