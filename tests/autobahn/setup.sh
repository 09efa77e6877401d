#!/usr/bin/env bash
# Makes a virtual environment with the ported testsuite in DIR, unless it is there and up to date.
#   tests/autobahn/setup.sh DIR
set -euo pipefail
dir=${1:?usage: setup.sh DIR}
here=$(dirname "$0")
base=$("$here/find-python")
python=$dir/bin/python

made_from=$(
    "$base" -c 'import sys; print(sys.executable, sys.version)'
    cat "$here"/{setup.sh,requirements.txt,port.py,selfcheck.py}
)
if [ -f "$dir/made-from" ] && [ "$(cat "$dir/made-from")" = "$made_from" ]; then
    exit
fi

echo "Making $dir with $("$base" -V)"
"$base" -m venv --clear "$dir"
pip() { "$python" -m pip --disable-pip-version-check -q "$@"; }
# Two of the packages are source archives. Without isolation they are built by the versions of
# requirements.txt, which must be there first; --no-compile because they are Python 2 until ported.
grep -E '^(setuptools|wheel|packaging)==' "$here/requirements.txt" > "$dir/build-requirements.txt"
pip install -r "$dir/build-requirements.txt"
pip install --no-build-isolation --no-compile --no-deps -r "$here/requirements.txt"

site=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
"$python" -W ignore "$here/port.py" "$site"
"$python" -W ignore "$here/selfcheck.py"
# At the very end: what was interrupted is made anew.
echo "$made_from" > "$dir/made-from"
