#!/usr/bin/env bash
# Compare Spark with DuckDB, row for row. PySpark goes into an environment of its own, .venv-spark. Spark needs Java 17 or
# 21; where there is no Java, Java 17 is installed from Debian if that needs no password.
# Without Java this fails. With SKIP_WITHOUT_JAVA=1 it then says that nothing was compared, and succeeds: not every machine
# that runs the other checks can have Java. Differences always fail.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
ENVIRONMENT=.venv-spark

# Print the folder of a Java 17 or 21.
find_java() {
  local program
  for program in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java)" /usr/lib/jvm/*/bin/java; do
    if [ -x "$program" ] && "$program" -version 2>&1 | grep -Eq 'version "(17|21)[".]'; then
      dirname "$(dirname "$(readlink -f "$program")")"
      return
    fi
  done
  return 1
}

if ! JAVA_HOME=$(find_java); then
  bash tests/ensure.sh java || true
  if ! JAVA_HOME=$(find_java); then
    echo "There is no Java 17 or 21. If there is one in an unusual folder, set JAVA_HOME to it." >&2
    [ "${SKIP_WITHOUT_JAVA:-0}" = 1 ] || exit 1
    echo "SKIPPED: Spark was not compared with DuckDB." >&2
    exit 0
  fi
fi
export JAVA_HOME

if [ ! -e $ENVIRONMENT/.done ] || [ pyproject.toml -nt $ENVIRONMENT/.done ] || [ constraints.txt -nt $ENVIRONMENT/.done ]; then
  "$PYTHON" -m venv $ENVIRONMENT
  $ENVIRONMENT/bin/pip install -q -c constraints.txt -e '.[spark]' pytest pytest-asyncio
  touch $ENVIRONMENT/.done
fi

# Spark looks up the name of the machine, which fails in some containers.
export SPARK_LOCAL_IP=127.0.0.1
exec $ENVIRONMENT/bin/python -m pytest -q -m spark \
  tests/unit/offline/logs/test_stored_forms.py tests/unit/offline/logs/test_engines_agree.py
