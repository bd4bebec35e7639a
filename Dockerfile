# The service alone: no training, no tests, no compiler, no root.

FROM python:3.11-slim-bookworm AS build
# Where torch comes from: the CPU builds by default, .../whl/cu130 for CUDA, empty for the package index.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_RETRIES=2
WORKDIR /src
RUN python -m venv --without-pip /opt/venv
# The locked dependencies come before the source, so that a change of the source builds in seconds.
COPY constraints.txt ./
RUN pip --python /opt/venv/bin/python install -c constraints.txt \
      ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} torch \
    # What only compiling C++ extensions, tracing and torch's own tests need.
    && pip --python /opt/venv/bin/python uninstall -q -y sympy mpmath networkx setuptools \
    && torch=/opt/venv/lib/python3.11/site-packages/torch \
    && rm -rf "$torch/include" "$torch/test" \
    && find "$torch/bin" -type f ! -name torch_shm_manager -delete
COPY pyproject.toml ./
# What a container cannot be given later: rate limits in Redis, and traces. Together 15 MB; EXTRAS= leaves them out.
# EXTRAS=redis,otel,openvino adds what REPARAM_RUNTIME=openvino needs.
ARG EXTRAS=redis,otel
RUN python -c 'import os, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; extras = filter(None, os.environ["EXTRAS"].split(",")); print(*(d for ds in (p["dependencies"], *(p["optional-dependencies"][e] for e in extras)) for d in ds if not d.startswith("torch=")), sep="\n")' \
      >requirements.txt \
    && pip --python /opt/venv/bin/python install -c constraints.txt -r requirements.txt
COPY LICENSE README.md ./
COPY app app
COPY models models
RUN pip --python /opt/venv/bin/python install --no-deps .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 REPARAM_HOST=0.0.0.0 REPARAM_PORT=8000
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-m", "app.healthcheck"]
CMD ["reparam", "serve"]
