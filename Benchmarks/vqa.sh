#!/bin/sh
# Every method of vision-language models on the test questions of easy-VQA with vqa-small, at about 1/2, 1/4, 1/8 and 1/16 of
# its 256 visual tokens. Writes results/easy-vqa-vqa-small/ (index.html, rows.json, table.md).
# usage: Benchmarks/vqa.sh [--quick]    (VTOK=path of a built vtok; else it is built; QUESTIONS=folder to unpack pictures into)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
questions=${QUESTIONS:-$root/.build/easy-vqa}
if [ -z "${VTOK:-}" ]; then
  swift build -c release --package-path "$root" --product vtok >&2
  VTOK=$root/.build/release/vtok
fi
[ -e "$questions/test.jsonl" ] || python3 "$here/training/vqa_questions.py" "$questions"
cd "$here"  # so that the table names files by a path of this folder
limit=$([ "${1:-}" = --quick ] && echo --quick || true)
exec "$VTOK" bench --model models/vqa-small --data "$questions/test.jsonl" $limit --max-tokens 3 --skip-refused \
  --method divprune --method hired --method visionzip --method cdpruner --method cdpruner:kernel=openvino \
  --method dart:layer=1 --method globalcom2 --method fastv:layer=1 --method pyramiddrop:layers=1/2 \
  --method transprune:layers=1/2 --method sparsevlm:layers=1/2/3 --method mustdrop:layers=1/2 --method elastic-cache \
  --method h2o --method keyformer \
  --method generic-explain:weights=models/vqa-small-explainability/explainability.safetensors --method token-corr \
  --method visionzip:keep=0.5+fastv:layer=2,keep=0.5 --method visionzip:keep=0.25+fastv:layer=2,keep=0.5+elastic-cache:keep=0.5 \
  --method divprune:keep=0.25+pyramiddrop:layers=1/2 \
  --keep-ratio 0.5,0.25,0.125,0.0625 --gallery 0 --report results/easy-vqa-vqa-small
