#!/bin/sh
# Puts LocalStack, an EC2 that others wrote, into a cache outside the repository, for the tests under test/localstack: a Python environment of its
# own, named after the pinned packages. Safe to repeat; does nothing once it is there. Needs the Python registry then. Prints nothing but what it
# does. test/localstack/localstack.ts knows the same folder. Usage: localstack.sh [FOLDER]
set -eu
pins=$(cd "$(dirname "$0")/../.." && pwd)/test/localstack/requirements.txt

cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/causeway}
target=$cache/localstack-4.14.0-$(sha256sum <"$pins" | cut -c1-12)

say() { printf 'localstack: %s\n' "$1"; }

if [ -d "$target" ]; then exit 0; fi

if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    say "missing; install as root: apt-get install -y python3-venv" >&2
    exit 1
  fi
  say "installing Debian's python3-venv"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv >/dev/null 2>&1 ||
    # no package lists, or old ones; a source of somebody else's that fails must not keep us from Debian's
    { apt-get update -q >/dev/null || true; DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv >/dev/null; }
fi

say "installing LocalStack and the packages it is pinned to, which takes half a minute"
mkdir -p "$cache"
build=$(mktemp -d "$cache/build-XXXXXX")
trap 'rm -rf "$build"' EXIT
trap 'exit 130' INT TERM
python3 -m venv "$build/venv"
# every package is pinned: what their own ranges would pick instead does not work together; wheels only, so that no package runs code here
"$build/venv/bin/python" -m pip install -q --no-deps --no-cache-dir --disable-pip-version-check --only-binary :all: -r "$pins"
# whoever is first wins, when two do this at once
mv -T "$build/venv" "$target" 2>/dev/null || [ -d "$target" ]
