#!/bin/sh
# Rate and distortion of image tokenizers on photographs, every picture's centre at 256x256, beside JPEG and, where python3
# has Pillow with WebP, beside WebP. Writes results/tokenizers-TAG/ (table.md, rows.json, rows.csv and plots).
# usage: Benchmarks/tokenizers.sh DATA MODEL TAG [NAME-or-DIR,...]
#   DATA   a folder or a list file; MODEL judges the reconstructions; the last argument names the tokenizers (klt)
#   VTOK=path of a built vtok, else it is built; PYTHON=python3; LIMIT=only so many pictures;
#   RESULTS=another folder for the table; EVERY=N: only every Nth line of a list file; SHEET=a picture to draw at every length (sheet.png)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
. "$here/needs.sh"
need "${3:+$1}" "DATA MODEL TAG: a folder or list file of any photographs, a model that judges them (vtok-tiny), a name for the results"
build
report=${RESULTS:-$here/results}/tokenizers-$3
webp=$(mktemp -d)
trap 'rm -rf "$webp"' EXIT
if [ -n "${EVERY:-}" ]; then
  awk -v n="$EVERY" -v folder="$(cd "$(dirname "$1")" && pwd)/" 'NR % n == 1 { print folder $0 }' "$1" >"$webp/list.txt"
  data=$webp/list.txt
else
  data=$1
fi
# As stored: so webp.py sees them, and so the tables were made.
set -- --data "$data" --raw-orientation --alpha drop --model "$2" --tokenizers "${4:-klt}" --report "$report" \
  ${LIMIT:+--limit "$LIMIT"} ${SHEET:+--sheet "$SHEET"}
if "${PYTHON:-python3}" -c "from PIL import features; assert features.check('webp')" 2>/dev/null; then
  "${PYTHON:-python3}" "$here/webp.py" "$2" "$webp/squares" 256 ${LIMIT:+"$LIMIT"}
  set -- "$@" --also "$webp/squares"
else
  echo "no WebP rows: ${PYTHON:-python3} has no Pillow with WebP" >&2
fi
"$VTOK" bench "$@"
