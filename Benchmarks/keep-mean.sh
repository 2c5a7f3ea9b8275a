#!/bin/sh
# Whether amounts that differ between pictures (--keep-mean) beat the same amount for all, on the clothing test photographs with
# dinov2s-focus, at three quarters, half and a quarter of the tokens on average. Writes results/keep-mean-clothing-dinov2s-focus/
# (rows.json with the tokens of every picture, table.md).
# usage: Benchmarks/keep-mean.sh [MODEL-DIR [TEST-LIST]]    (VTOK=path of a built vtok; else it is built; LIMIT=only so many
# photographs; RESULTS=another folder for the table)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
. "$here/needs.sh"
clothing "$@"
build
cd "$here"
exec "$VTOK" bench --model "$model" --data "$list" --method tome --method evit --method cls-attention --method divprune \
  --keep-mean 0.75,0.5,0.25 --timing-samples 20 --gallery 0 ${LIMIT:+--limit "$LIMIT"} \
  --report "${RESULTS:-results}/keep-mean-clothing-dinov2s-focus"
