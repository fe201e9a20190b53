#!/bin/sh
# The browser of tests/browser: installs Chromium where apt-get has it; where it cannot, those tests are skipped.
set -eu
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
skip() { echo "No Chromium: $1; the tests of the pages are skipped." >&2; exit 0; }
command -v apt-get >/dev/null || skip "there is no apt-get here"
as_root=
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || skip "installing it needs root"
    as_root=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq || skip "apt-get update failed"
$as_root apt-get install -y -qq --no-install-recommends chromium >/dev/null || skip "apt-get install failed"
