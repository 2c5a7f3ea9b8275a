#!/bin/sh
# Rate and distortion of image tokenizers on a folder of photographs, beside JPEG and, where python3 has numpy and Pillow
# with WebP, beside WebP: every picture's centre at 256x256. Writes results/tokenizers/ (table.md, rows.json, rows.csv,
# plots, and sheet.png of a picture of this repository).
# usage: Benchmarks/tokenizers.sh FOLDER [MODEL-DIR [NAME-or-DIR,...]]    (VTOK=path of a built vtok; else it is built)
#   MODEL-DIR judges the reconstructions (default: vtok-tiny); the last argument names the tokenizers (default: klt)
set -eu
unset OPENBLAS_CORETYPE
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
if [ -z "${VTOK:-}" ]; then
  swift build -c release --package-path "$root" --product vtok >&2
  VTOK=$root/.build/release/vtok
fi
webp=$(mktemp)
trap 'rm -f "$webp"' EXIT
if python3 -c "from PIL import features; import numpy; assert features.check('webp')" 2>/dev/null; then
  python3 "$here/webp.py" "$1" "$webp"
else
  echo "no WebP rows: python3 has no numpy or no Pillow with WebP" >&2
  echo "[]" > "$webp"
fi
"$VTOK" bench --data "$1" --model "${2:-vtok-tiny}" --tokenizers "${3:-klt}" --sheet "$root/Images/ship.jpg" \
  --also "$webp" --report "$here/results/tokenizers"
