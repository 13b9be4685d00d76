#!/bin/sh
# Puts two container runtimes into a cache outside the repository, for the tests under test/runtime: Debian's containerd and runc, out of
# their packages without installing them (no service is started, and another containerd of this machine stays as it is), and a newer
# containerd, built from its Go module. Safe to repeat; does nothing once both are there. Needs the Debian and Go registries then.
# test/runtime/editions.ts knows the same folders. Usage: runtimes.sh [FOLDER]
set -eu
CONTAINERD=v2.4.2
# what that module's go.mod asks for at least
GO=1.26.8

cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/causeway}
mkdir -p "$cache"

say() { printf 'runtimes: %s\n' "$1"; }

# Unpacks Debian packages into a folder: unpack FOLDER PACKAGE...
unpack() {
  folder=$1
  shift
  rm -rf "$folder.part"
  mkdir -p "$folder.part/debs"
  (cd "$folder.part/debs" && { apt-get download -q "$@" >/dev/null 2>&1 ||
    # no package lists, or old ones; a source of somebody else's that fails must not keep us from Debian's
    { apt-get update -q >/dev/null || true; apt-get download -q "$@" >/dev/null; }; })
  for deb in "$folder.part"/debs/*.deb; do dpkg-deb -x "$deb" "$folder.part"; done
  rm -rf "$folder.part/debs" "$folder"
  mv "$folder.part" "$folder"
}

# Go as it is on this machine, when it can be had; else Debian's, which is old, and has one use: to fetch the Go that we need.
find_go() {
  for go in go /usr/local/go/bin/go; do
    if command -v "$go" >/dev/null 2>&1 &&
      printf '%s\n' "go$GO" "$("$go" env GOVERSION)" | sort -V -C; then
      echo "$go"
      return
    fi
  done
  say "fetching Go $GO" >&2
  unpack "$build/debian-go" golang-1.19-go golang-1.19-src >&2
  GOROOT=$build/debian-go/usr/lib/go-1.19 GOTOOLCHAIN=local "$build/debian-go/usr/lib/go-1.19/bin/go" \
    mod download "golang.org/toolchain@v0.0.1-go$GO.linux-$(dpkg --print-architecture)" >&2
  go=$GOMODCACHE/golang.org/toolchain@v0.0.1-go$GO.linux-$(dpkg --print-architecture)
  # the module cache keeps no executable bits
  find "$go/bin" "$go/pkg/tool" -type f -exec chmod +x {} +
  echo "$go/bin/go"
}

if [ ! -x "$cache/containerd-debian/usr/bin/containerd" ]; then
  say "fetching Debian's containerd and runc"
  unpack "$cache/containerd-debian" containerd runc
fi

if [ ! -x "$cache/containerd-$CONTAINERD/containerd" ]; then
  say "building containerd $CONTAINERD, which takes about two minutes"
  build=$(mktemp -d "$cache/build-XXXXXX")
  trap 'chmod -R u+w "$build"; rm -rf "$build"' EXIT
  # sources of its own, which go again: several hundred MB that nothing else needs
  export GOMODCACHE="$build/mod" GOCACHE="$build/cache" GOBIN="$build/bin" GOFLAGS=-modcacherw CGO_ENABLED=0
  go=$(find_go)
  module=github.com/containerd/containerd/v2/cmd
  GOTOOLCHAIN=local "$go" install -tags 'no_btrfs no_zfs' -trimpath -ldflags '-s -w' \
    "$module/containerd@$CONTAINERD" "$module/containerd-shim-runc-v2@$CONTAINERD" "$module/ctr@$CONTAINERD" \
    >"$build/log" 2>&1 || { cat "$build/log" >&2; exit 1; }
  mv "$build/bin" "$cache/containerd-$CONTAINERD"
fi
