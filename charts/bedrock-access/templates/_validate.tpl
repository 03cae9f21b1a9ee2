{{/*
Rejects values that the chart does not have, and names the near one. The schema of the values cannot do this: it reports an
unknown key without a suggestion. Known keys come from files/values.schema.json, a copy of the schema; suggestions for names of
older versions and of other charts from files/value-names.yaml. Every template includes this, because the order of templates is
not defined; the values are checked once.
*/}}
{{- define "bedrock-access.validate" -}}
{{- if not (hasKey .Values "validated") }}
{{- include "bedrock-access.check" . }}
{{- $_ := set .Values "validated" true }}
{{- end }}
{{- end }}

{{- define "bedrock-access.check" -}}
{{- $schema := .Files.Get "files/values.schema.json" | fromJson }}
{{- $values := deepCopy .Values }}
{{- if not .Chart.IsRoot }}
{{- /* A parent chart puts values for all its charts here. */}}
{{- $_ := unset $values "global" }}
{{- end }}
{{- $unknown := include "bedrock-access.unknown" (dict "values" $values "schema" $schema "path" "") | fromJsonArray }}
{{- $problems := list }}
{{- range $unknown }}
{{- $problems = append $problems (include "bedrock-access.suggestion" (dict "path" . "schema" $schema "names" ($.Files.Get "files/value-names.yaml" | fromYaml))) }}
{{- end }}
{{- if kindIs "bool" (.Values.metrics).service }}
{{- $problems = append $problems "metrics.service: renamed: use metrics.service.enabled" }}
{{- end }}
{{- range $key, $_ := $schema.properties }}
{{- if and (not (hasKey $.Values $key)) (has $key (list "crds" "health" "helmTest" "image" "webhook")) }}
{{- $problems = append $problems (printf "%s: missing" $key) }}
{{- end }}
{{- end }}
{{- with $problems }}
{{- fail (printf "\n\nthese values do not fit this chart:\n  - %s\nAfter an upgrade from an older chart: `helm upgrade --reset-then-reuse-values` combines your own values with the new defaults; `--reuse-values` keeps the old defaults.\n" (join "\n  - " .)) }}
{{- end }}
{{- if not .Values.enabled }}
{{- fail "enabled: false applies only to a parent chart with the condition bedrock-access.enabled; use `helm uninstall` to remove the chart" }}
{{- end }}
{{- if and (not .Values.leaderElection.enabled) (gt (int .Values.replicaCount) 1) }}
{{- fail "replicaCount: more than one replica requires leaderElection.enabled" }}
{{- end }}
{{- if not (or (kindIs "invalid" .Values.podDisruptionBudget.minAvailable) (kindIs "invalid" .Values.podDisruptionBudget.maxUnavailable)) }}
{{- fail "podDisruptionBudget: set minAvailable or maxUnavailable, not both" }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.name: required if serviceAccount.create is false" }}
{{- end }}
{{- with .Values.helmTest.chat }}
{{- if and .name (not (and .namespace .serviceAccountName .model)) }}
{{- fail "helmTest.chat: set namespace, serviceAccountName and model as well as name" }}
{{- end }}
{{- end }}
{{- $ports := list (int .Values.metrics.port) (int .Values.health.port) (int .Values.webhook.port) }}
{{- $names := "metrics.port, health.port and webhook.port" }}
{{- if .Values.console.enabled }}
{{- $ports = append $ports (int .Values.console.port) }}
{{- $names = "metrics.port, health.port, webhook.port and console.port" }}
{{- end }}
{{- if ne (len (uniq $ports)) (len $ports) }}
{{- fail (printf "%s must differ" $names) }}
{{- end }}
{{- end }}

{{/* JSON list of the paths of unknown keys. Arguments: values, schema, path. */}}
{{- define "bedrock-access.unknown" -}}
{{- $found := list }}
{{- $known := .schema.properties | default dict }}
{{- range $key, $value := .values }}
{{- $path := ternary $key (printf "%s.%s" $.path $key) (eq $.path "") }}
{{- if not (hasKey $known $key) }}
{{- $found = append $found $path }}
{{- else }}
{{- $schema := get $known $key }}
{{- if and (kindIs "map" $value) (hasKey $schema "properties") }}
{{- $found = concat $found (include "bedrock-access.unknown" (dict "values" $value "schema" $schema "path" $path) | fromJsonArray) }}
{{- else if and (kindIs "slice" $value) (hasKey (get $schema "items" | default dict) "properties") }}
{{- range $index, $item := $value }}
{{- if kindIs "map" $item }}
{{- $found = concat $found (include "bedrock-access.unknown" (dict "values" $item "schema" $schema.items "path" (printf "%s[%d]" $path $index)) | fromJsonArray) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- $found | toJson }}
{{- end }}

{{/* What to say about an unknown path. Arguments: path, schema, names. */}}
{{- define "bedrock-access.suggestion" -}}
{{- $key := .path | splitList "." | last }}
{{- $parent := .path | trimSuffix $key | trimSuffix "." }}
{{- $siblings := include "bedrock-access.keys" (dict "schema" .schema "path" $parent) | fromJsonArray }}
{{- $renamed := get .names.renamed .path }}
{{- $elsewhere := get .names.other .path }}
{{- $near := include "bedrock-access.near" (dict "word" $key "words" $siblings) }}
{{- $same := include "bedrock-access.same" (dict "word" $key "schema" .schema "path" "") | fromJsonArray }}
{{- if $renamed -}}
{{ .path }}: renamed: use {{ $renamed }}
{{- else if $elsewhere -}}
{{ .path }}: unknown; did you mean {{ $elsewhere }}?
{{- else if $near -}}
{{ .path }}: unknown; did you mean {{ ternary $near (printf "%s.%s" $parent $near) (eq $parent "") }}?
{{- else if $same -}}
{{ .path }}: unknown; did you mean {{ join " or " $same }}?
{{- else -}}
{{ .path }}: unknown; {{ $parent | default "the chart" }} has {{ join ", " $siblings }}
{{- end }}
{{- end }}

{{/* JSON list of the keys at a path. Arguments: schema, path. */}}
{{- define "bedrock-access.keys" -}}
{{- $schema := .schema }}
{{- range splitList "." .path }}
{{- if . }}
{{- $schema = get ($schema.properties | default dict) (regexReplaceAll "\\[.*" . "") | default dict }}
{{- if hasKey $schema "items" }}{{ $schema = $schema.items }}{{ end }}
{{- end }}
{{- end }}
{{- keys ($schema.properties | default dict) | sortAlpha | toJson }}
{{- end }}

{{/* JSON list of the paths whose last key is this word, in any case. Arguments: word, schema, path. */}}
{{- define "bedrock-access.same" -}}
{{- $found := list }}
{{- range $key, $schema := (.schema.properties | default dict) }}
{{- $path := ternary $key (printf "%s.%s" $.path $key) (eq $.path "") }}
{{- if eq (lower $key) (lower $.word) }}{{ $found = append $found $path }}{{ end }}
{{- $found = concat $found (include "bedrock-access.same" (dict "word" $.word "schema" $schema "path" $path) | fromJsonArray) }}
{{- end }}
{{- $found | toJson }}
{{- end }}

{{/* The nearest word, if it is near: about a third of its characters differ, and one more. Arguments: word, words. */}}
{{- define "bedrock-access.near" -}}
{{- $word := lower .word }}
{{- $best := "" }}
{{- $least := 1000 }}
{{- range .words }}
{{- $distance := include "bedrock-access.distance" (dict "a" $word "b" (lower .)) | int }}
{{- if lt $distance $least }}{{ $least = $distance }}{{ $best = . }}{{ end }}
{{- end }}
{{- if le (mul 3 $least) (add 3 (max (len $word) (len $best))) }}{{ $best }}{{ end }}
{{- end }}

{{/* Number of characters to insert, remove or replace to make b of a (Levenshtein). Arguments: a, b. */}}
{{- define "bedrock-access.distance" -}}
{{- $b := splitList "" .b }}
{{- $row := list }}
{{- range until (int (add1 (len $b))) }}{{ $row = append $row . }}{{ end }}
{{- range $i, $x := splitList "" .a }}
{{- $next := list (int (add1 $i)) }}
{{- range $j, $y := $b }}
{{- $replace := add (index $row $j) (ternary 0 1 (eq $x $y)) }}
{{- $next = append $next (int (min $replace (add1 (index $row (int (add1 $j)))) (add1 (index $next $j)))) }}
{{- end }}
{{- $row = $next }}
{{- end }}
{{- last $row }}
{{- end }}
