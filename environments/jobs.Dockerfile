# Jobs, the Dask scheduler and its workers. From the root of the repository, on CPUs and on GPUs:
#   docker build -f environments/jobs.Dockerfile -t recbench-jobs:0.1.0 .
#   docker build -f environments/jobs.Dockerfile -t recbench-gpu:0.1.0 \
#     --build-arg LOCK=gpu.txt --build-arg EXTRAS=cluster,serve,stream,llm,tune,gpu \
#     --build-arg PIP_EXTRA_INDEX_URL= .
# No entry point: Kubernetes says what a pod runs. CUDA comes with the wheels, the driver from the node.

FROM python:3.11-slim AS build
ARG LOCK=cpu.lock
ARG EXTRAS=cluster,serve,stream,llm,tune
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY environments/cpu.lock environments/gpu.txt environments/
COPY recbench recbench
RUN python -m venv /opt/recbench \
 && PIP_EXTRA_INDEX_URL="$PIP_EXTRA_INDEX_URL" /opt/recbench/bin/pip install --no-cache-dir \
    --constraint "environments/$LOCK" ".[$EXTRAS]"

FROM python:3.11-slim
COPY --from=build /opt/recbench /opt/recbench
COPY notebooks /opt/notebooks
# USER: libraries that ask for a name look here before they look for 10001, whom no file names
ENV PATH=/opt/recbench/bin:$PATH \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RECBENCH_NOTEBOOKS=/opt/notebooks \
    RECBENCH_RUNS=/workspace/papermill_runs \
    RECBENCH_WORKSPACE=/workspace \
    USER=recbench
WORKDIR /workspace
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["recbench", "--help"]
