# syntax=docker/dockerfile:1
#
#   docker build --target cpu  -t carousel:cpu  .      any machine; serves the embedded model
#   docker build --target cuda -t carousel:cuda .      NVIDIA GPUs
#
# Weights are never part of the image: mount a directory, or a volume for the hub's cache, at /models.

FROM python:3.12-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/carousel
COPY constraints.txt ./

FROM build AS build-cpu
RUN /opt/carousel/bin/pip install --constraint constraints.txt --index-url https://download.pytorch.org/whl/cpu torch
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY server server
COPY clients clients
RUN /opt/carousel/bin/pip install --constraint constraints.txt .

FROM build AS build-cuda
RUN /opt/carousel/bin/pip install --constraint constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY server server
COPY clients clients
RUN /opt/carousel/bin/pip install --constraint constraints.txt .

FROM python:3.12-slim-bookworm AS runtime
RUN useradd --create-home --uid 10001 carousel && mkdir /models && chown carousel /models
ENV PATH=/opt/carousel/bin:$PATH HF_HOME=/models PYTHONUNBUFFERED=1
USER carousel
WORKDIR /home/carousel
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30m \
    CMD ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8000/ready').raise_for_status()"]
ENTRYPOINT ["carousel"]
CMD ["serve", "embedded", "--host", "0.0.0.0"]

FROM runtime AS cuda
COPY --from=build-cuda /opt/carousel /opt/carousel

FROM runtime AS cpu
COPY --from=build-cpu /opt/carousel /opt/carousel
