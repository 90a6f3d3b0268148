# SPDX-License-Identifier: Apache-2.0
# The first task: Stint's own core, cloned, built and tested in a workspace of its own.  This file is
# its prompt.  It runs in the sandbox, without network; the repository is at /mnt/source, read-only.
set -euo pipefail

# The clone's source belongs to another user than the sandbox's.
export GIT_CONFIG_GLOBAL=/tmp/gitconfig
git config --file "$GIT_CONFIG_GLOBAL" --add safe.directory '*'
# A cmake that deploy/local/up had to bring, where the distribution's is too old.
[ ! -x /mnt/tools/cmake/cmake/data/bin/cmake ] || PATH=/mnt/tools/cmake/cmake/data/bin:$PATH

echo "Cloning the repository"
rm -rf stint
git clone --quiet --no-hardlinks /mnt/source stint
cd stint
git log -1 --format='At %h: %s'

# What needs no Postgres and no Redis.
tests=()
for file in tests/unit/core/*_test.c; do
    name=$(basename "$file" .c)
    [[ $name == db_test || $name == kv_test ]] || tests+=("$name")
done

echo "Configuring"
cmake --preset dev >configure.log || { tail -n 20 configure.log; exit 1; }
echo "Building ${tests[*]}"
NINJA_STATUS='[%f/%t] ' ninja -C build/dev "${tests[@]}"

echo "Testing"
ctest --test-dir build/dev --output-on-failure -R "^($(IFS='|' && echo "${tests[*]}"))\$" | tee ctest.log
grep -q '100% tests passed' ctest.log
sed -n 's/^100% tests passed, 0 tests failed out of \([0-9]*\).*/All \1 unit tests of the core pass/p' ctest.log
