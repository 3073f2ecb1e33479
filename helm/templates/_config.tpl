{{/* The configuration files, as YAML maps; secrets and what differs from pod to pod come by the environment. */}}

{{- define "plenum.anyAddress" -}}
{{ has "IPv6" .Values.media.addresses.ipFamilies | ternary "[::]" "0.0.0.0" }}
{{- end -}}

{{/* Addresses to listen on for media: dict "root" . "port" 7882. */}}
{{- define "plenum.listen" -}}
{{- range .root.Values.media.addresses.ipFamilies }}
- {{ printf "%s:%d" (eq . "IPv6" | ternary "[::]" "0.0.0.0") (int $.port) | quote }}
{{- end }}
{{- end -}}

{{- define "plenum.config.common" -}}
log:
  level: {{ .Values.log.level | quote }}
  format: {{ .Values.log.format }}
{{- with .Values.telemetry.otlpEndpoint }}
telemetry:
  otlp_endpoint: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Where the store is; "" in memory. */}}
{{- define "plenum.config.store" -}}
{{- $etcd := .Values.store.etcd -}}
{{- if or $etcd.endpoints $etcd.deploy.enabled }}
store:
  etcd:
    endpoints: {{ $etcd.deploy.enabled | ternary (list (printf "http://%s-etcd:2379" (include "plenum.fullname" .))) $etcd.endpoints | toJson }}
    prefix: {{ $etcd.prefix | quote }}
    {{- if $etcd.caSecret }}
    ca: /etc/plenum-etcd/ca.crt
    {{- end }}
{{- else if .Values.store.persistence.enabled }}
store:
  path: /var/lib/plenum/store
{{- end }}
{{- end -}}

{{- define "plenum.config.front" -}}
http:
  listen: {{ printf "%s:%d" (include "plenum.anyAddress" .) (int .Values.http.port) | quote }}
  shutdown_grace: {{ printf "%ds" (int .Values.http.shutdownGraceSeconds) }}
web:
  guest_access: {{ .Values.http.guestAccess }}
{{- if include "plenum.hasMetrics" . }}
telemetry:
  prometheus_listen: {{ printf "%s:%d" (include "plenum.anyAddress" .) (int .Values.metrics.port) | quote }}
{{- end }}
{{- end -}}

{{/* Not where config.telemetry.prometheus is false. */}}
{{- define "plenum.hasMetrics" -}}
{{- if dig "telemetry" "prometheus" true .Values.config }}yes{{ end -}}
{{- end -}}

{{- define "plenum.config.node" -}}
{{- $media := .Values.media -}}
{{- $exposure := $media.exposure -}}
{{- $isHost := eq $exposure.type "hostNetwork" -}}
{{- $isTold := or $media.addresses.advertise (eq $exposure.type "service") -}}
node:
  workers: {{ int $media.workers }}
  region: {{ $media.region | quote }}
  udp:
    listen:
      {{- include "plenum.listen" (dict "root" . "port" $exposure.udpPort) | nindent 6 }}
    {{- if $isHost }}
    port_range: {{ int $exposure.portRange }}
    {{- end }}
    {{- with $media.addresses.advertise }}
    advertise: {{ toJson . }}
    {{- end }}
  tcp:
    {{- if $exposure.tcpPort }}
    listen:
      {{- include "plenum.listen" (dict "root" . "port" $exposure.tcpPort) | nindent 6 }}
    {{- if $isHost }}
    port_range: {{ div (int $exposure.portRange) 2 }}
    {{- end }}
    {{- with $media.addresses.advertise }}
    advertise: {{ toJson . }}
    {{- end }}
    {{- else }}
    listen: []
    {{- end }}
  {{- if not $isTold }}
  discover:
    public_only: {{ $media.addresses.requirePublic }}
    stun: {{ toJson $media.addresses.stun }}
  {{- end }}
  {{- with include "plenum.turn.config" . }}
  {{- . | trim | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "plenum.config.controlPlane" -}}
cluster:
  listen: {{ printf "%s:%d" (eq .Values.cluster.ipFamily "IPv6" | ternary "[::]" "0.0.0.0") (int .Values.cluster.controlPlanePort) | quote }}
  region: {{ .Values.media.region | quote }}
  {{- with .Values.cluster.zone }}
  zone: {{ . | quote }}
  {{- end }}
{{- include "plenum.config.tls" . | nindent 2 }}
{{- end -}}

{{- define "plenum.config.tls" -}}
{{- if .Values.cluster.tls.existingSecret }}
tls:
  ca: /etc/plenum-tls/ca.crt
  certificate: /etc/plenum-tls/tls.crt
  key: /etc/plenum-tls/tls.key
  name: {{ .Values.cluster.tls.name | quote }}
{{- end }}
{{- end -}}

{{/* Addresses of the pod come by the environment. */}}
{{- define "plenum.config.mediaNode" -}}
cluster:
  control_planes: [{{ printf "%s-nodes:%d" (include "plenum.fullname" .) (int .Values.cluster.controlPlanePort) | quote }}]
  drain_limit: {{ printf "%ds" (int .Values.media.drainSeconds) }}
  {{- with .Values.cluster.zone }}
  zone: {{ . | quote }}
  {{- end }}
{{- include "plenum.config.tls" . | nindent 2 }}
http:
  shutdown_grace: {{ printf "%ds" (int .Values.http.shutdownGraceSeconds) }}
  {{- if eq .Values.media.exposure.type "hostNetwork" }}
  port_range: {{ include "plenum.nodeHttpPorts" . }}
  address_file: /run/plenum/http
  {{- end }}
{{- end -}}

{{/* The file of a component. */}}
{{- define "plenum.config" -}}
{{- $parts := list "plenum.config.common" -}}
{{- if eq .component "all-in-one" -}}
{{- $parts = concat $parts (list "plenum.config.front" "plenum.config.store" "plenum.config.node") -}}
{{- else if eq .component "control-plane" -}}
{{- $parts = concat $parts (list "plenum.config.front" "plenum.config.store" "plenum.config.controlPlane") -}}
{{- else -}}
{{- $parts = concat $parts (list "plenum.config.node" "plenum.config.mediaNode") -}}
{{- end -}}
{{- $config := dict -}}
{{- range $parts -}}
{{- $config = mustMergeOverwrite $config (include . $.root | fromYaml | default dict) -}}
{{- end -}}
{{- $further := .root.Values.config -}}
{{- if eq .component "control-plane" -}}
{{- $further = omit $further "node" -}}
{{- else if eq .component "media-node" -}}
{{- $further = pick $further "node" "log" "telemetry" -}}
{{- end -}}
{{- $config = mustMergeOverwrite $config (deepCopy $further) -}}
{{- include "plenum.toml" (dict "table" $config "path" "") | trim -}}
{{- end -}}
