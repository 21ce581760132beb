{{/* Environment of the service. */}}
{{- define "tailfuse.environment" -}}
- {name: TAILFUSE_BUNDLE, value: {{ include "tailfuse.bundle" . | quote }}}
- {name: TAILFUSE_HOST, value: 0.0.0.0}
- {name: TAILFUSE_PORT, value: "8000"}
# Metrics have a port of their own, which the NetworkPolicy opens to Prometheus only.
- {name: TAILFUSE_METRICS_PORT, value: "9000"}
- {name: TAILFUSE_METRICS_HOST, value: 0.0.0.0}
- {name: TAILFUSE_WORKERS, value: {{ .Values.workers | quote }}}
{{- if .Values.grpc.enabled }}
- {name: TAILFUSE_GRPC_PORT, value: "8001"}
{{- end }}
{{- if .Values.gpu.enabled }}
- {name: TAILFUSE_DEVICE, value: cuda}
{{- end }}
{{- if .Values.keys.secret }}
- {name: TAILFUSE_API_KEYS, value: /etc/tailfuse/keys/api}
{{- if .Values.keys.admin }}
- {name: TAILFUSE_ADMIN_KEYS, value: /etc/tailfuse/keys/admin}
{{- end }}
{{- else }}
- {name: TAILFUSE_ALLOW_ANONYMOUS, value: "true"}
{{- end }}
{{- if .Values.trustedKeysSecret }}
- {name: TAILFUSE_TRUSTED_KEYS, value: /etc/tailfuse/trusted/trusted.pem}
{{- end }}
{{- if .Values.roles }}
- {name: TAILFUSE_ROLES, value: /etc/tailfuse/roles/roles.json}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: TAILFUSE_{{ upper $name }}, value: {{ include "tailfuse.plain" $value | quote }}}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A value as text. YAML reads large integers as floats, which would be written as 1.6777216e+07. */}}
{{- define "tailfuse.plain" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ printf "%.0f" . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{- define "tailfuse.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if .Values.gpu.enabled -}}
{{- $limits := merge (dict .Values.gpu.resource (int .Values.gpu.count)) ($resources.limits | default dict) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{ toYaml $resources }}
{{- end -}}

{{/* The init container that fetches the bundle. */}}
{{- define "tailfuse.fetch" -}}
- name: fetch
  {{- if .Values.bundle.download }}
  image: {{ include "tailfuse.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [python, -c, {{ .Files.Get "files/download.py" | toJson }}]
  args: {{- list .Values.bundle.download.url .Values.bundle.download.sha256 "/bundles/bundle.zip" | toYaml | nindent 4 }}
  {{- else }}
  image: {{ .Values.bundle.fetch.image }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: {{- toYaml .Values.bundle.fetch.command | nindent 4 }}
  {{- with .Values.bundle.fetch.args }}
  args: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.bundle.fetch.env }}
  env: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.bundle.fetch.envFrom }}
  envFrom: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  securityContext: {{- include "tailfuse.containerSecurity" . | nindent 4 }}
  resources:
    requests: {cpu: 100m, memory: 128Mi}
    limits: {memory: 1Gi}
  volumeMounts:
    - {name: bundle, mountPath: /bundles}
    - {name: tmp, mountPath: /tmp}
{{- end -}}
