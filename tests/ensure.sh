#!/usr/bin/env bash
# Programs of the system that the tests run. If one is missing and its installation needs no password, install it; else
# print what to install.
#   ensure.sh redis | chromium | java
set -euo pipefail
brew=""
case $1 in
  redis) names="redis-server" packages="redis-server redis-tools" brew="redis" elsewhere="macOS: brew install redis" ;;
  chromium)
    names="chromium chromium-browser google-chrome" packages="chromium"
    elsewhere="macOS: Google Chrome, with google-chrome on the path" ;;
  java) names="java" packages="openjdk-17-jre-headless" elsewhere="macOS: brew install openjdk@17" ;;
  *) echo "unknown program: $1" >&2; exit 2 ;;
esac
for name in $names; do
  command -v "$name" >/dev/null && exit 0
done
echo "$1 is missing; installing it"
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || sudo -n true 2>/dev/null; }; then
  export DEBIAN_FRONTEND=noninteractive
  $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $packages && exit 0
elif [ -n "$brew" ] && command -v brew >/dev/null; then
  brew install "$brew" && exit 0
fi
echo "Install $1 (Debian: apt-get install $packages; $elsewhere) and run again." >&2
exit 1
