#!/bin/sh
# Every method inside the tower on the CIFAR-10 test part (10,000 pictures, JPEG q75 copy) with the embedded vtok-tiny, at 75, 50,
# 35 and 25 % of the dense multiply-adds, in float32, bfloat16 and int8; DiffRate with the counts that calibrate.sh learned from the
# training part for 75, 50, 35 and 26 % (its first block cuts nothing, so that it ends there). Each of random's five runs sees a
# fifth of the pictures: together they are 10,000 draws. Writes results/cifar10-vtok-tiny/. For the counts anew:
#   MODEL=vtok-tiny DATA=TRAIN.bin LAMBDA=150 Benchmarks/calibrate.sh 75 50
#   MODEL=vtok-tiny DATA=TRAIN.bin LAMBDA=1500 STEPS=300 Benchmarks/calibrate.sh 35
#   MODEL=vtok-tiny DATA=TRAIN.bin LAMBDA=15000 STEPS=300 Benchmarks/calibrate.sh 26
# usage: Benchmarks/cifar10.sh TEST.bin [LIMIT]    (CIFAR-10 binary layout; VTOK=path of a built vtok; else it is built;
# RESULTS=another folder for the table)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
. "$here/needs.sh"
need "${1:-}" "TEST.bin as its argument: test_batch.bin of cifar-10-binary.tar.gz from www.cs.toronto.edu/~kriz/cifar.html"
bin=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
build
cd "$here"  # so that the table names the rates by a path of this folder
exec "$VTOK" bench --model vtok-tiny --data "$bin" --limit "${2:-10000}" --method tome --method divprune \
  --method zero-tprune --method diffrate:rates=rates/vtok-tiny-75.json \
  --method diffrate:rates=rates/vtok-tiny-50.json --method diffrate:rates=rates/vtok-tiny-35.json \
  --method diffrate:rates=rates/vtok-tiny-26.json --method cls-attention --method evit --method pitome \
  --method mctf --mac-ratio 0.75,0.5,0.35,0.25 --precision f32,bf16,int8 \
  --seeds 5 --split-seeds --timing-samples 50 --gallery 0 --report "${RESULTS:-results}/cifar10-vtok-tiny"
