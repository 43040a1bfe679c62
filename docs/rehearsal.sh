#!/usr/bin/env bash
# A large training in small: labels by two teachers, token shards, codec and LM on two processes,
# a kill, a resume, an export, a run of benchsep. `make rehearsal` calls it; a lab copies it.
#
#   docs/rehearsal.sh RECORDINGS WORK
#
# RECORDINGS holds train/ and valid/, two folders of music without stems. Every command continues
# what an earlier call of it began. Set BIN to the folder of the programs, e.g. .venv/bin/.
set -euo pipefail
recordings=$1 work=$2 bin=${BIN:-}
configs=$(dirname "$0")/../configs/tokensep/rehearsal
mkdir -p "$work"
two() { "${bin}python" -m torch.distributed.run --standalone --nproc-per-node 2 -m tokensep "$@"; }

# 1. Labels of the recordings as tar shards of FLAC: once by the mini alone, once with the vocals
#    of Spleeter, which knows two stems.
for part in train valid; do
  "${bin}tokensep" pseudo-label "$recordings/$part" --teacher bs_roformer:checkpoint=mini \
    -o "$work/labels-$part-mini" --shard-minutes 0.25
  "${bin}tokensep" pseudo-label "$recordings/$part" --teacher bs_roformer:checkpoint=mini \
    --vocals spleeter -o "$work/labels-$part-spleeter" --shard-minutes 0.25
done
train=(--shards "$work/labels-train-mini" --shards "$work/labels-train-spleeter")
valid=("$work/labels-valid-mini" "$work/labels-valid-spleeter")

# 2. The codec, on two processes, from streamed audio shards.
two train codec --config "$configs/codec.yaml" "${train[@]}" --valid-shards "${valid[0]}" \
  --valid-shards "${valid[1]}" --work "$work/codec-run" -o "$work/codec"

# 3. Tokens, by two processes.
"${bin}tokensep" tokenize "${train[@]}" --codec "$work/codec" -o "$work/tokens" \
  --config "$configs/separator.yaml" -j 2
"${bin}tokensep" tokenize --shards "${valid[0]}" --shards "${valid[1]}" --codec "$work/codec" \
  -o "$work/tokens-valid" --config "$configs/separator.yaml"

# 4. The LM, on two processes: once without disturbance, once killed and resumed.
lm() {
  two train lm --codec "$work/codec" -o "$1" --tokens "$work/tokens" \
    --valid-tokens "$work/tokens-valid" --config "$configs/separator.yaml" \
    --settings "$configs/lm.yaml" -O workers=2
}
lm "$work/lm"
if [ ! -d "$work/lm-killed/final" ]; then
  set -m # a process group of its own, so that the kill reaches every process
  lm "$work/lm-killed" &
  while [ ! -d "$work/lm-killed/checkpoints/step-10" ]; do
    kill -0 $! || { echo "the training ended before its first checkpoint" >&2; exit 1; }
    sleep 0.2
  done
  kill -KILL -- -$!
  wait $! || true
  set +m
fi
lm "$work/lm-killed"
cmp "$work/lm/final/lm.safetensors" "$work/lm-killed/final/lm.safetensors"
echo "killed and resumed: the same weights, byte for byte"

# 5. Codec and LM in one folder are a checkpoint.
mkdir -p "$work/checkpoint"
cp "$work"/codec/* "$work"/lm/final/* "$work/checkpoint/"
"${bin}benchsep" run --systems "tokensep:checkpoint=$work/checkpoint" -o "$work/run" --metrics usdr,visqol
"${bin}benchsep" show "$work/run"
