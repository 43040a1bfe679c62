#!/bin/bash
# A training of tokensep on several nodes, one process a GPU:
#   sbatch --nodes 8 --gpus-per-node 8 docs/slurm_train.sh train lm --tokens TOKENS --codec CODEC --config paper -o RUN
# Everything after the script's name is a call of `tokensep`. Submitted again with the same arguments, it continues.
#SBATCH --job-name tokensep
#SBATCH --ntasks-per-node 1
#SBATCH --cpus-per-task 64
#SBATCH --time 24:00:00
#SBATCH --requeue
#SBATCH --open-mode append
set -euo pipefail
export OMP_NUM_THREADS=1
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun --kill-on-bad-exit=1 torchrun \
  --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" \
  --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$head:29500" \
  -m tokensep "$@"
