#!/usr/bin/env bash
# Build the sdist, and from it the wheel. The README's first command runs in the
# unpacked sdist; the wheel is used in a clean environment, from another folder, with
# each supported Python that this machine has, and as uv and pipx install it.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv --without-pip build
python3 -m pip --python build install -q build pipx twine uv
build/bin/python -m build --outdir dist "$source" > /dev/null
build/bin/twine check --strict dist/*

use() {  # FOLDER: its programs, of an environment that is not activated
    test "$("$1/shellstream" demo 2> /dev/null | tr '\n' ' ')" = '1 2 3 '
    rm -rf state
    (umask 077 && "$1/shellstreamd" --state-dir state tokens make pi > token 2> /dev/null)
    "$1/shellstreamd" --state-dir state --port 0 > log 2>&1 &
    until url=$(grep -om1 'http://127[^/]*/stream' log); do
        kill -0 $! # or it has ended, and the log says why
        sleep 0.1
    done
    test "$("$1/shellstream" --token-file token "$url" | tr '\n' ' ')" = '1 2 3 '
    # What the log tells to type is found without the folder on the path.
    tokens=$(grep -om1 'type: .* tokens make NAME' log)
    tokens=${tokens#type: }
    sh -c "${tokens% make NAME} list" | grep pi > /dev/null
    kill $!
    wait $! || true
}

try() {  # PYTHON PACKAGE
    rm -rf venv
    "$1" -m venv --without-pip venv
    python3 -m pip --python venv install -q "$2"
    use "$PWD/venv/bin"
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

# A certificate of the machine counts, where a proxy has one of its own.
UV_SYSTEM_CERTS=1 UV_TOOL_DIR=$PWD/uv/tools UV_TOOL_BIN_DIR=$PWD/uv/bin \
    build/bin/uv tool install --quiet "$(echo dist/*.whl)[doctor]"
use "$PWD/uv/bin"
echo 'ok: uv tool install'
PIPX_HOME=$PWD/pipx PIPX_BIN_DIR=$PWD/pipx/bin PIPX_MAN_DIR=$PWD/pipx/man \
    build/bin/pipx install --quiet "$(echo dist/*.whl)[doctor]" > pipx.log 2>&1
use "$PWD/pipx/bin"
test -e pipx/man/man1/shellstream.1 -a -e pipx/man/man8/shellstreamd.8
echo 'ok: pipx install'
