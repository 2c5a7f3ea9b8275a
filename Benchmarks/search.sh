#!/bin/sh
# What `vtok search` finds on the clothing test photographs with dinov2s-focus at half of the dense multiply-adds, and below: all
# methods that take a budget, their cuts at other blocks, and pairs of the best, by successive halving on one half of the
# photographs; the last ones on the other half, beside the best single method of the same cost. Writes
# results/search-clothing-dinov2s-focus/ (search.json, rows.json, table.md, front.svg, job.yaml).
# usage: Benchmarks/search.sh [MODEL-DIR [TEST-LIST]]    (VTOK=path of a built vtok; else it is built; GMACS=another cost;
# LIMIT=only so many photographs; RESULTS=another folder for the table)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
. "$here/needs.sh"
clothing "$@"
build
cd "$here"
out=${RESULTS:-results}/search-clothing-dinov2s-focus
"$VTOK" search --model "$model" --data "$list" --target-gmacs "${GMACS:-3.06}" ${LIMIT:+--limit "$LIMIT"} --force -o "$out"
rm -f "$out/job.yaml"  # it names the model by a path of this machine
