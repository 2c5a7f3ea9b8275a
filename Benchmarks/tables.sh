#!/bin/sh
# Makes all tables of towers, tokenizers, questions and searches again by one command, then the pages that show them. What has no
# data here is named and passed over; the rest goes on.
# --quick: a part of each, into .build/quick/, nothing in the repository changes.
# usage: Benchmarks/tables.sh [--quick]    (VTOK=path of a built vtok, else it is built; DATA=folder with clothing,
# dinov2s-focus, cifar10, imagenet-sample and easy-vqa)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
quick=
case "${1:-}" in '') ;; --quick) quick=--quick ;; *) echo "usage: Benchmarks/tables.sh [--quick]" >&2; exit 2 ;; esac
data=${DATA:-$root/../shared/data}
. "$here/needs.sh"
need "$data" "DATA: a folder with clothing, dinov2s-focus, cifar10, imagenet-sample and easy-vqa, whichever there are"
data=$(cd "$data" && pwd)
build
export VTOK
if [ -n "$quick" ]; then
  RESULTS=$root/.build/quick
  export RESULTS
  mkdir -p "$RESULTS"
fi

status=0
started=$(date +%s)
# table NAME NEEDED LIMIT COMMAND...: LIMIT pictures with --quick, all else.
table() {
  name=$1 needed=$2 few=$3
  shift 3
  if [ ! -e "$needed" ]; then echo "$name: no $needed, passed over"; return; fi
  before=$(date +%s)
  if (LIMIT=${quick:+$few}; export LIMIT; "$@") >"$root/.build/tables.log" 2>&1; then result=made; else
    result=failed status=1
    tail -3 "$root/.build/tables.log" >&2
  fi
  echo "$name: $result, $(($(date +%s) - before)) s"
}

mkdir -p "$root/.build"
model=$data/dinov2s-focus list=$data/clothing/test.txt
table clothing "$list" 24 "$here/clothing.sh" "$model" "$list"
table search "$list" 40 "$here/search.sh" "$model" "$list"
table keep-mean "$list" 32 "$here/keep-mean.sh" "$model" "$list"

# The test part: as published, or from a copy in another form; of that the first thousand pictures need no Pillow.
test=$data/cifar10/test_batch.bin
if [ ! -e "$test" ] && [ -e "$data/cifar10/expand.py" ]; then
  test=$root/.build/cifar10-test.bin
  [ -e "$test" ] || python3 "$data/cifar10/expand.py" "$data/cifar10/cifar10-test.jrec.gz" "$test" 2>/dev/null || rm -f "$test"
  if [ ! -e "$test" ] && [ -n "$quick" ]; then
    test=$root/.build/cifar10-test1000.bin
    gunzip -c "$data/cifar10/cifar10-test1000.bin.gz" >"$test"
  fi
fi
cifar10() { "$here/cifar10.sh" "$test" "${LIMIT:-10000}"; }
table cifar10 "$test" 200 cifar10

tokenizers() { EVERY=${1#no} "$here/tokenizers.sh" "$2" "$3" "$4"; }
table tokenizers-clothing "$list" 8 tokenizers 6 "$list" "$model" clothing-dinov2s-focus
table tokenizers-imagenet "$data/imagenet-sample" 8 tokenizers no "$data/imagenet-sample" vtok-tiny imagenet-vtok-tiny

# The questions of easy-VQA are unpacked once.
vqa() {
  if [ ! -e "$root/.build/questions/small/test.jsonl" ]; then
    python3 "$here/training/vqa_questions.py" "$root/.build/questions/small" --data "$data/easy-vqa" || return 1
  fi
  "$here/vqa.sh" $quick
}
table questions "$data/easy-vqa" 250 vqa

table precision-clothing "$list" 24 "$here/precision.sh" clothing "$model" "$list"
table precision-cifar10 "$test" 200 "$here/precision.sh" cifar10 "$test"
for name in small tiles pages; do
  table precision-$name "$root/.build/questions/$name/test.jsonl" 100 "$here/precision.sh" $name
done

[ -n "$quick" ] || python3 "$here/results.py"
echo "all: $(($(date +%s) - started)) s"
exit $status
