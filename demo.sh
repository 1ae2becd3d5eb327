#!/bin/sh
# The main job, on a CT phantom that the program makes itself:
#
#   ./demo.sh [OUTPUT]
#
# The first run makes a Python environment in .venv beside this file (about a minute, needs the
# internet); later runs start in seconds. Results are written to OUTPUT (default: demo).
# PYTHON=/path/to/python chooses the interpreter.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
output=${1:-$here/demo}
venv=$here/.venv
stamp=$venv/installed-for

find_python() {
    found=
    for candidate in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3; do
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || continue
        found=$candidate
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    if [ -n "$found" ]; then
        echo "$found cannot make virtual environments. On Debian or Ubuntu: apt install python3-venv" >&2
    else
        echo "Python 3.11, 3.12 or 3.13 was not found. On Debian or Ubuntu: apt install python3 python3-venv" >&2
    fi
    exit 1
}

# What is installed is right while neither the project file nor a source file has changed.
fingerprint() {
    "$1" - "$here" <<'PYTHON'
import hashlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
digest = hashlib.sha256(str(root).encode())
files = [p for p in (root / "DicomAnalysis" / "DicomAnalysisLib").rglob("*") if p.is_file() and p.suffix != ".pyc"]
for path in [root / "pyproject.toml", *sorted(files)]:
    digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
print(digest.hexdigest())
PYTHON
}

if [ ! -x "$venv/bin/python" ] || [ ! -f "$stamp" ] || [ "$(fingerprint "$venv/bin/python")" != "$(cat "$stamp")" ]; then
    if [ ! -f "$stamp" ]; then
        python=$(find_python)
        echo "Making a Python environment in $venv with $python; this takes about a minute."
        "$python" -m venv --clear "$venv"
    else
        echo "The sources have changed: installing them into $venv."
        rm -f "$stamp"
    fi
    # What setuptools left of an earlier build would be installed again, files since removed among it.
    rm -rf "$here/build/lib" "$here"/build/bdist.*
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$here"
    fingerprint "$venv/bin/python" >"$stamp"
fi

exec "$venv/bin/dicom-analysis" demo --output "$output"
