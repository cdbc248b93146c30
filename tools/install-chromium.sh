#!/bin/sh
# Debian's or Ubuntu's Chromium, for `make test-browser`.
set -eu
if [ "$(id -u)" -eq 0 ]; then as_root=; else as_root=sudo; fi
$as_root apt-get update -qq
$as_root apt-get install -qq -y --no-install-recommends chromium
