# One image for every process: `serve`, `load`, `import`.
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY requirements.lock ./
RUN python -m venv /venv && /venv/bin/pip install -q --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY api api
COPY core core
COPY engine engine
COPY ingestion ingestion
COPY migrations migrations
COPY realtime realtime
COPY semantic_models semantic_models
COPY web web
RUN /venv/bin/pip install -q --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/eduanalytics eduanalytics
COPY --from=build /venv /venv
COPY --from=build /app/semantic_models /app/semantic_models
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    EDU_HOST=0.0.0.0 \
    EDU_DATA_DIR=/var/lib/eduanalytics \
    EDU_MODELS_DIR=/app/semantic_models
USER eduanalytics
VOLUME /var/lib/eduanalytics
EXPOSE 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9090/health/live', timeout=2)"]
CMD ["eduanalytics", "serve"]
