#!/bin/sh
# Makes a fresh machine ready for `npm start` and `npm test`; run by both, safe to repeat. What is already there
# is left alone, so a second run takes well under two seconds.
# Needs: Linux, Node 20 or newer with npm, gcc, git, root and apt-get.
set -eu
cd "$(dirname "$0")/../.."

NODE_VERSION=26.10.0
# name of a command to look for, and the Debian package that brings it
TOOLS="nft:nftables iptables-nft-restore:iptables ip:iproute2 ping:iputils-ping conntrack:conntrack iperf3:iperf3 unshare:util-linux nsenter:util-linux sysctl:procps strace:strace"

say() { printf 'setup: %s\n' "$1"; }

missing=""
for entry in $TOOLS; do
  command -v "${entry%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${entry%%:*}" ] || missing="$missing ${entry##*:}"
done
[ -x /usr/lib/cni/ptp ] || missing="$missing containernetworking-plugins"
# a static shim needs libc.a
[ -n "$(gcc -print-file-name=libc.a 2>/dev/null | grep /)" ] || missing="$missing gcc libc6-dev"
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ' | sed 's/^ *//; s/ *$//')
if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing Debian packages: $missing"
    # shellcheck disable=SC2086 # one word per package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 ||
      # no package lists, or old ones; a source of somebody else's that fails must not keep us from Debian's
      { apt-get update -q >/dev/null || true; DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null; }
  else
    say "missing; install as root: apt-get install -y $missing" >&2
    exit 1
  fi
fi

# The lock file, by the Node we run on: npm of an older Node would pick older majors by their engines field.
stamp=node_modules/.causeway-lock
want=$(sha256sum <package-lock.json | cut -c1-64)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$want" ]; then
  # npm would empty another checkout's folder through it
  [ ! -L node_modules ] ||
    { say "node_modules is a symbolic link to what is not of this package-lock.json: remove it, or run the set-up where it leads" >&2; exit 1; }
  say "installing Node $NODE_VERSION and the locked packages"
  bootstrap=.cache/node
  mkdir -p "$bootstrap"
  [ "$("$bootstrap/node_modules/.bin/node" -v 2>/dev/null || true)" = "v$NODE_VERSION" ] ||
    npm install --prefix "$bootstrap" --no-save --no-audit --no-fund --loglevel=error --engine-strict=false "node@$NODE_VERSION" >/dev/null
  PATH="$PWD/$bootstrap/node_modules/.bin:$PATH" npm ci --no-audit --no-fund --loglevel=error
  rm -rf "$bootstrap"
  [ "$(node_modules/.bin/node -v)" = "v$NODE_VERSION" ] ||
    { say "node_modules/.bin/node is not v$NODE_VERSION" >&2; exit 1; }
  printf '%s' "$want" >"$stamp"
fi

# build SOURCE PROGRAM: when it is missing or older
build() {
  if [ ! -f "$1" ] || { [ -x "$2" ] && [ ! "$1" -nt "$2" ]; }; then return 0; fi
  say "building $2"
  mkdir -p "$(dirname "$2")"
  gcc -std=c17 -O2 -static -Wall -Wextra -Werror -o "$2.tmp" "$1"
  mv "$2.tmp" "$2"
}
build cni/shim.c dist/causeway
for program in spawn floor flow; do build "test/bench/$program.c" "dist/bench/$program"; done
