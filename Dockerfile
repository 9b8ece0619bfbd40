# syntax=docker/dockerfile:1
# Two images: `docker build --target grit -t grit:0.1.0 .` (every role, the command line) and
# `docker build --target marketplace -t grit-marketplace:0.1.0 .` (the same and the sample services).

FROM python:3.11-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
# The environment is made at the path where it will lie: its scripts name it.
ENV UV_PROJECT_ENVIRONMENT=/opt/grit UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1
WORKDIR /src
# What changes seldom first: this layer is kept until the lock changes.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project \
    && uv export --frozen --only-group dev --no-hashes --quiet --output-file /tmp/locked.txt
COPY README.md LICENSE ./
COPY grit grit
COPY gtm gtm
COPY dbtm dbtm
COPY log_players log_players
# The build backend is the locked one too.
RUN uv build --wheel --build-constraints /tmp/locked.txt --out-dir /tmp/dist \
    && uv pip install --python /opt/grit --no-deps /tmp/dist/*.whl

FROM python:3.11-slim AS grit
LABEL org.opencontainers.image.title="grit" org.opencontainers.image.licenses="Apache-2.0"
# A number, so that Kubernetes can see that it is not root. The folder is for a deployment without a volume.
RUN groupadd --gid 10001 grit \
    && useradd --uid 10001 --gid grit --no-create-home --shell /usr/sbin/nologin grit \
    && install -d -o grit -g grit /var/lib/grit
COPY --from=build /opt/grit /opt/grit
# Nothing is written beside the code: the file system may be read-only.
ENV PATH=/opt/grit/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /var/lib/grit
USER 10001:10001
ENTRYPOINT ["grit"]
CMD ["--help"]

FROM grit AS marketplace
LABEL org.opencontainers.image.title="grit-marketplace"
COPY sample_services /opt/marketplace/sample_services
ENV PYTHONPATH=/opt/marketplace
ENTRYPOINT ["python", "-m"]
CMD ["sample_services.shop", "--help"]
