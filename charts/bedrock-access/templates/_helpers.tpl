{{/* Value of the label app.kubernetes.io/name. */}}
{{- define "bedrock-access.name" -}}
{{- .Values.nameOverride | default "bedrock-access-operator" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of the operator's Deployment, ServiceAccount and roles, at most 52 characters, so that suffixes fit. */}}
{{- define "bedrock-access.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if not .Values.nameOverride }}
{{- "bedrock-access-operator" }}
{{- else if contains .Values.nameOverride .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Prefix of the names of the webhooks, their Service and Secret, and the users' roles. */}}
{{- define "bedrock-access.prefix" -}}
{{- include "bedrock-access.fullname" . | trimSuffix "-operator" }}
{{- end }}

{{- define "bedrock-access.selector" -}}
app.kubernetes.io/name: {{ include "bedrock-access.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. Common labels take precedence, except over the labels of selectors. */}}
{{- define "bedrock-access.labels" -}}
{{- $chart := dict
  "app.kubernetes.io/component" "operator"
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "bedrock-access"
  "app.kubernetes.io/version" (.Chart.AppVersion | toString)
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $selector := include "bedrock-access.selector" . | fromYaml }}
{{- mergeOverwrite $chart (deepCopy .Values.commonLabels) $selector | toYaml }}
{{- end }}

{{/*
Metadata of an object. Arguments: root, name; optional: global (no namespace), namespace, labels, annotations, hook.
*/}}
{{- define "bedrock-access.metadata" -}}
name: {{ .name }}
{{- if not .global }}
namespace: {{ .namespace | default .root.Release.Namespace }}
{{- end }}
labels: {{- mergeOverwrite (include "bedrock-access.labels" .root | fromYaml) (.labels | default dict) | toYaml | nindent 2 }}
{{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) (.annotations | default dict) }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "bedrock-access.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "bedrock-access.fullname" .) }}
{{- end }}

{{/*
Reference of an image: repository with the registry of global.imageRegistry, and tag or digest. Arguments: root, image.
*/}}
{{- define "bedrock-access.image" -}}
{{- $repository := .image.repository }}
{{- with .root.Values.global.imageRegistry }}
{{- $parts := splitList "/" $repository }}
{{- /* The first part is a registry if it contains a dot or a port, as in the references of container engines. */}}
{{- if and (gt (len $parts) 1) (regexMatch "[.:]|^localhost$" (first $parts)) }}
{{- $parts = rest $parts }}
{{- end }}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (join "/" $parts) }}
{{- end }}
{{- if not .image.digest }}
{{- printf "%s:%s" $repository (.image.tag | default .root.Chart.AppVersion | toString) }}
{{- else if .image.tag }}
{{- printf "%s:%s@%s" $repository .image.tag .image.digest }}
{{- else }}
{{- printf "%s@%s" $repository .image.digest }}
{{- end }}
{{- end }}

{{/* Pull secrets, each once. */}}
{{- define "bedrock-access.pullSecrets" -}}
{{- $secrets := list }}
{{- range concat .Values.imagePullSecrets (.Values.global.imagePullSecrets | default list) }}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) }}
{{- end }}
{{- with uniq $secrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The operator's ServiceAccount as the subject of a binding. */}}
{{- define "bedrock-access.subjects" -}}
- kind: ServiceAccount
  name: {{ include "bedrock-access.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Not empty if the operator's webhook server is needed. */}}
{{- define "bedrock-access.webhook" -}}
{{- if or .Values.sidecar.enabled .Values.admission.enabled }}yes{{ end }}
{{- end }}

{{/*
Whether the author of a request may create the objects of a gateway, in CEL. The API server limits the cost of an expression: it cannot
contain a third check.
*/}}
{{- define "bedrock-access.authorMayCreate" -}}
authorizer.group("apps").resource("deployments").namespace(request.namespace).check("create").allowed() &&
authorizer.group("").resource("serviceaccounts").namespace(request.namespace).check("create").allowed()
{{- end }}

{{/* The fields that the webhooks for BedrockAccess objects have in common. */}}
{{- define "bedrock-access.validation" -}}
admissionReviewVersions: [v1]
sideEffects: None
timeoutSeconds: {{ .Values.webhook.timeoutSeconds }}
matchPolicy: Equivalent
# caBundle is set by the operator or by cert-manager.
clientConfig:
  service:
    name: {{ include "bedrock-access.prefix" . }}-webhook
    namespace: {{ .Release.Namespace }}
    path: /validate
    port: 443
rules:
  - apiGroups: [bedrockaccess.dev]
    apiVersions: [v1alpha1]
    operations: [CREATE, UPDATE]
    resources: [bedrockaccesses]
    scope: Namespaced
{{- with .Values.watchNamespaces }}
namespaceSelector:
  matchExpressions:
    - { key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }} }
{{- end }}
{{- end }}

{{/* Annotations of a webhook configuration. */}}
{{- define "bedrock-access.webhookAnnotations" -}}
{{- $annotations := deepCopy .Values.webhook.annotations }}
{{- if .Values.webhook.certManager.enabled }}
{{- $_ := set $annotations "cert-manager.io/inject-ca-from" (printf "%s/%s-webhook" .Release.Namespace (include "bedrock-access.prefix" .)) }}
{{- end }}
{{- toYaml $annotations }}
{{- end }}

{{/* Not empty if an object for the Prometheus operator is rendered. Arguments: root, key of its values, kind. */}}
{{- define "bedrock-access.rendersMonitor" -}}
{{- $values := get .root.Values .key }}
{{- if $values.enabled }}
{{- if or (eq $values.renderMode "alwaysRender") (.root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind)) -}}
yes
{{- else if eq $values.renderMode "failIfMissing" }}
{{- fail (printf "%s: the cluster has no %s API. Fix: install the Prometheus operator, or set %s.renderMode to alwaysRender or skipIfMissing" .key .kind .key) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Not empty if the ServiceMonitor is rendered. */}}
{{- define "bedrock-access.serviceMonitor" -}}
{{- include "bedrock-access.rendersMonitor" (dict "root" . "key" "serviceMonitor" "kind" "ServiceMonitor") }}
{{- end }}

{{/* Not empty if the metrics Service is rendered. */}}
{{- define "bedrock-access.metricsService" -}}
{{- if or .Values.metrics.service.enabled (include "bedrock-access.serviceMonitor" .) }}yes{{ end }}
{{- end }}

{{/* The document with defaults for gateways, without values that are not set; empty if there are none. */}}
{{- define "bedrock-access.gatewayDefaults" -}}
{{- $document := dict }}
{{- range $key, $value := .Values.gatewayDefaults }}
{{- if has $key (list "proxy" "sidecar") }}
{{- $part := dict }}
{{- range $name, $setting := $value }}
{{- if $setting }}
{{- $_ := set $part $name $setting }}
{{- end }}
{{- end }}
{{- if $part }}
{{- $_ := set $document $key $part }}
{{- end }}
{{- else if eq $key "imagePullSecrets" }}
{{- $secrets := list }}
{{- range $value }}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) }}
{{- end }}
{{- if $secrets }}
{{- $_ := set $document $key $secrets }}
{{- end }}
{{- else if or $value (and (has $key (list "podMonitor" "topologySpreadConstraints")) (not (kindIs "invalid" $value))) }}
{{- $_ := set $document $key $value }}
{{- end }}
{{- end }}
{{- with $document }}
{{- toYaml . }}
{{- end }}
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
  resources: [configmaps, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
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
# For the Gateway API, if installed.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, backendtlspolicies]
  verbs: [get, list, watch, create, patch, delete]
# For cert-manager, if installed.
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, list, watch, create, patch, delete]
# Certificates of gateways that the operator creates (spec.gateway.tls): one Secret in each namespace. RBAC cannot limit `create` to a name.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [bedrock-gateway-tls]
  verbs: [get, update]
# State of the gateway pods.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
