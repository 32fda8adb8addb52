#!/usr/bin/env bash
# Runs the tests, unit and integration, after installing what they need. Arguments go to vitest:
# `npm test -- src/rules`. A missing server is a failure, never a skipped test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash scripts/ensure-packages.sh
bash scripts/ensure-test-servers.sh
# Debian puts servers in /usr/sbin, which a user's PATH may lack.
export PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin"
exec vitest run "$@"
