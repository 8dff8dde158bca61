#!/usr/bin/env bash
# An environment of its own with Unsloth in it, for `make test-unsloth`: build/unsloth-venv.
#
# This package with its extras gpu, gguf and dev, at the pinned versions. Torch comes first: pip then keeps it. On Linux
# pip brings torch with CUDA (several GB); for the small CPU build, which is enough here, run it as
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test-unsloth
# A second run does nothing. A run that was cut short, or follows a change of versions, goes on where it has to.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

place="${TRIAGE_BUILD:-build}/unsloth-venv"
python="$place/bin/python"
stamp="$place/installed" # what was asked for, written once everything is there
log="$place/install.log"
files=(pyproject.toml)
constraints=()
if [ -f constraints.txt ]; then
    files=(constraints.txt pyproject.toml)
    constraints=(--constraint constraints.txt)
fi
pinned() { grep -hoE "\b$1==[0-9.]+" "${files[@]}" | head -1; }

fail() {
    echo "✗ $1 The whole log: $log" >&2
    exit 1
}

step() { # a line of what it does, then pip; what pip says goes to the log
    echo "  $1 …"
    shift
    "$python" -m pip install --progress-bar=off --disable-pip-version-check "${constraints[@]}" "$@" >>"$log" 2>&1 ||
        fail "$("$python" -c 'import sys; from helpers.install import explain; print(explain(sys.stdin.read()))' <"$log")"
}

export UNSLOTH_AUTO_INSTALL=0 # it never installs system packages by itself
export CMAKE_ARGS="${CMAKE_ARGS:--DGGML_NATIVE=OFF}" # as helpers/install.py builds llama-cpp-python

wanted="$(cat tests/unsloth_env.sh "${files[@]}" | cksum)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "Installing Unsloth and the pinned packages into $place: 5 to 20 minutes the first time."
    mkdir -p "$place"
    : >"$log"
    [ -x "$python" ] || "${PYTHON:-python3}" -m venv "$place" >>"$log" 2>&1 ||
        fail "${PYTHON:-python3} could not make an environment. Name another Python with PYTHON=… (Debian and Ubuntu: sudo apt install python3-venv)."
    step "torch" "$(pinned torch)"
    step "llama-cpp-python, built from source" --no-cache-dir "$(pinned llama-cpp-python)"
    step "Unsloth and the rest" --editable ".[gpu,gguf,dev]"
    # Where torch is the CPU build and torchvision is not, it cannot be loaded. Text needs none.
    "$python" -c 'import torchvision' >>"$log" 2>&1 || "$python" -m pip uninstall --yes torchvision >>"$log" 2>&1
    echo "  a first import …"
    "$python" -c 'import unsloth' >>"$log" 2>&1 ||
        fail "Unsloth is installed and cannot be imported: $(tail -1 "$log") Mend that and run the same command again."
    echo "$wanted" >"$stamp"
fi
echo "Unsloth is in $place."
