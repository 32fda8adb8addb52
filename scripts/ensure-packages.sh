#!/usr/bin/env bash
# Installs the packages of package-lock.json when they are missing or older than it; says so in one line,
# else says nothing. Called first by the npm scripts, so that each of them works right after a clone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

project_node=node_modules/node/bin/node
if [ -x "$project_node" ] && [ node_modules/.package-lock.json -nt package-lock.json ]; then exit 0; fi

echo "Installing packages (npm ci) …" >&2
# The install replaces node_modules, so npm must not run on the copy of Node that lies in there.
PATH=${PATH//"$PWD/node_modules/.bin:"/}
if ! log=$(npm ci --include=dev --no-audit --no-fund --loglevel=error 2>&1); then
  printf '%s\nnpm ci failed. It needs npm 10 or 11 and the package registry; mend that and try again.\n' "$log" >&2
  exit 1
fi
if ! [ -x "$project_node" ]; then
  echo "The package 'node' did not install: allow its install script (npm config ignore-scripts must be false)." >&2
  exit 1
fi
touch node_modules/.package-lock.json
