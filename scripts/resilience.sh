#!/usr/bin/env bash
# The resilience suite: first the four files that the Python service's suite consists of, then every test
# with one of its tags, units and real servers alike. Ends with `N passed, N failed` and exits non-zero
# when anything failed. A missing server is a failure, never a skipped test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash scripts/ensure-packages.sh
bash scripts/ensure-test-servers.sh
# Debian puts servers in /usr/sbin, which a user's PATH may lack.
export PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin"

passed=0
failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# suite COUNTING ARGUMENT…: runs vitest with the arguments, adds up what it counted.
suite() {
  local counting=$1 report=$scratch/report.json code=0 counts="0 1"
  shift
  rm -f "$report"
  vitest run --reporter=default --reporter=json --outputFile.json="$report" "$@" || code=$?
  # shellcheck disable=SC2086 # nothing, or one word
  if [ -s "$report" ]; then counts=$(node scripts/count-tests.ts "$report" $counting); fi
  local more_passed more_failed
  read -r more_passed more_failed <<<"$counts"
  if [ "$code" -ne 0 ] && [ "$more_failed" -eq 0 ]; then more_failed=1; fi
  passed=$((passed + more_passed))
  failed=$((failed + more_failed))
}

echo "== the four files of the Python service's suite"
four=(src/lock/background-lock{,-extra}.test.ts src/lock/lock-redis.test.ts
  src/config/polling-dynamic-reload.test.ts)
# A file that is not there would be left out silently.
ls "${four[@]}" >/dev/null
suite "" --project unit "${four[@]}"

echo "== every test tagged redis, r2 or resilience"
suite --filtered --tags-filter "redis or r2 or resilience"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
