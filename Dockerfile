# The service on a CPU. docker compose up builds and starts it; see docs/operations.md.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
RUN python -m venv /opt/sat2map \
    && /opt/sat2map/bin/pip install --no-cache-dir --no-compile ".[serve,openvino]"

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="sat2map" \
      org.opencontainers.image.licenses="MIT"
# libexpat1 is what the GDAL in rasterio's wheels takes from the system.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin sat2map \
    && install --directory --owner=sat2map /state /rasters
COPY --from=build /opt/sat2map /opt/sat2map
ENV PATH=/opt/sat2map/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp
USER 10001
VOLUME ["/state", "/rasters"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["sat2map", "serve", "--host", "0.0.0.0", "--port", "8000", "--state", "/state"]
CMD ["--rasters", "/rasters"]
