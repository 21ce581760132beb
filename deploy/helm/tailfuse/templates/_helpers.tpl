{{- define "tailfuse.name" -}}
{{- if eq .Release.Name .Chart.Name -}}
{{ .Chart.Name }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "tailfuse.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tailfuse.labels" -}}
{{ include "tailfuse.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "tailfuse.image" -}}
{{- $repository := ternary .Values.gpu.repository .Values.image.repository .Values.gpu.enabled -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" $repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}
{{- end -}}

{{/* The name in /bundles: a download is a .zip. */}}
{{- define "tailfuse.bundle" -}}
{{- if .Values.bundle.download -}}
/bundles/bundle.zip
{{- else if eq .Values.bundle.path "." -}}
/bundles
{{- else -}}
/bundles/{{ .Values.bundle.path }}
{{- end -}}
{{- end -}}

{{- define "tailfuse.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "tailfuse.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Stop with a sentence where values contradict each other: the schema cannot say so as clearly. */}}
{{- define "tailfuse.check" -}}
{{- $sources := 0 -}}
{{- range list .Values.bundle.volume .Values.bundle.download .Values.bundle.fetch -}}
{{- if . }}{{ $sources = add1 $sources }}{{ end -}}
{{- end -}}
{{- if ne (int $sources) 1 -}}
{{- fail (printf "set exactly one of bundle.volume, bundle.download and bundle.fetch; %d are set" (int $sources)) -}}
{{- end -}}
{{- if not (or .Values.keys.secret .Values.allowAnonymous) -}}
{{- fail "set keys.secret, a Secret with a file of keys, or allowAnonymous=true" -}}
{{- end -}}
{{- if and .Values.keys.secret .Values.allowAnonymous -}}
{{- fail "keys.secret and allowAnonymous contradict each other: set one of them" -}}
{{- end -}}
{{- if and .Values.keys.admin (not .Values.keys.secret) -}}
{{- fail "keys.admin needs keys.secret, the Secret with the file `admin`" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- fail "autoscaling and keda would both set the number of replicas: enable one of them" -}}
{{- end -}}
{{- range list .Values.autoscaling .Values.keda -}}
{{- if lt (int .maxReplicas) (int .minReplicas) -}}
{{- fail (printf "maxReplicas (%d) is below minReplicas (%d)" (int .maxReplicas) (int .minReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
