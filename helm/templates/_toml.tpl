{{/*
TOML of a map: dict "table" {…} "path" "". JSON of strings, numbers, booleans and lists of them is TOML; Helm's own
toToml would write whole numbers as 1.0.
*/}}
{{- define "plenum.toml" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) -}}
{{ include "plenum.toml.key" $key }} = {{ $value | toJson }}
{{ end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- if kindIs "map" $value -}}
{{- $table := include "plenum.toml.key" $key | printf "%s%s" (eq $path "" | ternary "" (printf "%s." $path)) }}
[{{ $table }}]
{{ include "plenum.toml" (dict "table" $value "path" $table) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "plenum.toml.key" -}}
{{ regexMatch "^[A-Za-z0-9_-]+$" . | ternary . (toJson .) }}
{{- end -}}
