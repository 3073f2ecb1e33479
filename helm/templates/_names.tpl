{{/* Names and labels. */}}

{{- define "plenum.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for "-control-plane", "-media-12-tcp" and the hashes of pods. */}}
{{- define "plenum.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "plenum.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "plenum.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of a component: dict "root" . "component" "…". */}}
{{- define "plenum.selector" -}}
app.kubernetes.io/name: {{ include "plenum.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "plenum.labels" -}}
{{ include "plenum.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: plenum
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "plenum.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "plenum.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "plenum.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* The component that clients and backends talk to, and the one that carries media. */}}
{{- define "plenum.frontComponent" -}}
{{ eq .Values.mode "cluster" | ternary "control-plane" "all-in-one" }}
{{- end -}}
{{- define "plenum.mediaComponent" -}}
{{ eq .Values.mode "cluster" | ternary "media-node" "all-in-one" }}
{{- end -}}

{{- define "plenum.keysSecret" -}}
{{ .Values.auth.existingSecret | default (printf "%s-keys" (include "plenum.fullname" .)) }}
{{- end -}}

{{- define "plenum.tlsSecret" -}}
{{ .Values.ingress.tlsSecret | default (printf "%s-tls" (include "plenum.fullname" .)) }}
{{- end -}}

{{/* Name of the API key that `helm test` uses. */}}
{{- define "plenum.testKey" -}}
{{ .Values.auth.testKey | default (keys (.Values.auth.keys | default dict) | sortAlpha | first) }}
{{- end -}}

{{/* "7882" or "7882-7889": dict "first" 7882 "count" 8. */}}
{{- define "plenum.portRange" -}}
{{ int .first }}{{ if gt (int .count) 1 }}-{{ add (int .first) (int .count) -1 }}{{ end }}
{{- end -}}

{{- define "plenum.clusterSecret" -}}
{{ .Values.cluster.existingSecret | default (printf "%s-cluster" (include "plenum.fullname" .)) }}
{{- end -}}
