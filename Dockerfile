# OneBar in a container: `docker build -t onebar .`, or all of it with `docker compose up`.
# The image has the serving closure, the demo's bundle and its evidence; mount another bundle and set ONEBAR_BUNDLE.

# The full image, for its compiler: the native kernels of generation/ are built here.
FROM python:3.11 AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Without pip of its own: what is not there cannot be used by whoever breaks in.
RUN python -m venv --without-pip /opt/onebar
WORKDIR /src
COPY pyproject.toml constraints.txt LICENSE ./
# The dependencies alone, so that a change of source does not install them again.
RUN touch README.md && pip --python /opt/onebar/bin/python install -c constraints.txt .
COPY setup.py ./
COPY cli cli
COPY client client
COPY evidence evidence
COPY feature_store feature_store
COPY generation generation
COPY service service
RUN pip --python /opt/onebar/bin/python install --no-deps --force-reinstall .

# Locust beside it: `docker compose --profile loadtest up`.
FROM build AS loadtest
RUN pip --python /opt/onebar/bin/python install -c constraints.txt '.[loadtest]'
ENV PATH=/opt/onebar/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONPATH=/srv/onebar
WORKDIR /srv/onebar
COPY loadtest loadtest
COPY demo/evidence demo/evidence
USER 10001:10001
EXPOSE 8089
ENTRYPOINT ["locust", "--locustfile", "loadtest/locustfile.py"]

FROM python:3.11-slim AS serve
RUN groupadd --gid 10001 onebar && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin onebar
COPY --from=build /opt/onebar /opt/onebar
WORKDIR /srv/onebar
COPY demo/bundle demo/bundle
COPY demo/evidence demo/evidence
# ONNX Runtime's wheels report to their maker unless they are told not to.
ENV PATH=/opt/onebar/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 8000
# A bare socket in a bare interpreter: a check must not take the CPU time of an answer, nor go through a proxy.
# Readiness is for routing; Docker itself restarts nothing for it.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-IS", "-c", \
  "import socket; s = socket.create_connection(('127.0.0.1', 8000), 2); s.sendall(b'GET /readyz HTTP/1.0\\r\\n\\r\\n'); raise SystemExit(b' 200 ' not in s.recv(64))"]
ENTRYPOINT ["onebar"]
# SIGTERM drains: /readyz says 503, requests inside are answered, then the process ends.
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
