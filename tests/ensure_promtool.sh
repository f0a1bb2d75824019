#!/usr/bin/env bash
# The tests check the alert rules with promtool. If it is missing, extract it from Debian's package of Prometheus. This
# needs no root, and neither installs nor starts a server.
#   ensure_promtool.sh FOLDER      the folder for promtool (the bin folder of the virtual environment)
set -euo pipefail
folder=$1
command -v promtool >/dev/null && exit 0
[ -x "$folder/promtool" ] && exit 0
echo "promtool is missing; fetching it"
if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  chmod 755 "$scratch"  # apt-get may download as another user
  fetch() { (cd "$scratch" && apt-get download -qq prometheus); }
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo -n"
  if fetch 2>/dev/null || { $as_root apt-get update -qq && fetch; }; then
    dpkg-deb --fsys-tarfile "$scratch"/prometheus_*.deb | tar -x -C "$scratch" ./usr/bin/promtool
    install -m 755 "$scratch/usr/bin/promtool" "$folder/promtool"
    exit 0
  fi
elif command -v brew >/dev/null; then
  brew install prometheus && exit 0
fi
echo "Put promtool on the PATH (it comes with Prometheus; macOS: brew install prometheus) and run again." >&2
exit 1
