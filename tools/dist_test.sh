#!/usr/bin/env bash
# Test with several processes, one per GPU (without GPUs: on CPUs with gloo).
#
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
#
# Several machines: run it on each of them with NNODES, NODE_RANK and MASTER_ADDR set. Jobs on one machine need different values
# of PORT (default: 29500). PYTHON is the interpreter.
set -euo pipefail

if [[ $# -lt 3 ]]; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [options of test.py]" >&2
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

export PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$TOOLS/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
