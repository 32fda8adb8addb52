#!/usr/bin/env bash
# Installs the programs that the tests talk to (Dovecot, Redis, openssl, python3) from Debian's packages,
# when they are missing and we may; starts none of them as a service. Fails with one line that names
# them when we may not: a test never skips for want of a server. Called by scripts/test.sh.
set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

packages=()
command -v dovecot >/dev/null && [ -x /usr/lib/dovecot/imap ] || packages+=(dovecot-imapd)
command -v redis-server >/dev/null || packages+=(redis-server)
command -v openssl >/dev/null || packages+=(openssl)
command -v python3 >/dev/null || packages+=(python3)
if [ ${#packages[@]} -eq 0 ]; then exit 0; fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "The tests need the Debian packages ${packages[*]}: install them (sudo apt-get install ${packages[*]}) and run this again." >&2
  exit 1
fi

echo "Installing test servers (apt-get install ${packages[*]}) …" >&2
export DEBIAN_FRONTEND=noninteractive
# Debian starts a server as soon as it is installed, unless a policy says no; the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
install() { apt-get install --yes --no-install-recommends "${packages[@]}" </dev/null 2>&1; }
if ! install >/dev/null; then
  # Most often the package lists are missing or stale.
  apt-get update >/dev/null || true
  if ! log=$(install); then
    printf '%s\napt-get could not install %s: mend that and run this again.\n' "$log" "${packages[*]}" >&2
    exit 1
  fi
fi
