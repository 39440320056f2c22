#!/bin/bash
# posecli on Slurm: Ray on every machine of the job, then one run over all of them.
#
#   sbatch --nodes 8 docs/cluster/slurm.sh PICTURES OUT/ [further options of posecli estimate]
#
# PICTURES and OUT/ must be on storage that all machines share. If the job is stopped, submit it again: --resume continues the run.
#SBATCH --job-name=posecli
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem-per-cpu=768M
#SBATCH --time=12:00:00
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: sbatch --nodes N $0 PICTURES OUT/ [OPTIONS]" >&2; exit 2; }

export RAY_USAGE_STATS_ENABLED=0
# Recent versions of Ray require a token. It is stored in the home folder, which the machines share.
if ray get-auth-token --generate >/dev/null 2>&1; then
    export RAY_AUTH_MODE=token
fi
port=${RAY_PORT:-6379}
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=$(echo "$nodes" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')

srun --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$address" --port="$port" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
# Wait until the head answers.
for ((seconds = 0; seconds < ${RAY_PATIENCE:-120}; seconds++)); do
    (: >"/dev/tcp/$address/$port") 2>/dev/null && break
    sleep 1
done
for node in $(echo "$nodes" | tail -n +2); do
    srun --nodes=1 --ntasks=1 --nodelist="$node" \
        ray start --address="$address:$port" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
done

posecli estimate "$1" -o "$2" --shards --resume --engine ray --ray-address "$address:$port" --no-progress "${@:3}"
