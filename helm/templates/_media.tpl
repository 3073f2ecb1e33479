{{/* The pods that carry media: all-in-one, or media nodes. */}}

{{/*
The workloads: one, or with a Service for each pod one for each slot.
YAML list of {name, index, slot}.
*/}}
{{- define "plenum.media.instances" -}}
{{- $name := include "plenum.fullname" . -}}
{{- if eq .Values.mode "cluster" -}}{{- $name = printf "%s-media" $name -}}{{- end -}}
{{- if eq .Values.media.exposure.type "service" -}}
{{- range $index, $slot := .Values.media.exposure.service.slots }}
- name: {{ eq $.Values.mode "cluster" | ternary (printf "%s-%d" $name $index) $name }}
  index: {{ $index }}
  slot: {{ toJson $slot }}
{{- end }}
{{- else }}
- name: {{ $name }}
{{- end -}}
{{- end -}}

{{/* Labels that tell the pods of slots apart: dict "slot" {…} "index" n. */}}
{{- define "plenum.media.slotLabel" -}}
{{- if .slot }}
plenum.dev/slot: {{ .index | quote }}
{{- end -}}
{{- end -}}

{{- define "plenum.media.env" -}}
{{- $addresses := .root.Values.media.addresses -}}
- name: PLENUM_CONFIG
  value: /etc/plenum/plenum.toml
{{- if eq .root.Values.mode "cluster" }}
{{ include "plenum.media.clusterEnv" . }}
{{- if include "plenum.turn.isShared" .root }}
- name: PLENUM_NODE__TURN__SECRET
  {{- include "plenum.turn.secretEnv" .root | nindent 2 }}
{{- end }}
{{- end }}
{{- with .slot }}
- name: PLENUM_NODE__UDP__ADVERTISE
  value: {{ include "plenum.hostPort" (dict "address" .address "port" .udpPort) | quote }}
{{- if $.root.Values.media.exposure.tcpPort }}
- name: PLENUM_NODE__TCP__ADVERTISE
  value: {{ include "plenum.hostPort" (dict "address" (.tcpAddress | default .address) "port" .tcpPort) | quote }}
{{- end }}
{{- else }}
{{- if and $addresses.hostIPs (not $addresses.advertise) }}
- name: PLENUM_NODE__DISCOVER__GIVEN
  valueFrom:
    fieldRef:
      # Both families, since 1.29.
      fieldPath: {{ semverCompare ">=1.29-0" .root.Capabilities.KubeVersion.Version | ternary "status.hostIPs" "status.hostIP" }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where control planes reach a media node: at its pod's address, and with hostNetwork at any free port. */}}
{{- define "plenum.media.clusterEnv" -}}
{{- $values := .root.Values -}}
{{- $isHost := eq $values.media.exposure.type "hostNetwork" -}}
{{- $host := eq $values.cluster.ipFamily "IPv6" | ternary "[$(POD_IP)]" "$(POD_IP)" -}}
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: PLENUM_CLUSTER__LISTEN
  value: {{ printf "%s:%d" $host ($isHost | ternary 0 (int $values.cluster.nodePort)) | quote }}
{{- if $values.cluster.relayPort }}
- name: PLENUM_NODE__RELAY__LISTEN
  value: {{ printf "%s:%d" $host ($isHost | ternary 0 (int $values.cluster.relayPort)) | quote }}
{{- end }}
- name: PLENUM_HTTP__LISTEN
  value: {{ printf "%s:%d" $host (int $values.cluster.nodeHttpPort) | quote }}
- name: PLENUM_CLUSTER__SECRET
  valueFrom:
    secretKeyRef:
      name: {{ include "plenum.clusterSecret" .root }}
      key: cluster-secret
{{- include "plenum.zoneEnv" .root }}
{{- end -}}

{{- define "plenum.hostPort" -}}
{{ printf (contains ":" .address | ternary "[%s]:%d" "%s:%d") .address (int .port) }}
{{- end -}}

{{/* Where Prometheus asks a pod of the front. */}}
{{- define "plenum.metricsPort" -}}
{{- if include "plenum.hasMetrics" . }}
- name: metrics
  containerPort: {{ .Values.metrics.port }}
  protocol: TCP
{{- end }}
{{- end -}}

{{/* Container ports. With hostNetwork only what must not be taken twice: declared ports keep pods apart. */}}
{{- define "plenum.media.ports" -}}
{{- $values := .root.Values -}}
{{- $exposure := $values.media.exposure -}}
{{- if eq $values.mode "allInOne" }}
- name: http
  containerPort: {{ $values.http.port }}
  protocol: TCP
{{- include "plenum.metricsPort" .root }}
{{- else if ne $exposure.type "hostNetwork" }}
- name: http
  containerPort: {{ $values.cluster.nodeHttpPort }}
  protocol: TCP
- name: cluster
  containerPort: {{ $values.cluster.nodePort }}
  protocol: TCP
{{- if $values.cluster.relayPort }}
- name: relay-udp
  containerPort: {{ $values.cluster.relayPort }}
  protocol: UDP
{{- end }}
{{- end }}
{{- range include "plenum.turn.ways" .root | fromYamlArray }}
- name: turn-{{ .name }}
  containerPort: {{ .inside }}
  {{- if eq $exposure.type "hostPort" }}
  hostPort: {{ .told }}
  {{- end }}
  protocol: {{ .protocol }}
{{- end }}
{{- if ne $exposure.type "hostNetwork" }}
{{- range $worker := until (int $values.media.workers) }}
- name: media-udp-{{ $worker }}
  containerPort: {{ add $exposure.udpPort $worker }}
  {{- if eq $exposure.type "hostPort" }}
  hostPort: {{ add $exposure.udpPort $worker }}
  {{- end }}
  protocol: UDP
{{- end }}
{{- if $exposure.tcpPort }}
- name: media-tcp
  containerPort: {{ $exposure.tcpPort }}
  {{- if eq $exposure.type "hostPort" }}
  hostPort: {{ $exposure.tcpPort }}
  {{- end }}
  protocol: TCP
{{- end }}
{{- end }}
{{- end -}}

{{/* Why a pod is not all that the policy "restricted" asks; policy scanners read these. */}}
{{- define "plenum.media.exceptions" -}}
{{- $media := .Values.media -}}
{{- if eq $media.exposure.type "hostNetwork" }}
checkov.io/skip1: CKV_K8S_19=media goes from the network card to the process, without NAT and with clients' addresses
{{- else if eq $media.exposure.type "hostPort" }}
checkov.io/skip1: CKV_K8S_26=clients send media to ports of the machine
{{- end }}
{{- if $media.netAdmin }}
checkov.io/skip2: CKV_K8S_25=socket buffers past net.core.rmem_max need NET_ADMIN (media.netAdmin)
checkov.io/skip3: CKV_K8S_28=socket buffers past net.core.rmem_max need NET_ADMIN (media.netAdmin)
{{- end }}
{{- end -}}

{{/* Seconds until a pod is killed: longer than the program takes at most. */}}
{{- define "plenum.media.grace" -}}
{{ eq .Values.mode "cluster" | ternary (include "plenum.grace" . | add (int .Values.media.drainSeconds)) (include "plenum.grace" .) }}
{{- end -}}

{{/* The pod template: dict "root" . "component" "…" "slot" {…}|nil "index" n. */}}
{{- define "plenum.media.pod" -}}
{{- $values := .root.Values -}}
{{- $media := $values.media -}}
{{- $isCluster := eq $values.mode "cluster" -}}
metadata:
  labels:
    {{- include "plenum.labels" . | nindent 4 }}
    {{- with include "plenum.media.slotLabel" . }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $media.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "plenum.checksums" . | nindent 4 }}
    {{- with $media.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "plenum.pod.common" .root | nindent 2 }}
  {{- if eq $media.exposure.type "hostNetwork" }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  terminationGracePeriodSeconds: {{ include "plenum.media.grace" .root }}
  {{- $spread := list -}}
  {{- if and $isCluster (eq $media.kind "Deployment") -}}
  {{- $spread = list "topology.kubernetes.io/zone" "kubernetes.io/hostname" -}}
  {{- end -}}
  {{- with include "plenum.placement" (dict "context" . "own" $media "spread" $spread) }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  containers:
    - {{- include "plenum.container.common" (dict "root" .root "name" ($isCluster | ternary "sfu" "plenum")) | nindent 6 }}
      command: [/usr/local/bin/{{ $isCluster | ternary "sfu" "plenum" }}]
      env:
        {{- include "plenum.media.env" . | trim | nindent 8 }}
        {{- with $media.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if not $isCluster }}
      envFrom:
        {{- include "plenum.keysEnv" .root | nindent 8 }}
      {{- end }}
      {{- with include "plenum.media.ports" . }}
      ports:
        {{- . | trim | nindent 8 }}
      {{- end }}
      {{- if not $isCluster }}
      {{- include "plenum.probes" (dict "port" $values.http.port) | nindent 6 }}
      {{- with include "plenum.preStop" .root }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- else if eq $media.exposure.type "hostNetwork" }}
      {{- include "plenum.media.probes" . | nindent 6 }}
      {{- else }}
      {{- include "plenum.probes" (dict "port" "http") | nindent 6 }}
      {{- end }}
      resources:
        {{- toYaml $media.resources | nindent 8 }}
      securityContext:
        {{- include "plenum.containerSecurity" (dict "netAdmin" $media.netAdmin) | nindent 8 }}
      volumeMounts:
        {{- include "plenum.mounts" . | nindent 8 }}
  volumes:
    {{- include "plenum.volumes" . | nindent 4 }}
{{- end -}}

{{/* How pods are replaced: dict "root" .  */}}
{{- define "plenum.media.strategy" -}}
{{- $media := .Values.media -}}
{{- $type := $media.exposure.type -}}
{{- if $media.updateStrategy -}}
{{ toYaml $media.updateStrategy }}
{{- else if or (eq .Values.mode "allInOne") (eq $type "service") -}}
# The new pod takes over ports, rooms and Service of the old one: not both at a time.
type: {{ eq $media.kind "DaemonSet" | ternary "RollingUpdate" "Recreate" }}
{{- else if and (eq $type "hostNetwork") (not .Values.turn.enabled) -}}
# The new pod finds free ports beside the old one, which then drains.
type: RollingUpdate
rollingUpdate:
  maxSurge: 1
  maxUnavailable: 0
{{- else -}}
# The ports are taken until the old pod is gone.
type: RollingUpdate
rollingUpdate:
  maxSurge: 0
  maxUnavailable: 1
{{- end -}}
{{- end -}}

{{/* Media comes from anywhere. */}}
{{- define "plenum.media.policy" -}}
{{- $exposure := .Values.media.exposure -}}
- ports:
    - {protocol: UDP, port: {{ $exposure.udpPort }}, endPort: {{ add $exposure.udpPort .Values.media.workers -1 }}}
    {{- if $exposure.tcpPort }}
    - {protocol: TCP, port: {{ $exposure.tcpPort }}}
    {{- end }}
    {{- range include "plenum.turn.ways" . | fromYamlArray }}
    - {protocol: {{ .protocol }}, port: {{ .inside }}}
    {{- end }}
{{- end -}}

{{/* Up at once, down slowly: who is taken away has to drain. */}}
{{- define "plenum.media.behavior" -}}
{{- $down := .Values.media.autoscaling.scaleDown -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - {type: Percent, value: 100, periodSeconds: 60}
    - {type: Pods, value: 2, periodSeconds: 60}
scaleDown:
  {{- if $down.disabled }}
  selectPolicy: Disabled
  {{- else }}
  stabilizationWindowSeconds: {{ $down.stabilizationSeconds }}
  policies:
    - {type: Pods, value: 1, periodSeconds: {{ $down.periodSeconds }}}
  {{- end }}
{{- end -}}

{{/* With hostNetwork the port is not known before: the program itself looks where it listens. */}}
{{- define "plenum.media.probes" -}}
startupProbe:
  exec: {command: [/usr/local/bin/sfu, probe, /healthz]}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 30
livenessProbe:
  exec: {command: [/usr/local/bin/sfu, probe, /healthz]}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  exec: {command: [/usr/local/bin/sfu, probe, /readyz]}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 2
{{- end -}}

{{/* Ports for health and metrics that a media node with hostNetwork looks for a free one in. */}}
{{- define "plenum.nodeHttpPorts" -}}
4
{{- end -}}
