#!/usr/bin/env bash
# A base image for where Docker's registry cannot be reached: Debian, and this machine's Python 3.11.
#
#   sudo docker/stand_in_base.sh                         # makes tailfuse-base:stand-in
#   make images-check BASE_IMAGE=tailfuse-base:stand-in
#
# It is for checking the Dockerfiles, not for serving: larger than python:3.11-slim-bookworm, and of another Python.
# Root and debootstrap are needed; the Python must run on Debian bookworm's glibc (PYTHON_PREFIX names another one).
# Debian comes from where this machine's apt gets bookworm; on another release, DEBIAN_MIRROR says where.
# CA_BUNDLE is a file of certificates to trust inside, where a proxy opens TLS.
set -euo pipefail

tag=${1:-tailfuse-base:stand-in}
prefix=${PYTHON_PREFIX:-$(python3.11 -c 'import sys; print(sys.base_prefix)')}
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' \
    'Created-By: Packages' 'Release: bookworm' 'Component: main' | head -n 1)}
: "${mirror:?apt has no source for bookworm here; say where Debian is with DEBIAN_MIRROR}"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

packages=ca-certificates,libbz2-1.0,libffi8,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,zlib1g
debootstrap --variant=minbase --include="$packages" bookworm "$root" "$mirror"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}

tar -C "$prefix" --exclude='*/test' --exclude='*/site-packages' --exclude=__pycache__ --exclude='*.a' \
    -c bin/python3.11 lib | tar -C "$root/usr/local" -x
ln -s python3.11 "$root/usr/local/bin/python3"
ln -s python3.11 "$root/usr/local/bin/python"
chroot "$root" ldconfig
chroot "$root" /usr/local/bin/python -m ensurepip
if [ -n "${CA_BUNDLE:-}" ]; then
    cp "$CA_BUNDLE" "$root/etc/ssl/certs/ca-certificates.crt"
fi

# pip otherwise trusts the certificates that it came with.
tar -C "$root" -c . | docker import \
    --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' \
    --change 'CMD ["python3"]' - "$tag"
