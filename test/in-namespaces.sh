#!/bin/sh
# Runs a command in network, mount and PID namespaces of its own: whatever it makes (links, tables, named
# namespaces, daemons) goes with the last process, also after Ctrl-C or SIGKILL, and the machine's own network
# namespace is never touched. With --user-allowed an ordinary user gets a user namespace too, and is root in there.
# Usage: in-namespaces.sh [--user-allowed] COMMAND [ARG...]
set -eu
user_allowed=
if [ "$1" = --user-allowed ]; then user_allowed=1 && shift; fi
if [ "${CAUSEWAY_IN_NAMESPACES:-}" = 1 ]; then exec "$@"; fi
as_root=
if [ "$(id -u)" != 0 ]; then
  if [ -z "$user_allowed" ]; then
    echo "causeway: this needs root, for network namespaces of its own; run it as root (sudo -E npm ...)" >&2
    exit 1
  fi
  as_root="--user --map-root-user"
  # shellcheck disable=SC2086 # one word per option
  if ! reason=$(unshare $as_root --net --mount --pid --fork --mount-proc true 2>&1); then
    echo "causeway: this machine gives ordinary users no namespaces of their own ($reason); run it as root (sudo -E npm ...)" >&2
    exit 1
  fi
fi
export CAUSEWAY_IN_NAMESPACES=1
# shellcheck disable=SC2086
exec unshare $as_root --net --mount --propagation private --pid --fork --kill-child --mount-proc -- sh -ec '
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/netns /run/causeway
  ip link set lo up
  exec "$@"' in-namespaces "$@"
