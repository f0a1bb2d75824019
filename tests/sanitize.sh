#!/usr/bin/env bash
# Compile the C of the project with warnings as errors, under AddressSanitizer and UndefinedBehaviorSanitizer, and run
# the tests that call it, and faulty bundles. The compiled files are in a copy under build/: nothing that is installed
# changes. Where this cannot run, it says why and succeeds.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=$PWD/${BIN:-.venv/bin}/python
COPY=build/sanitize
FAULTS=${FAULTS:-60}

skip() {
  echo "make sanitize: skipped, $1"
  exit 0
}
command -v gcc >/dev/null || skip "as there is no gcc (Debian: apt-get install gcc libc6-dev)"
echo 'int main(void) { return 0; }' | gcc -fsanitize=address,undefined -xc - -o /dev/null 2>/dev/null ||
  skip "as gcc cannot link its sanitizers (Fedora: dnf install libasan libubsan)"
lacking=$("$PYTHON" -c 'from generation.cpu import cpu_flags
from generation.native.library import NEEDED_FLAGS
print(*sorted(NEEDED_FLAGS["avx2"] - cpu_flags()))')
[ -z "$lacking" ] || skip "as this CPU lacks $lacking"
headers=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')
[ -e "$headers/Python.h" ] || skip "as there is no Python.h in $headers (Debian: apt-get install python3-dev)"

rm -rf "$COPY"
mkdir -p "$COPY"
cp -r generation tests benchmarks "$COPY"
find "$COPY" -name '*.so' -delete
for name in evidence model_export training demo pyproject.toml; do ln -s "$PWD/$name" "$COPY/$name"; done
cd "$COPY"

suffix=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
checked="-shared -fPIC -I$headers -O1 -g -fno-omit-frame-pointer -Wall -Wextra -Werror
  -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
for instructions in avx512 avx2; do
  gcc @generation/native/compile_flags.txt "@generation/native/${instructions}_flags.txt" $checked \
    "-DMODULE=_kernels_$instructions" generation/native/kernels.c generation/native/module.c -lm \
    -o "generation/native/_kernels_$instructions$suffix"
done
gcc -std=gnu11 $checked generation/constraints/trie_steps.c -o "generation/constraints/_trie_steps$suffix"

# Python is not compiled with the sanitizer, which must therefore be loaded before it. It needs the C++ library beside it
# to see the exceptions of ONNX Runtime and torch. Python leaks on purpose, and its own allocator would hide overruns.
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc OMP_NUM_THREADS=1
"$PYTHON" -c '
from pathlib import Path
from generation.native.library import load
import generation.constraints._trie_steps as trie
for module in (load(), trie):
    assert Path(module.__file__).is_relative_to(Path.cwd()), f"{module.__file__} is not the one under test"
'
# --capture=sys: a sanitizer writes to the file descriptor, which pytest would otherwise keep to itself.
"$PYTHON" -m pytest -q -p no:cacheprovider --capture=sys \
  tests/unit/generation/native tests/unit/generation/constraints/test_query_set.py
"$PYTHON" -m benchmarks.bundle_fuzz --mutations "$FAULTS" --seed 2 --backend native
