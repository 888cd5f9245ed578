# One image for the two code servers, the daemon, the web interface and the static server: docker-compose.yml gives each
# its command. Nothing in it is a secret; settings come from the environment. An agency builds its own FROM it: see
# docs/examples/agency.
FROM python:3.11-slim-bookworm AS build

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_INPUT=1

WORKDIR /build
COPY requirements.lock requirements-runtime.lock ./
# The environment is without pip: what runs installs nothing. The lock is complete, so nothing is resolved here and nothing
# else can come in.
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-deps --requirement requirements-runtime.lock \
    && pip install --no-deps --constraint requirements.lock setuptools
COPY pyproject.toml README.md LICENSE ./
COPY continuous_gtfs ./continuous_gtfs
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /venv/bin/python install --no-deps --no-index /wheels/*.whl \
    && pip --python /venv/bin/python check


FROM python:3.11-slim-bookworm

ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    DAGSTER_HOME=/app/dagster_home

RUN groupadd --gid 10001 app && useradd --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin app

WORKDIR /app
COPY deploy/workspace.yaml ./deploy/workspace.yaml
COPY dagster.yaml ./dagster_home/dagster.yaml
# Named volumes begin with what is here, its owner included.
RUN mkdir -p /data/archive /data/published dagster_home/storage && chown -R app:app /data dagster_home/storage
COPY --from=build /venv /venv

# The image's tag: recorded with everything that it publishes. Without it, the version of the package.
ARG CONTINUOUS_GTFS_PIPELINE_VERSION=""
ENV CONTINUOUS_GTFS_PIPELINE_VERSION=$CONTINUOUS_GTFS_PIPELINE_VERSION
LABEL org.opencontainers.image.title="continuous-gtfs" \
      org.opencontainers.image.version=$CONTINUOUS_GTFS_PIPELINE_VERSION

# By number: a cluster that refuses root can tell that this is not.
USER 10001:10001
