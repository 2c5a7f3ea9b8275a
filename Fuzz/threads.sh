#!/bin/sh
# The parallel parts of vtok under the thread sanitizer: folder jobs, towers, language models with their caches, benches
# that share blocks between methods, calibration. Every command runs with several numbers of threads and must leave the
# same bytes; a race that the sanitizer sees is an error.
# usage: Fuzz/threads.sh    (THREADS="1 2 3 8 32" and REPEAT=1 say how often; VTOK names a program that is built already)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
if [ -z "${VTOK:-}" ]; then
  mkdir -p .build-threads
  swift build -c release --product vtok --sanitize=thread --scratch-path .build-threads >.build-threads/log 2>&1 ||
    { cat .build-threads/log; exit 1; }
  VTOK=.build-threads/release/vtok
fi
export TSAN_OPTIONS="halt_on_error=1 exitcode=66 ${TSAN_OPTIONS:-}" SWIFT_BACKTRACE=enable=no
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
trap 'exit 130' INT TERM

fail() {
  echo "$1"
  shift
  [ $# -eq 0 ] || head -60 "$@"
  exit 1
}

# same NAME ARGUMENTS...: runs vtok with each number of threads; `OUT` among the arguments is where it shall write.
same() {
  name=$1
  shift
  for repeat in $(seq "${REPEAT:-1}"); do
    for threads in ${THREADS:-1 2 3 8 32}; do
      here=$out/$name/$repeat-$threads
      mkdir -p "$here"
      arguments=
      for argument in "$@"; do
        case $argument in OUT*) argument=$here/result${argument#OUT} ;; esac
        arguments="$arguments '$argument'"
      done
      eval "\"\$VTOK\" $arguments --quiet --threads $threads" >"$here/text" 2>"$here/error" ||
        fail "$name with $threads threads ends with $?" "$here/error"
      # Of an answer in JSON the words count, not the times.
      grep -h '"answer"' "$here/text" >"$here/result.answer" || true
      rm "$here/text" "$here/error"
      [ -n "${first:-}" ] || first=$here
      diff -r "$first" "$here" >"$out/diff" || fail "$name with $threads threads leaves other bytes" "$out/diff"
    done
  done
  echo "$name: the same with ${THREADS:-1 2 3 8 32} threads"
  first=
}

models=$root/Benchmarks/models
ask() { printf '{"image": "%s/Images/%s", "question": "%s", "answers": ["red"], "metric": "exact"}\n' "$root" "$1" "$2"; }
{ ask cat.jpg "what is the color?" && ask ship.jpg "is there a circle?" && ask ship.jpg "what shape is it?"; } >"$out/questions.jsonl"
for name in cat ship frog-exif6 spheres; do printf '%s/Images/%s.jpg\tcat\n' "$root" "$name"; done >"$out/list.txt"

same prune prune Images --method tome --method zero-tprune --method random --method downsample --keep-ratio 0.3 --overlay -o OUT
same visual prune Images --model "$models/vqa-tiles" --method hired --method divprune --keep-ratio 0.25 -o OUT
same tokenize tokenize Images --tokens 64 -o OUT.vtokens
for method in fastv:layer=1 pyramiddrop:layers=1/2 h2o elastic-cache; do
  same "generate-${method%%:*}" generate --model "$models/vqa-tiles" --image Images/ship.jpg --prompt "what color is it?" \
    --method "$method" --keep-ratio 0.5 --max-tokens 4 --format json
done
# Its table has times: what the sanitizer sees is all that is looked at.
same bench bench --data "$out/list.txt" --method tome --method divprune --keep-ratio 0.5 --seeds 2 --timing-samples 1
same answers bench --model "$models/vqa-small" --data "$out/questions.jsonl" --method divprune --method fastv:layer=1 \
  --keep-tokens 64 --seeds 2 --timing-samples 1 --answers OUT.jsonl
same calibrate calibrate --data "$out/list.txt" --target-ratio 0.6 --steps 2 --batch 4 -o OUT.json
