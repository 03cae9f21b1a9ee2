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

{{/* Full reference of an image: registry, name, tag. */}}
{{- define "bedrock-access.image" -}}
{{- $image := .root.Values.image -}}
{{- with $image.registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ .name }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* The operator's ServiceAccount as the subject of a binding. */}}
{{- define "bedrock-access.subjects" -}}
- kind: ServiceAccount
  name: {{ include "bedrock-access.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Permissions in the namespaces that the operator reconciles. */}}
{{- define "bedrock-access.rules" -}}
# Custom resources and their status.
- apiGroups: [bedrockaccess.dev]
  resources: [bedrockaccesses]
  verbs: [get, list, watch]
- apiGroups: [bedrockaccess.dev]
  resources: [bedrockaccesses/status]
  verbs: [patch]
# Owned objects.
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
# Not deleted: every BedrockAccess always has a ConfigMap.
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
# For the Prometheus operator, if installed.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
# State of the gateway pods.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* Not empty if the operator's webhook server is needed. */}}
{{- define "bedrock-access.webhook" -}}
{{- if or .Values.sidecar.enabled .Values.admission.enabled }}yes{{ end }}
{{- end }}
