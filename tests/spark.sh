#!/usr/bin/env bash
# Compare Spark with DuckDB, row for row. Spark needs Java 17 or 21; where there is no Java, Java 17 is installed from
# Debian if that needs no password. PySpark goes into an environment of its own, .venv-spark.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
ENVIRONMENT=.venv-spark

if ! java -version >/dev/null 2>&1; then
  echo "java is missing; installing it"
  as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo -n"
  export DEBIAN_FRONTEND=noninteractive
  { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless; } || {
    echo "Install Java 17 or 21 (Debian: apt-get install openjdk-17-jre-headless) and run again." >&2
    exit 1
  }
fi
if [ ! -e $ENVIRONMENT/.done ] || [ pyproject.toml -nt $ENVIRONMENT/.done ] || [ constraints.txt -nt $ENVIRONMENT/.done ]; then
  "$PYTHON" -m venv $ENVIRONMENT
  $ENVIRONMENT/bin/pip install -q -c constraints.txt -e '.[spark]' pytest pytest-asyncio
  touch $ENVIRONMENT/.done
fi

# Spark looks up the name of the machine, which fails in some containers.
export SPARK_LOCAL_IP=127.0.0.1
exec $ENVIRONMENT/bin/python -m pytest -q -m spark tests/unit/offline/logs/test_engines_agree.py
