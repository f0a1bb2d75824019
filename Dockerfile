# OneBar in a container: `docker build -t onebar .`, or all of it with `docker compose up`.
# The image has the serving closure, the demo's bundle and its evidence; mount another bundle and set ONEBAR_BUNDLE.
# A service that other machines reach needs API keys: mount the file that `onebar keys create` wrote, set ONEBAR_KEYS.
# In compose, the job `secrets` writes that file to /run/secrets/keys.json and the first key itself to /run/secrets/api_key.
# Packages come from the locks, with their hashes; `make lock` writes them. docs/operations.md says how to pin the base
# images by digest.

# The full image, for its compiler: the native kernels of generation/ are built here.
FROM python:3.11 AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Without pip: an intruder cannot install packages with it.
RUN python -m venv --without-pip /opt/onebar
WORKDIR /src
COPY deploy/locks deploy/locks
# The dependencies alone, so that a change of source does not install them again. No source distributions: to build one
# would fetch its build tools without hashes.
RUN pip install --require-hashes --only-binary :all: -r deploy/locks/build.txt && \
  pip --python /opt/onebar/bin/python install --require-hashes --only-binary :all: -r deploy/locks/serving.txt
COPY pyproject.toml setup.py LICENSE ./
COPY cli cli
COPY client client
COPY evidence evidence
COPY feature_store feature_store
COPY generation generation
COPY service service
RUN touch README.md && pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheels . && \
  pip --python /opt/onebar/bin/python install --no-deps /tmp/wheels/*.whl

# With locust added: `docker compose --profile loadtest up`.
FROM build AS loadtest
RUN pip --python /opt/onebar/bin/python install --require-hashes --only-binary :all: -r deploy/locks/loadtest.txt
ENV PATH=/opt/onebar/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONPATH=/srv/onebar
WORKDIR /srv/onebar
COPY loadtest loadtest
COPY demo/evidence demo/evidence
COPY demo/rules.yaml demo/rules.yaml
USER 10001:10001
EXPOSE 8089
ENTRYPOINT ["locust", "--locustfile", "loadtest/locustfile.py"]

FROM python:3.11-slim AS serve
RUN groupadd --gid 10001 onebar && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin onebar
# For promoted bundles. Docker gives an empty volume that is mounted here the owner of this folder.
RUN install -d -o 10001 -g 10001 /bundles
COPY --from=build /opt/onebar /opt/onebar
WORKDIR /srv/onebar
COPY demo/bundle demo/bundle
COPY demo/evidence demo/evidence
COPY demo/rules.yaml demo/rules.yaml
# ONNX Runtime's wheels report to their maker unless they are told not to.
ENV PATH=/opt/onebar/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
# 8001 is the admin port, on the container's loopback alone. For Prometheus and probes, set ONEBAR_ADMIN_HOST=0.0.0.0.
EXPOSE 8000 8001
# On the admin port, which clients cannot fill. A plain socket in an isolated interpreter: a check costs little CPU time
# and uses no proxy. Docker restarts nothing when it fails: readiness is for routing.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-IS", "-c", \
  "import socket; s = socket.create_connection(('127.0.0.1', 8001), 2); s.sendall(b'GET /readyz HTTP/1.0\\r\\n\\r\\n'); raise SystemExit(b' 200 ' not in s.recv(64))"]
ENTRYPOINT ["onebar"]
# SIGTERM drains: /readyz answers 503, requests are still answered for 5 seconds, then the process ends with status 0.
# Status 1 means that the engine is lost and a restart is needed; 2 that the service cannot start.
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--admin-port", "8001"]
