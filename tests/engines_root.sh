#!/bin/sh
# A root file system with the engines of a Debian suite, made once; its path is all that is written to stdout.
#   engines_root.sh SUITE   called by `./run engines`, as root
set -eu
SUITE=$1
ROOT=${BAYPLAN_ENGINES:-/var/lib/bayplan-engines}/$SUITE
PACKAGES="docker.io,docker-cli,podman,netavark,aardvark-dns,catatonit,conmon,crun,runc,tini,iptables,nftables,iproute2"

if [ "$(cat "$ROOT.packages" 2>/dev/null)" != "$PACKAGES" ]; then
  printf '== making a root file system of %s with its engines\n' "$SUITE" >&2
  rm -rf --one-file-system "$ROOT" "$ROOT.part"
  mkdir -p "${ROOT%/*}"
  mmdebstrap --quiet --variant=minbase --include="$PACKAGES" --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' "$SUITE" "$ROOT.part" >&2
  mv "$ROOT.part" "$ROOT"
  printf '%s\n' "$PACKAGES" > "$ROOT.packages"
fi
printf '%s\n' "$ROOT"
