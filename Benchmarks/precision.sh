#!/bin/sh
# What lower precision costs in accuracy: the dense model, and few methods, in every precision, all beside the dense float32 row.
# Towers: dinov2s-focus on the clothing test photographs, vtok-tiny on the CIFAR-10 test part. Language models: vqa-small, vqa-tiles
# and vqa-pages on their test questions, in int4 too (their language model; tower and connector then have 8 bits).
# Writes results/precision-NAME/ (rows.json, table.md).
# usage: Benchmarks/precision.sh clothing [MODEL-DIR [TEST-LIST]] | cifar10 TEST.bin | small | tiles | pages
#   VTOK=path of a built vtok, else it is built; LIMIT=only so many images or questions; RESULTS=another folder for the table;
#   QUESTIONS=where vqa.sh has unpacked the questions
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
. "$here/needs.sh"
name=${1:-}
[ $# -eq 0 ] || shift
questions=${QUESTIONS:-$root/.build/questions}
methods="--method tome --method divprune --mac-ratio 0.5 --precision f32,bf16,int8"
case $name in
clothing)
  clothing "$@"
  ;;
cifar10)
  need "${1:-}" "TEST.bin as its second argument: test_batch.bin of CIFAR-10 in the binary layout (cifar10.sh says from where)"
  model=vtok-tiny list=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
  methods="--method tome --mac-ratio 0.5 --precision f32,bf16,int8"
  ;;
small | tiles | pages)
  model=models/vqa-$name list=$questions/$name/test.jsonl
  need "$list" "$list: Benchmarks/vqa.sh $name unpacks it"
  methods="--method divprune --keep-ratio 0.25 --precision f32,bf16,int8,int4 --max-tokens 6"
  ;;
*)
  echo "usage: Benchmarks/precision.sh clothing [MODEL-DIR [TEST-LIST]] | cifar10 TEST.bin | small | tiles | pages" >&2
  exit 2
  ;;
esac
build
cd "$here"
exec "$VTOK" bench --model "$model" --data "$list" $methods --seeds 1 --timing-samples 20 --gallery 0 ${LIMIT:+--limit "$LIMIT"} \
  --report "${RESULTS:-results}/precision-$name"
