{{/* What both entries of the webhook have in common. */}}
{{- define "dapr_sidecar_injector.webhook" -}}
{{- with .Values.objectSelector }}
objectSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
rules:
  - apiGroups: [""]
    apiVersions: [v1]
    resources: [pods]
    operations: [CREATE]
    scope: Namespaced
clientConfig:
  service:
    namespace: {{ .Release.Namespace }}
    name: dapr-sidecar-injector
    path: {{ .webhookPath | default "/mutate" }}
    port: 443
failurePolicy: {{ .Values.webhookFailurePolicy }}
reinvocationPolicy: IfNeeded
sideEffects: None
timeoutSeconds: 10
admissionReviewVersions: [v1, v1beta1]
{{- end -}}
