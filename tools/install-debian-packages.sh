#!/bin/sh
# Installs the packages of tools/debian-packages.txt that are missing; without root it names them instead.
set -eu
list="$(dirname "$0")/debian-packages.txt"
missing=""
for package in $(grep -v '^#' "$list"); do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "make deps: these Debian packages are missing:$missing" >&2
  echo "make deps: run as root: apt-get install -y --no-install-recommends$missing" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
