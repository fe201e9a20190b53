#!/bin/sh
# Debian and Ubuntu ship Python without the venv module: install it.
set -eu
command -v apt-get >/dev/null || { echo "python3 -m venv does not work here; install the venv module of your Python." >&2; exit 1; }
as_root=; [ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get update -qq
$as_root apt-get install -y -qq python3-venv
