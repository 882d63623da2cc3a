# The laboratory in a container; docs/containers.md says how to build and use it.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
ARG TORCH_BUILD=cpu
ARG EXTRAS=viewer

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends git make python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

# A checkout with its .git, so that a run's summary names the commit.
WORKDIR /opt/gsd
COPY . .
# Compiled kernels and the menagerie's views lie in the image; any user may add to them.
ENV GSD_CACHE=/opt/gsd-cache PIP_NO_CACHE_DIR=1
RUN git config --system --add safe.directory /opt/gsd \
    && make setup TORCH_BUILD=${TORCH_BUILD} \
    && .venv/bin/pip install -c constraints.txt -e ".[${EXTRAS}]" \
    && chmod -R a+rwX ${GSD_CACHE}

ENV PATH=/opt/gsd/.venv/bin:$PATH
WORKDIR /work
ENTRYPOINT ["gsd"]
