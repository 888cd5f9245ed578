# One image for the two code servers, the daemon, the webserver and the static server: docker-compose.yml gives each
# its command. Nothing in it is a secret; settings come from the environment.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin app

WORKDIR /app
COPY requirements.lock ./
RUN pip install --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY continuous_gtfs ./continuous_gtfs
RUN pip install --no-deps --no-build-isolation .
COPY deploy/workspace.yaml ./deploy/workspace.yaml
COPY dagster.yaml ./dagster_home/dagster.yaml

# Named volumes begin with what is here, its owner included.
RUN mkdir -p /data/archive /data/published dagster_home/storage && chown -R app:app /data dagster_home

ENV DAGSTER_HOME=/app/dagster_home
USER app
