#!/bin/sh
# Runs a command with KUBECONFIG naming a real API server: the caller's own, one made of the programs in KUBEBUILDER_ASSETS, or the control
# plane of the cluster scripts in OUTRIGGER_CLUSTER, started once for all tests and stopped afterwards unless it was up before. Where
# there is none, the last line says so; REQUIRE_KUBERNETES=1 turns that into a failure.
[ -n "$KUBECONFIG" ] && exec "$@"
[ -n "$KUBEBUILDER_ASSETS" ] && exec node "$(dirname "$0")/../tools/own-control-plane.ts" "$@"

without() {
  "$@"
  status=$?
  [ "$REQUIRE_KUBERNETES" = 1 ] && status=1
  echo "NOT RUN: kubernetes ($reason)"
  exit $status
}

reason="there is no API server; name one in KUBECONFIG, or etcd and kube-apiserver by KUBEBUILDER_ASSETS"
[ -n "$OUTRIGGER_CLUSTER" ] && [ -x "$OUTRIGGER_CLUSTER/up-cp.sh" ] || without "$@"
run="${CLUSTER_HOME:-$HOME/.cache/outrigger-cluster}/run-cp"
if [ ! -e "$run" ]; then
  log=$(mktemp)
  trap '"$OUTRIGGER_CLUSTER/down-cp.sh" >/dev/null 2>&1; rm -f "$log"' EXIT
  # The first start builds Kubernetes, which takes minutes.
  "$OUTRIGGER_CLUSTER/up-cp.sh" >"$log" 2>&1 || {
    tail -n 5 "$log" >&2
    reason="up-cp.sh failed"
    without "$@"
  }
fi
KUBECONFIG="$run/pki/admin.conf" "$@"
