#!/bin/sh
# Ray and PySpark from PyPI in an environment below .build, a Java where there is none, then scale.py. Says so and ends well where
# they cannot be had.
# usage: run.sh VTOK WHEELS [flags of scale.py]    (WHEELS is the folder of the wheel of vtok)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
vtok=$1 wheels=$2
shift 2
environment=$here/../../../.build/scale-test
[ -x "$environment/bin/pip" ] || python3 -m venv "$environment"
if ! timeout 900 "$environment/bin/pip" install -q -r "$here/requirements.txt"; then
  echo "scale-test: skipped, its Python packages could not be installed"
  exit 0
fi
"$environment/bin/pip" install -q --no-deps --force-reinstall "$wheels"/vtok-*.whl
# scale.py passes over what is still missing.
for need in java:default-jre-headless parallel:parallel; do
  command -v "${need%%:*}" >/dev/null || { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && {
    DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -y -qq "${need#*:}" >/dev/null 2>&1 || true; }; } || true
done
exec "$environment/bin/python" "$here/scale.py" "$vtok" "$@"
