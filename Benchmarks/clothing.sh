#!/bin/sh
# Every method inside the tower on the clothing test photographs with dinov2s-focus, at 75, 60, 50, 35 and 25 % of the dense
# multiply-adds, in float32, bfloat16 and int8; DiffRate also with the counts that calibrate.sh learned for each. Of the methods
# behind the tower, which save no multiply-adds here, DivPrune stands for all.
# The page has no token maps, since photographs are no part of this repository. Writes results/clothing-dinov2s-focus/ (index.html, rows.json, table.md).
# usage: Benchmarks/clothing.sh [MODEL-DIR [TEST-LIST]]    (VTOK=path of a built vtok; else it is built; LIMIT=only so many
# photographs; RESULTS=another folder for the table)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
. "$here/needs.sh"
clothing "$@"
build
cd "$here"  # so that the table names the rates by a path of this folder
exec "$VTOK" bench --model "$model" --data "$list" --method tome --method divprune --method zero-tprune \
  --method diffrate --method diffrate:rates=rates/dinov2s-focus-75.json \
  --method diffrate:rates=rates/dinov2s-focus-60.json \
  --method diffrate:rates=rates/dinov2s-focus-50.json \
  --method diffrate:rates=rates/dinov2s-focus-35.json \
  --method diffrate:rates=rates/dinov2s-focus-25.json --method evit --method cls-attention --method pitome --method mctf \
  --mac-ratio 0.75,0.6,0.5,0.35,0.25 --precision f32,bf16,int8 --gallery 0 ${LIMIT:+--limit "$LIMIT"} \
  --report "${RESULTS:-results}/clothing-dinov2s-focus"
