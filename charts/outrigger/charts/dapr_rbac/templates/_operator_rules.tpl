{{/* What the operator does in the namespaces it serves. */}}
{{- define "dapr_rbac.operatorRules" -}}
- apiGroups: ["apps"]
  resources: ["deployments", "statefulsets"]
  verbs: ["get", "list", "watch"]
# Without it the Services could not be owned by their workload where owner references are guarded.
- apiGroups: ["apps"]
  resources: ["deployments/finalizers", "statefulsets/finalizers"]
  verbs: ["update"]
{{- if .Values.global.argoRolloutServiceReconciler.enabled }}
- apiGroups: ["argoproj.io"]
  resources: ["rollouts"]
  verbs: ["get", "list", "watch"]
- apiGroups: ["argoproj.io"]
  resources: ["rollouts/finalizers"]
  verbs: ["update"]
{{- end }}
- apiGroups: [""]
  resources: ["services"]
  verbs: ["get", "list", "watch", "create", "update", "patch", "delete"]
- apiGroups: [""]
  resources: ["services/finalizers"]
  verbs: ["update"]
# The watchdog.
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["get", "list", "watch", "delete"{{ if .Values.global.operator.watchdogCanPatchPodLabels }}, "patch"{{ end }}]
- apiGroups: ["", "events.k8s.io"]
  resources: ["events"]
  verbs: ["create", "patch"]
# secretKeyRef of components is resolved here, so that no app needs the right to read Secrets.
- apiGroups: [""]
  resources: ["secrets"]
  verbs: ["get"]
- apiGroups: ["dapr.io"]
  resources: ["components", "configurations", "subscriptions", "resiliencies", "httpendpoints", "mcpservers", "workflowaccesspolicies"]
  verbs: ["get", "list", "watch"]
{{- end -}}
