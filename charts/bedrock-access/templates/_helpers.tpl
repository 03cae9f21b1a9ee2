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

{{/* The operator, as the subject of a binding. */}}
{{- define "bedrock-access.subjects" -}}
- kind: ServiceAccount
  name: {{ include "bedrock-access.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* What the operator does in the namespaces it works in. */}}
{{- define "bedrock-access.rules" -}}
# What it is told to do, and where it says how it went.
- apiGroups: [bedrockaccess.dev]
  resources: [bedrockaccesses]
  verbs: [get, list, watch]
- apiGroups: [bedrockaccess.dev]
  resources: [bedrockaccesses/status]
  verbs: [patch]
# What it makes.
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
# Every access has one as long as it is there.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# Where the Prometheus operator is installed.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
# How the gateways do.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* Whether anything is asked of the operator's webhook server: not empty, if so. */}}
{{- define "bedrock-access.webhook" -}}
{{- if or .Values.sidecar.enabled .Values.admission.enabled }}yes{{ end }}
{{- end }}
