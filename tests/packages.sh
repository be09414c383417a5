#!/usr/bin/env bash
# Build the sdist, and from it the wheel. The README's first command runs in the
# unpacked sdist; the wheel is used in a clean environment, from another folder, with
# each supported Python that this machine has.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv --without-pip build
python3 -m pip --python build install -q build
build/bin/python -m build --outdir dist "$source" > /dev/null

try() {  # PYTHON PACKAGE
    rm -rf venv
    "$1" -m venv --without-pip venv
    python3 -m pip --python venv install -q "$2"
    # The demo starts twistd with the plugin, and the real client.
    test "$(venv/bin/shellstream demo 2> /dev/null | tr '\n' ' ')" = '1 2 3 '
    venv/bin/twistd --help | grep shellstream > /dev/null
    # The page has what it refers to.
    venv/bin/python -c 'from shellstream.web.console.assets import assets; assert assets()'
    python3 -m pip --python venv uninstall -q -y shellstream-http
    if venv/bin/twistd --help | grep shellstream > /dev/null; then
        echo 'the plugin is still there after uninstalling' >&2
        return 1
    fi
    echo "ok: $("$1" --version), $(basename "$2")"
}

command=$(sed -n 's/^    \(.*shellstream demo\)$/\1/p' "$source/README.md")
test -n "$command"
mkdir clone
tar --extract --gzip --file dist/*.tar.gz --directory clone --strip-components 1
test "$(cd clone && eval "$command" 2> /dev/null | tr '\n' ' ')" = '1 2 3 '
echo "ok: the README's first command"
for python in python3.11 python3.12 python3.13; do
    if command -v "$python" > /dev/null && "$python" -c ''; then
        try "$python" dist/*.whl
    fi
done
