#!/bin/sh
# Runs a command in network, mount and PID namespaces of its own: whatever it makes (links, tables, named
# namespaces, daemons) goes with the last process, also after Ctrl-C or SIGKILL, and the machine's own network
# namespace is never touched. Usage: in-namespaces.sh COMMAND [ARG...]
set -eu
if [ "${CAUSEWAY_IN_NAMESPACES:-}" = 1 ]; then exec "$@"; fi
if [ "$(id -u)" != 0 ]; then
  echo "causeway: this needs root, for network namespaces of its own; run it as root (sudo -E npm ...)" >&2
  exit 1
fi
export CAUSEWAY_IN_NAMESPACES=1
exec unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc -- sh -ec '
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/netns /run/causeway
  ip link set lo up
  exec "$@"' in-namespaces "$@"
