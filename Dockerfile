# The benchmark on a GPU: `docker run --gpus all IMAGE pytest bench/ --gpu`.
FROM pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime

ENV HF_HOME=/cache/huggingface \
    HF_HUB_DISABLE_TELEMETRY=1 \
    TORCH_HOME=/cache/torch \
    HOME=/tmp \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1

WORKDIR /work

COPY pyproject.toml README.md LICENSE ./
COPY photoguard_eval photoguard_eval
COPY datasets datasets
COPY bench bench
COPY reports/baselines reports/baselines
COPY reports/boards reports/boards

# torch is that of the base image: what it satisfies is not installed again.
RUN pip install --editable . \
    && mkdir -p /cache/huggingface /cache/torch \
    && chmod -R a+rwX /work /cache

CMD ["pytest", "bench/", "--gpu"]
