# syntax=docker/dockerfile:1
# One image for every service of compose.yaml (docs/deployment.md). Built by `make up`, or:
#   docker build -t harmony .

ARG PYTHON=3.12-slim-bookworm

# --- what is installed: the locked packages, each checked by its hash ---------------------------
FROM python:${PYTHON} AS packages
COPY deploy/requirements.lock /tmp/requirements.lock
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps \
        --require-hashes -r /tmp/requirements.lock

# --- what runs: no compiler, no package index, no root ------------------------------------------
FROM python:${PYTHON}
# LightGBM's OpenMP. The version is Debian's of the day: a pin would break when Debian mends it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 harmony \
    && useradd --uid 10001 --gid harmony --create-home --home-dir /home/harmony harmony \
    && install --directory --owner harmony --group harmony /data /opt/kernels
COPY --from=packages /opt/venv /opt/venv
COPY . /opt/harmony
RUN site="$(/opt/venv/bin/python -c 'import site; print(site.getsitepackages()[0])')" \
    && echo /opt/harmony > "${site}/harmony.pth" \
    && printf '#!/bin/sh\nexec /opt/venv/bin/python -m harmony_pipeline.cli "$@"\n' \
        > /usr/local/bin/harmony \
    && chmod +x /usr/local/bin/harmony \
    && /opt/venv/bin/python -m compileall -q /opt/harmony/harmony_pipeline /opt/harmony/assets
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    POLARS_ENGINE_AFFINITY=in-memory \
    DAGSTER_DISABLE_TELEMETRY=1 \
    MPLCONFIGDIR=/home/harmony/.matplotlib \
    HARMONY_KERNEL_CACHE=/opt/kernels
USER 10001:10001
WORKDIR /opt/harmony
# compiled here, so that no service compiles when it starts; on a processor of another kind numba
# compiles again, into the same folder
RUN python -m harmony_pipeline.cli.compile_kernels
VOLUME /data
HEALTHCHECK --interval=30s --timeout=20s --start-period=90s --retries=4 \
    CMD ["python", "/opt/harmony/deploy/health.py"]
ENTRYPOINT ["harmony"]
CMD ["--help"]
