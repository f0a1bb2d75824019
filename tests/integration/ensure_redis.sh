#!/usr/bin/env bash
# The integration tests run a real redis-server. Install it if that needs no password, else print what to install.
set -euo pipefail
command -v redis-server >/dev/null && exit 0
echo "redis-server is missing; installing it"
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || sudo -n true 2>/dev/null; }; then
  export DEBIAN_FRONTEND=noninteractive
  $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends redis-server redis-tools && exit 0
elif command -v brew >/dev/null; then
  brew install redis && exit 0
fi
echo "Install redis-server (Debian: apt-get install redis-server redis-tools; macOS: brew install redis) and run again." >&2
exit 1
