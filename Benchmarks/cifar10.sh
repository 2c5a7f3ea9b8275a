#!/bin/sh
# Every method inside or behind the tower on the CIFAR-10 test part (10,000 pictures, JPEG q75 copy) with the embedded
# vtok-tiny, at 75, 50, 35 and 25 % of the dense multiply-adds. Writes results/cifar10-vtok-tiny/. Random has three seeds
# here: as many as two cores do in ten minutes. At 10,000 pictures the table's ranges of seeds are below a point.
# usage: Benchmarks/cifar10.sh TEST.bin [LIMIT]    (CIFAR-10 binary layout; VTOK=path of a built vtok; else it is built)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
bin=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
if [ -z "${VTOK:-}" ]; then
  swift build -c release --package-path "$root" --product vtok >&2
  VTOK=$root/.build/release/vtok
fi
exec "$VTOK" bench --model vtok-tiny --data "$bin" --limit "${2:-10000}" --method tome --method divprune \
  --method zero-tprune --method diffrate --method cls-attention --mac-ratio 0.75,0.5,0.35,0.25 --seeds 3 --gallery 0 \
  --report "$here/results/cifar10-vtok-tiny"
