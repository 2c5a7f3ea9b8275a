#!/bin/sh
# Every method of vision-language models on the test questions of three small models, at about 1/2, 1/4, 1/8 and 1/16 of their
# visual tokens: vqa-small (one picture, 256 tokens) on easy-VQA, vqa-tiles (thumbnail and tiles, 336) on its own pictures,
# vqa-pages (pages of 36 to 384 tokens) on its own pages.
# Writes results/easy-vqa-vqa-small/, results/tiles-vqa-tiles/ and results/pages-vqa-pages/ (index.html, rows.json, table.md,
# answers.json.gz) and says whether every answer is the one that was there before.
# --quick: 250 questions of each, compared with the same answers; the tables go to .build/quick/.
# usage: Benchmarks/vqa.sh [--quick] [small|tiles|pages]   (VTOK=path of a built vtok, else it is built; QUESTIONS=where the
# pictures are unpacked; DATA=folder of easy-VQA, else that of the PyPI package easy-vqa)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
quick=
[ "${1:-}" != --quick ] || { quick="--quick --limit 250"; shift; }
asked=${1:-all}
case $asked in all | small | tiles | pages) ;; *) echo "usage: Benchmarks/vqa.sh [--quick] [small|tiles|pages]" >&2; exit 2 ;; esac
questions=${QUESTIONS:-$root/.build/questions}
. "$here/needs.sh"
is_asked() { [ "$asked" = all ] || [ "$asked" = "$1" ]; }
if is_asked small && [ ! -e "$questions/small/test.jsonl" ]; then
  python3 "$here/training/vqa_questions.py" "$questions/small" ${DATA:+--data "$DATA"}
fi
for name in tiles pages; do
  if is_asked $name && [ ! -e "$questions/$name/test.jsonl" ]; then
    mkdir -p "$questions/$name"
    tar -xzf "$here/models/vqa-$name/test.tar.gz" -C "$questions/$name"
  fi
done
build
cd "$here"  # so that the table names files by a path of this folder

# Thresholds, not counts: the first leaves what the merged windows of the tower are, the others were looked for on 150 questions
# of either model, to leave some 1/4, 1/8 and 1/16. Windows of 2, since no edge here can be divided by 3.
mustdrop=
for t in 0.001 0.01 0.015 0.022; do
  mustdrop="$mustdrop --method mustdrop:layers=1/2,window=2,global=$t,individual=$t"
done

# run MODEL QUESTIONS RESULTS TOKENS METHOD...: the methods that all models have, and those of one; answers of at most TOKENS.
run() {
  model=$1 data=$2 kept=results/$3 tokens=$4
  out=$([ -n "$quick" ] && echo "$root/.build/quick/$3" || echo "$kept")
  shift 4
  mkdir -p "$out" "$root/.build"
  "$VTOK" bench --model "models/$model" --data "$questions/$data/test.jsonl" $quick --max-tokens $tokens --skip-refused \
    --method divprune --method hired --method visionzip --method cdpruner --method cdpruner:kernel=openvino \
    --method dart:layer=1 --method globalcom2 --method fastv:layer=1 --method pyramiddrop:layers=1/2 \
    --method transprune:layers=1/2 --method sparsevlm:layers=1/2/3 --method elastic-cache --method h2o \
    --method token-corr $mustdrop \
    --method vispruner --method prumerge --method hiprune --method holov --method scope --method gprune --method prunesid \
    --method mmtok --method v2drop:layers=1/2 --method priortr --method deep-random --method pact:layer=1 --method keyformer \
    --method snapkv --method pyramidkv --method streaming-llm --method look-m --method ems \
    --method visionzip:keep=0.5+fastv:layer=2,keep=0.5 \
    --method visionzip:keep=0.25+fastv:layer=2,keep=0.5+elastic-cache:keep=0.5 \
    --method divprune:keep=0.25+pyramiddrop:layers=1/2 "$@" \
    --keep-ratio 0.5,0.25,0.125,0.0625 --answers "$root/.build/answers.jsonl" --report "$out" >"$root/.build/vqa.log" || return 1
  head -1 "$root/.build/vqa.log"
  same=0
  if [ -e "$kept/answers.json.gz" ]; then python3 answers.py check "$root/.build/answers.jsonl" "$kept/answers.json.gz" || same=1; fi
  [ -n "$quick" ] || python3 answers.py keep "$root/.build/answers.jsonl" "$kept/answers.json.gz" || return 1
  echo "$out/index.html"
  return $same
}

status=0
if is_asked small; then
  run vqa-small small easy-vqa-vqa-small 3 --gallery 4 \
    --method generic-explain:weights=models/vqa-small-explainability/explainability.safetensors \
    --trained models/vqa-small-pmod --trained models/vqa-small-quecc-64 --trained models/vqa-small-quecc-16 || status=1
fi
if is_asked tiles; then run vqa-tiles tiles tiles-vqa-tiles 3 --gallery 4 || status=1; fi
# Pages have much that repeats, PixelPrune's case. Many methods refuse this model, for want of a class token. Numbers have up to
# five tokens, and the end. MustDrop's thresholds are those of the other models.
if is_asked pages; then
  mustdrop=
  run vqa-pages pages pages-vqa-pages 6 --gallery 4 --method pixelprune --method pixelprune:at=pack --method h2o:gqa=mean \
    --method keyformer:gqa=mean --method snapkv:window=8 --method pyramidkv:window=8 --method ems:window=8 || status=1
fi
exit $status
