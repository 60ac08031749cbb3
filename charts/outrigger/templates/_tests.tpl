{{/* `helm test` makes its own rights and takes them away again: they are never part of the release. */}}
{{- define "outrigger.testRights" -}}
helm.sh/hook: test
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end -}}

{{- define "outrigger.testLabels" -}}
app: outrigger-check
app.kubernetes.io/part-of: dapr
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}
