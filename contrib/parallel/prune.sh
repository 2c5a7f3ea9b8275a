#!/bin/sh
# One job for each WebDataset shard, one thread each, as many side by side as there are cores (GNU parallel). The same command
# again does what was not done: shards whose job ended well are passed over, others go on where they stopped.
#
#   contrib/parallel/prune.sh SHARDS OUT [flags of `vtok prune`]
#
# With other machines: PARALLEL="--sshlogin 8/a,8/b" in the environment, and folders that all of them see.
set -eu
[ $# -ge 2 ] || { echo "usage: prune.sh SHARDS OUT [flags of vtok prune]" >&2; exit 2; }
shards=$1 output=$2
shift 2
mkdir -p "$output"
VTOK=${VTOK:-vtok}
export VTOK
# Exit code 3 says that some images failed: the manifest names them, and another try would not mend them.
one='shard=$1 output=$2
shift 2
"$VTOK" prune "$shard" -o "$output/$(basename "$shard" .tar)" --threads 1 --quiet --format jsonl "$@" || [ $? = 3 ]'
find "$shards" -name '*.tar' | sort | parallel --will-cite --joblog "$output/jobs.log" --resume-failed --retries 3 --env VTOK --quote \
  sh -c "$one" sh {} "$output" "$@"
