# benchsep in a container, on the CPU: docker build -t benchsep . && docker run --rm benchsep run demo
# Untested: no container engine was at hand. The same commands without a container are what CI runs.
FROM python:3.11-slim

WORKDIR /src
COPY . .
# Versions of the lock. TORCH_INDEX is the index of torch's CPU builds (pytorch.org names it); without
# it pip takes the CUDA build, some gigabytes.
ARG TORCH_INDEX
RUN sed -n 's/^\([^# ]*==[^ ]*\).*/\1/p' requirements.lock > /tmp/pins.txt \
 && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' /tmp/pins.txt)" \
 && pip install --no-cache-dir -c /tmp/pins.txt '.[spleeter]'

# Scores are made with one thread per process: the same bytes on every machine.
ENV OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1
WORKDIR /work
VOLUME /work
ENTRYPOINT ["benchsep"]
CMD ["--help"]
