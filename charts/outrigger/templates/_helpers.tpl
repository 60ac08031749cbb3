{{/* What all services share. Each takes the root of its subchart, or a dict of it ("root") and more. */}}

{{- define "outrigger.labels" -}}
{{- range $key, $value := .Values.global.k8sLabels }}
{{ $key }}: {{ tpl (toString $value) $ | quote }}
{{- end }}
{{- end -}}

{{/* dict root, name */}}
{{- define "outrigger.image" -}}
{{- if contains "/" .name -}}
{{ .name }}
{{- else -}}
{{ .root.Values.global.registry }}/{{ .name }}:{{ .root.Values.global.tag }}
{{- end -}}
{{- end -}}

{{- define "outrigger.replicas" -}}
{{- if .Values.global.ha.enabled -}}{{ .Values.global.ha.replicaCount }}{{- else -}}{{ .Values.replicaCount }}{{- end -}}
{{- end -}}

{{/* Namespaces of a cluster may have another domain than cluster.local. */}}
{{- define "outrigger.sentryAddress" -}}
{{- with .Values.global.mtls.sentryAddress -}}
{{ . }}
{{- else -}}
dapr-sentry.{{ .Release.Namespace }}.svc{{ .Values.global.dnsSuffix }}:443
{{- end -}}
{{- end -}}

{{/* The id of sentry: who the token of a service account is meant for. */}}
{{- define "outrigger.sentryId" -}}
spiffe://{{ .Values.global.mtls.controlPlaneTrustDomain }}/ns/{{ .Release.Namespace }}/dapr-sentry
{{- end -}}

{{/* Dapr's names of the addresses that sidecars get for actors and reminders. */}}
{{- define "address.placement" -}}dapr-placement-server:50005{{- end -}}
{{- define "address.scheduler" -}}dapr-scheduler-server:50006{{- end -}}

{{- define "outrigger.prometheusAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .Values.global.prometheus.port | quote }}
prometheus.io/path: "/"
{{- end -}}

{{/* Annotations of a Service: dict root, own */}}
{{- define "outrigger.serviceAnnotations" -}}
{{- if or .own .root.Values.global.prometheus.enabled }}
annotations:
  {{- if .root.Values.global.prometheus.enabled }}
  {{- include "outrigger.prometheusAnnotations" .root | trim | nindent 2 }}
  {{- end }}
  {{- with .own }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "outrigger.metricsServicePort" -}}
{{- if .Values.global.prometheus.enabled }}
- name: metrics
  port: {{ .Values.global.prometheus.port }}
  targetPort: {{ .Values.global.prometheus.port }}
  protocol: TCP
{{- end }}
{{- end -}}

{{- define "outrigger.imagePullSecrets" -}}
{{- $secrets := .Values.global.imagePullSecrets -}}
{{- if $secrets }}
imagePullSecrets:
{{- if kindIs "string" $secrets }}
  - name: {{ $secrets | quote }}
{{- else }}
{{- range $secrets }}
  - name: {{ if kindIs "map" . }}{{ .name | quote }}{{ else }}{{ . | quote }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A PodDisruptionBudget: dict root, app, name */}}
{{- define "outrigger.podDisruptionBudget" -}}
{{- $global := .root.Values.global -}}
{{- if $global.ha.enabled -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    app: {{ .app }}
    {{- include "outrigger.labels" .root | trim | nindent 4 }}
spec:
  {{- if $global.ha.disruption.minimumAvailable }}
  minAvailable: {{ $global.ha.disruption.minimumAvailable }}
  {{- else if $global.ha.disruption.maximumUnavailable }}
  maxUnavailable: {{ $global.ha.disruption.maximumUnavailable }}
  {{- end }}
  selector:
    matchLabels:
      app: {{ .app }}
{{- end -}}
{{- end -}}

{{/* A NetworkPolicy: dict root, app, ports (a list of numbers) */}}
{{- define "outrigger.networkPolicy" -}}
{{- $global := .root.Values.global -}}
{{- if $global.networkPolicy.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .app }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    app: {{ .app }}
    {{- include "outrigger.labels" .root | trim | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      app: {{ .app }}
  policyTypes: [Ingress]
  ingress:
    # From anywhere: callers are proved by their certificates, and an API server has no label to select.
    - ports:
        {{- range .ports }}
        - { protocol: TCP, port: {{ int . }} }
        {{- end }}
        {{- if $global.prometheus.enabled }}
        - { protocol: TCP, port: {{ $global.prometheus.port }} }
        {{- end }}
    {{- with $global.networkPolicy.extraIngress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* A ServiceMonitor: dict root, name, service */}}
{{- define "outrigger.serviceMonitor" -}}
{{- $prometheus := .root.Values.global.prometheus -}}
{{- if and $prometheus.enabled $prometheus.serviceMonitor.enabled -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ .app }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    app: {{ .app }}
    {{- include "outrigger.labels" .root | trim | nindent 4 }}
    {{- with $prometheus.serviceMonitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  namespaceSelector:
    matchNames: [{{ .root.Release.Namespace }}]
  selector:
    matchLabels:
      app: {{ .app }}
  endpoints:
    - port: metrics
      path: /
      interval: {{ $prometheus.serviceMonitor.interval }}
{{- end -}}
{{- end -}}
