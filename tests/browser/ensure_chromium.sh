#!/usr/bin/env bash
# The browser tests run Chromium. Install Debian's package if that needs no password, else print what to install.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit 0
done
echo "Chromium is missing; installing it"
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || sudo -n true 2>/dev/null; }; then
  export DEBIAN_FRONTEND=noninteractive
  $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends chromium && exit 0
elif command -v brew >/dev/null; then
  echo "Install Google Chrome so that \`google-chrome\` is on the path, then run again." >&2
  exit 1
fi
echo "Install Chromium as root (Debian: apt-get install chromium) and run again." >&2
exit 1
