#   docker build -t carousel:cpu .                    any machine; serves the embedded model
#   docker build -t carousel:cuda --target cuda .     NVIDIA GPUs
#
# Downloaded weights are never part of an image: they are kept in the volume at /models. docs/docker.md has the rest.
#
# BASE is any Debian with python3 >= 3.11, venv and pip, and python3-dev for the target cuda; TORCH_INDEX is the package
# index for the CPU's torch.
ARG BASE=docker.io/library/python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

FROM ${BASE} AS builder
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_BUILD_CONSTRAINT=/src/constraints.txt \
    PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY constraints.txt ./

FROM builder AS project
COPY pyproject.toml README.md LICENSE ./
COPY clients clients
COPY engine engine
COPY server server
RUN pip wheel --no-deps --wheel-dir /dist . \
    && python3 -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
    print(*project['dependencies'], *project['optional-dependencies']['otel'], sep='\n')" > /dist/requirements.txt

# The CPU's kernels, for every level of processor: the image that runs them has no compiler.
FROM builder AS kernels
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
COPY --from=project /src/engine/kernels/cpu cpu
RUN python3 cpu/build.py /kernels

# The dependencies are a layer of their own: they change seldom, and are a hundred times the project's size.
FROM builder AS packages
RUN python3 -m venv --without-pip /opt/carousel
COPY --from=project /dist/requirements.txt ./

FROM packages AS packages-cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# PIP_CONSTRAINT pins what hadolint asks to pin.
# hadolint ignore=DL3013
RUN pip --python /opt/carousel/bin/python install --no-deps --index-url "${TORCH_INDEX}" torch \
    && pip --python /opt/carousel/bin/python install --requirement requirements.txt

FROM packages AS packages-cuda
RUN pip --python /opt/carousel/bin/python install --requirement requirements.txt

FROM ${BASE} AS runtime
RUN useradd --create-home --uid 10001 carousel \
    && install --directory --owner=carousel --group=carousel /models
ENV PATH=/opt/carousel/bin:$PATH CAROUSEL_HOST=0.0.0.0 HF_HOME=/models PYTHONUNBUFFERED=1
WORKDIR /home/carousel
EXPOSE 8000
STOPSIGNAL SIGTERM
# The first start may download weights: half an hour of not being ready is no failure.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m \
    CMD ["python3", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/ready', timeout=4)"]
ENTRYPOINT ["carousel"]
CMD ["serve"]

FROM runtime AS cuda
# Triton compiles its launcher with the C compiler when it first meets a GPU, and keeps that and the kernels in ~/.triton.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=carousel --group=carousel /home/carousel/.triton
COPY --from=packages-cuda /opt/carousel /opt/carousel
RUN --mount=type=bind,from=project,source=/dist,target=/dist \
    pip --python /opt/carousel/bin/python install --no-cache-dir --no-deps --no-index /dist/*.whl
USER 10001:10001

FROM runtime AS cpu
ENV CAROUSEL_KERNEL_CACHE=/opt/kernels
COPY --from=kernels /kernels /opt/kernels
COPY --from=packages-cpu /opt/carousel /opt/carousel
RUN --mount=type=bind,from=project,source=/dist,target=/dist \
    pip --python /opt/carousel/bin/python install --no-cache-dir --no-deps --no-index /dist/*.whl
USER 10001:10001
