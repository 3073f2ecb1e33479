{{/* The TURN server of pods that carry media. */}}

{{/*
Its ways in, YAML list: name, scheme and transport of the URL, protocol, port that clients are told (but for Services,
whose slots say it), and port inside of the pod. Where the pod has a network of its own, the ports inside are always
the same, and above 1023.
*/}}
{{- define "plenum.turn.ways" -}}
{{- $turn := .Values.turn -}}
{{- $isHost := eq .Values.media.exposure.type "hostNetwork" -}}
{{- $ways := list -}}
{{- if $turn.enabled -}}
{{- if $turn.udpPort -}}
{{- $ways = append $ways (dict "name" "udp" "scheme" "turn" "transport" "udp" "protocol" "UDP" "told" $turn.udpPort "inside" ($isHost | ternary $turn.udpPort 3478)) -}}
{{- end -}}
{{- if $turn.tcpPort -}}
{{- $ways = append $ways (dict "name" "tcp" "scheme" "turn" "transport" "tcp" "protocol" "TCP" "told" $turn.tcpPort "inside" ($isHost | ternary $turn.tcpPort 3478)) -}}
{{- end -}}
{{- if include "plenum.turn.hasTls" . -}}
{{- $ways = append $ways (dict "name" "tls" "scheme" "turns" "transport" "tcp" "protocol" "TCP" "told" $turn.tlsPort "inside" ($isHost | ternary $turn.tlsPort 5349)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $ways -}}
{{- end -}}

{{- define "plenum.turn.hasTls" -}}
{{- $turn := .Values.turn -}}
{{- if and $turn.enabled $turn.tlsPort (or $turn.tlsSecret .Values.certManager.enabled) }}yes{{ end -}}
{{- end -}}

{{- define "plenum.turn.tlsSecret" -}}
{{ .Values.turn.tlsSecret | default (printf "%s-turn-tls" (include "plenum.fullname" .)) }}
{{- end -}}

{{- define "plenum.turn.secret" -}}
{{ .Values.turn.existingSecret | default (printf "%s-turn" (include "plenum.fullname" .)) }}
{{- end -}}

{{/* Whether others than the node itself make credentials. */}}
{{- define "plenum.turn.isShared" -}}
{{- if and .Values.turn.enabled (eq .Values.mode "cluster") }}yes{{ end -}}
{{- end -}}

{{/* Port of a slot by the name of a way: dict "slot" {…} "way" "udp". */}}
{{- define "plenum.turn.slotPort" -}}
{{ get .slot (printf "turn%sPort" (title .way)) | default 0 | int }}
{{- end -}}

{{/* What clients are told (RFC 7065), YAML list. */}}
{{- define "plenum.turn.urls" -}}
{{- $turn := .Values.turn -}}
{{- $urls := list -}}
{{- $ways := include "plenum.turn.ways" . | fromYamlArray -}}
{{- if eq .Values.media.exposure.type "service" -}}
{{- range $slot := .Values.media.exposure.service.slots -}}
{{- range $ways -}}
{{- $at := include "plenum.hostPort" (dict "address" ($slot.turnHost | default $turn.host) "port" (include "plenum.turn.slotPort" (dict "slot" $slot "way" .name) | int)) -}}
{{- $urls = append $urls (printf "%s:%s?transport=%s" .scheme $at .transport) -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- range $ways -}}
{{- $at := include "plenum.hostPort" (dict "address" $turn.host "port" (int .told)) -}}
{{- $urls = append $urls (printf "%s:%s?transport=%s" .scheme $at .transport) -}}
{{- end -}}
{{- end -}}
{{- $urls | uniq | toYaml -}}
{{- end -}}

{{/* The section of a media node. */}}
{{- define "plenum.turn.config" -}}
{{- if .Values.turn.enabled -}}
turn:
  {{- range include "plenum.turn.ways" . | fromYamlArray }}
  {{ .name }}:
    {{- include "plenum.listen" (dict "root" $ "port" (int .inside)) | nindent 4 }}
  {{- end }}
  {{- if include "plenum.turn.hasTls" . }}
  certificate: /etc/plenum-turn/tls.crt
  key: /etc/plenum-turn/tls.key
  {{- end }}
  urls: {{ include "plenum.turn.urls" . | fromYamlArray | toJson }}
{{- end -}}
{{- end -}}

{{- define "plenum.turn.secretEnv" -}}
valueFrom:
  secretKeyRef:
    name: {{ include "plenum.turn.secret" . }}
    key: turn-secret
{{- end -}}

{{/* How control planes tell clients of the media nodes' servers. */}}
{{- define "plenum.turn.frontEnv" -}}
{{- if include "plenum.turn.isShared" . -}}
- name: TURN_SECRET
  {{- include "plenum.turn.secretEnv" . | nindent 2 }}
- name: PLENUM_ICE__SERVERS
  value: {{ printf "[{ urls = %s, secret = \"$(TURN_SECRET)\" }]" (include "plenum.turn.urls" . | fromYamlArray | toJson) | squote }}
{{- end -}}
{{- end -}}

{{/* What cannot be: JSON list of texts. */}}
{{- define "plenum.turn.mistakes" -}}
{{- $turn := .Values.turn -}}
{{- $type := .Values.media.exposure.type -}}
{{- $wrong := list -}}
{{- if $turn.enabled -}}
{{- $ways := include "plenum.turn.ways" . | fromYamlArray -}}
{{- if not $turn.host -}}
{{- $wrong = append $wrong "turn.host must say under which name or address clients reach the TURN server" -}}
{{- end -}}
{{- if not $ways -}}
{{- $wrong = append $wrong "turn has nothing to listen on: set udpPort, tcpPort, or tlsPort and tlsSecret" -}}
{{- end -}}
{{- if and (include "plenum.turn.hasTls" .) (eq (int $turn.tcpPort) (int $turn.tlsPort)) -}}
{{- $wrong = append $wrong "turn.tcpPort and turn.tlsPort must differ" -}}
{{- end -}}
{{- range $ways -}}
{{- if and (eq $type "hostNetwork") (lt (int .told) 1024) -}}
{{- $wrong = append $wrong (printf "turn.%sPort must be at least 1024 with exposure hostNetwork: pods are not root" .name) -}}
{{- end -}}
{{- $way := .name -}}
{{- range $index, $slot := $.Values.media.exposure.service.slots -}}
{{- if and (eq $type "service") (eq (include "plenum.turn.slotPort" (dict "slot" $slot "way" $way)) "0") -}}
{{- $wrong = append $wrong (printf "media.exposure.service.slots[%d].turn%sPort must be set, or turn.%sPort be 0" $index (title $way) $way) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.mode "cluster" -}}
{{- if not (or $turn.secret $turn.existingSecret) -}}
{{- $wrong = append $wrong "turn needs turn.secret or turn.existingSecret in mode cluster, for example --set turn.secret=$(openssl rand -hex 32)" -}}
{{- end -}}
{{- if dig "ice" "servers" "" .Values.config -}}
{{- $wrong = append $wrong "config.ice.servers does not go with turn in mode cluster, which sets it" -}}
{{- end -}}
{{- end -}}
{{- if and $turn.secret $turn.existingSecret -}}
{{- $wrong = append $wrong "turn.secret and turn.existingSecret cannot both be set" -}}
{{- end -}}
{{- end -}}
{{- toJson $wrong -}}
{{- end -}}
