{{/* The parts of a service's Deployment, in the order in which they stand there. */}}

{{/* dict root, app */}}
{{- define "outrigger.deploymentHead" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .app }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    app: {{ .app }}
    {{- include "outrigger.labels" .root | trim | nindent 4 }}
spec:
  replicas: {{ include "outrigger.replicas" .root }}
  selector:
    matchLabels:
      app: {{ .app }}
{{- end -}}

{{/* Metadata of the pod: dict root, app, service */}}
{{- define "outrigger.podMetadata" -}}
labels:
  app: {{ .app }}
  {{- include "outrigger.labels" .root | trim | nindent 2 }}
  {{- with .root.Values.global.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  dapr.io/control-plane: {{ .service }}
  {{- if .root.Values.global.prometheus.enabled }}
  {{- include "outrigger.prometheusAnnotations" .root | trim | nindent 2 }}
  {{- end }}
  {{- with .root.Values.deploymentAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* dict root, port */}}
{{- define "outrigger.probes" -}}
{{- $values := .root.Values -}}
{{- $port := .port -}}
{{- range $probe := list "livenessProbe" "readinessProbe" }}
{{- $times := index $values $probe }}
{{ $probe }}:
  httpGet:
    path: /healthz
    port: {{ $port }}
  initialDelaySeconds: {{ if $values.debug.enabled }}{{ $values.debug.initialDelaySeconds }}{{ else }}{{ $times.initialDelaySeconds }}{{ end }}
  periodSeconds: {{ $times.periodSeconds }}
  failureThreshold: {{ $times.failureThreshold }}
{{- end }}
{{- end -}}

{{/* Passes the restricted Pod Security level as long as runAsNonRoot and global.seccompProfile are as they come. */}}
{{- define "outrigger.securityContext" -}}
{{- if eq .Values.global.daprControlPlaneOs "linux" }}
securityContext:
  {{- if .Values.runAsNonRoot }}
  runAsNonRoot: true
  {{- else }}
  runAsUser: 1000
  {{- end }}
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
  {{- with .Values.global.seccompProfile }}
  seccompProfile:
    type: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The program, or with debug.enabled the one that opens Node's inspector first: dict root, program */}}
{{- define "outrigger.command" -}}
["{{ if .root.Values.debug.enabled }}/dlv{{ else }}{{ .program }}{{ end }}"]
{{- end -}}

{{- define "outrigger.debugArgs" -}}
{{- if .root.Values.debug.enabled }}
- "--listen=127.0.0.1:{{ .root.Values.debug.port }}"
- "exec"
- {{ .program | quote }}
- "--"
{{- end }}
{{- end -}}

{{/* Flags that every service takes. */}}
{{- define "outrigger.commonArgs" -}}
- "--log-level"
- {{ .Values.logLevel | quote }}
{{- if .Values.global.logAsJson }}
- "--log-as-json"
{{- end }}
{{- if .Values.global.prometheus.enabled }}
- "--enable-metrics"
- "--metrics-port"
- {{ .Values.global.prometheus.port | quote }}
{{- else }}
- "--enable-metrics=false"
{{- end }}
{{- end -}}

{{- define "outrigger.commonEnv" -}}
- name: NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- range $name, $value := .Values.extraEnvVars }}
- name: {{ $name | quote }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- define "outrigger.metricsContainerPort" -}}
{{- if .Values.global.prometheus.enabled }}
- name: metrics
  containerPort: {{ .Values.global.prometheus.port }}
  protocol: TCP
{{- end }}
{{- end -}}

{{/* Of services that ask sentry for their identity. */}}
{{- define "outrigger.identityMounts" -}}
- name: dapr-trust-bundle
  mountPath: /var/run/secrets/dapr.io/tls
  readOnly: true
{{- if .Values.global.mtls.mountSentryVolume }}
- name: dapr-identity-token
  mountPath: /var/run/secrets/dapr.io/sentrytoken
  readOnly: true
{{- end }}
{{- end -}}

{{- define "outrigger.identityVolumes" -}}
- name: dapr-trust-bundle
  configMap:
    name: dapr-trust-bundle
    # Named, the file must be there: the kubelet tries again within seconds until sentry has made it. An empty folder that
    # it has mounted it looks at again after a minute only.
    items:
      - { key: {{ .Values.global.issuerFilenames.ca | default "ca.crt" }}, path: ca.crt }
{{- if .Values.global.mtls.mountSentryVolume }}
- name: dapr-identity-token
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 600
          audience: {{ include "outrigger.sentryId" . | quote }}
{{- end }}
{{- end -}}

{{/* Where the pod may run: dict root, app */}}
{{- define "outrigger.scheduling" -}}
{{- $global := .root.Values.global -}}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            - { key: kubernetes.io/os, operator: In, values: [{{ $global.daprControlPlaneOs }}] }
            {{- with $global.daprControlPlaneArch }}
            - { key: kubernetes.io/arch, operator: In, values: [{{ . }}] }
            {{- end }}
  {{- if $global.ha.enabled }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          labelSelector:
            matchLabels:
              app: {{ .app }}
          topologyKey: {{ $global.ha.topologyKey }}
  {{- end }}
{{- include "outrigger.imagePullSecrets" .root }}
{{- with $global.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $global.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $global.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
