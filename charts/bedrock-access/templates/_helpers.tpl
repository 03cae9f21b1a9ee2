{{- define "bedrock-access.name" -}}
bedrock-access-operator
{{- end }}

{{- define "bedrock-access.labels" -}}
app.kubernetes.io/name: {{ include "bedrock-access.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: bedrock-access
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "bedrock-access.selector" -}}
app.kubernetes.io/name: {{ include "bedrock-access.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bedrock-access.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "bedrock-access.name" .) }}
{{- end }}

{{/* The image of this name: registry, name, tag. */}}
{{- define "bedrock-access.image" -}}
{{- $image := .root.Values.image -}}
{{- with $image.registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ .name }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end }}
