#!/usr/bin/env bash
# Runs every step of the Dockerfile's CPU target where there is no Docker engine: a base made by debootstrap, the rest
# by buildah in chroots. Needs root and Debian's buildah and debootstrap. Arguments go to `buildah build`.
set -euo pipefail
cd "$(dirname "$0")/../../.."
base=localhost/carousel-base:bookworm

if ! buildah inspect --type image "$base" > /dev/null 2>&1; then
    root=$(mktemp --directory)
    trap 'rm -rf "$root"' EXIT
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv bookworm "$root"
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$root" /
    buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --rm "$container" "$base"
fi
buildah build --isolation chroot --format docker --layers --build-arg BASE="$base" --target cpu --tag carousel:cpu "$@" .
