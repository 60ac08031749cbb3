{{/* A ServiceAccount: dict root, name, annotations */}}
{{- define "dapr_rbac.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  labels:
    {{- include "outrigger.labels" .root | trim | nindent 4 }}
{{- end -}}

{{/* Metadata and head of a role, "ClusterRole" or "Role": dict root, kind, name */}}
{{- define "dapr_rbac.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  {{- if eq .kind "Role" }}
  namespace: {{ .root.Release.Namespace }}
  {{- end }}
  labels:
    {{- include "outrigger.labels" .root | trim | nindent 4 }}
{{- end -}}

{{/* The binding of a role to the service account of a service: dict root, kind, name, account */}}
{{- define "dapr_rbac.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .name }}
  {{- if eq .kind "Role" }}
  namespace: {{ .root.Release.Namespace }}
  {{- end }}
  labels:
    {{- include "outrigger.labels" .root | trim | nindent 4 }}
subjects:
  - kind: ServiceAccount
    name: {{ .account }}
    namespace: {{ .root.Release.Namespace }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
{{- end -}}
