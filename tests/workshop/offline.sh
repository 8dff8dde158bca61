#!/usr/bin/env bash
# The zip of `python -m helpers workshop --zip`, unpacked, installed and run where there is no network. Linux only.
#
# It makes the zip (some GB are fetched, minutes), goes into a network namespace with a loopback device alone, does there what
# START.md says, and executes notebooks 00 and 04 from the students' edition. By hand: `make test-workshop`.
# On a machine whose torch is the CPU build, name its index: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test-workshop
# A zip that is there already: ZIP=path make test-workshop
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    echo "✗ $1" >&2
    exit 1
}

python="${PYTHON:-python3}"
command -v unshare >/dev/null || fail "There is no unshare here (Debian and Ubuntu: sudo apt install util-linux)."
unshare -rn true 2>/dev/null || fail "This system lets no user make a network namespace. Run it as root, or on another machine."
zip="${ZIP:-}"
if [ -z "$zip" ]; then
    "$python" -m helpers workshop --zip
    zip="${TRIAGE_BUILD:-build}/workshop/triage-lab-workshop.zip"
fi
[ -f "$zip" ] || fail "There is no $zip."

room="$(mktemp -d)"
trap 'rm -rf "$room"' EXIT
"$python" -m zipfile -e "$zip" "$room"
cd "$room/triage-lab-workshop"
env -u TRIAGE_BUILD -u PIP_EXTRA_INDEX_URL -u PIP_INDEX_URL -u HF_HUB_OFFLINE unshare -rn bash -euo pipefail -c '
    # Jupyter speaks to its kernel through the loopback device, which is down in a new namespace.
    python3 -c "import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack(\"16sh14x\", b\"lo\", 0x41))"
    if python3 -c "import socket; socket.create_connection((\"192.0.2.1\", 80), 3)" 2>/dev/null; then
        echo "✗ There is a network in here." >&2
        exit 1
    fi
    # The first of the two commands of START.md, as it stands; the second one, with `run 00 04` in place of `lab`.
    mapfile -t commands < <(sed -n "/^\`\`\`bash$/{n;p}" START.md)
    [ "${#commands[@]}" = 2 ]
    bash -euc "${commands[0]}"
    bash -euc "${commands[1]% lab} run 00 04"
'
echo "✓ Without network: installed from the zip, notebooks 00 and 04 run."
