{{/* Combinations that cannot work, told while rendering. What one value may be is in values.schema.json. */}}
{{- define "plenum.validate" -}}
{{- $media := .Values.media -}}
{{- $exposure := $media.exposure -}}
{{- $slots := $exposure.service.slots -}}
{{- $isCluster := eq .Values.mode "cluster" -}}
{{- $wrong := list -}}
{{- if not (or .Values.auth.existingSecret .Values.auth.keys) -}}
{{- $wrong = append $wrong "auth.existingSecret or auth.keys must be set, for example --set auth.keys.mykey=$(openssl rand -hex 32)" -}}
{{- end -}}
{{- if and .Values.auth.existingSecret .Values.auth.keys -}}
{{- $wrong = append $wrong "auth.existingSecret and auth.keys cannot both be set" -}}
{{- end -}}
{{- range $name, $secret := .Values.auth.keys -}}
{{- if not (regexMatch "^[A-Za-z0-9_.-]+$" $name) -}}
{{- $wrong = append $wrong (printf "auth.keys: %q may have letters, digits, \"-\", \"_\" and \".\" only" $name) -}}
{{- end -}}
{{- end -}}
{{- range list "http.listen" "http.shutdown_grace" "web.guest_access" "keys" "cluster" "store" "log.level" "log.format" "telemetry.otlp_endpoint" "telemetry.prometheus_listen" "node.workers" "node.region" "node.discover" "node.udp.listen" "node.udp.port_range" "node.udp.advertise" "node.tcp.listen" "node.tcp.port_range" "node.tcp.advertise" "node.relay.listen" "node.relay.advertise" "node.relay.secret" "node.turn.udp" "node.turn.tcp" "node.turn.tls" "node.turn.certificate" "node.turn.key" "node.turn.host" "node.turn.urls" "node.turn.secret" -}}
{{- $found := $.Values.config -}}
{{- range splitList "." . -}}
{{- $found = kindIs "map" $found | ternary $found dict | dig . nil -}}
{{- end -}}
{{- if not (kindIs "invalid" $found) -}}
{{- $wrong = append $wrong (printf "config.%s is decided by other values of the chart; secrets go into Secrets" .) -}}
{{- end -}}
{{- end -}}
{{- if eq $exposure.type "hostNetwork" -}}
{{- if lt (int $exposure.portRange) (mul 2 (int $media.workers) | int) -}}
{{- $wrong = append $wrong "media.exposure.portRange must be at least twice media.workers, so that a draining pod and its successor can share a machine" -}}
{{- end -}}
{{- if gt (add (int $exposure.udpPort) (int $exposure.portRange) | int) 65536 -}}
{{- $wrong = append $wrong "media.exposure.udpPort and portRange go past port 65535" -}}
{{- end -}}
{{- end -}}
{{- if eq $exposure.type "service" -}}
{{- if not $slots -}}
{{- $wrong = append $wrong "media.exposure.service.slots must have one entry for each media pod, with the address and port that clients are told" -}}
{{- end -}}
{{- if $media.addresses.advertise -}}
{{- $wrong = append $wrong "media.addresses.advertise does not go with exposure type service: each slot has its own address" -}}
{{- end -}}
{{- if ne $media.kind "Deployment" -}}
{{- $wrong = append $wrong "media.exposure type service needs media.kind Deployment" -}}
{{- end -}}
{{- range $index, $slot := $slots -}}
{{- if and $exposure.tcpPort (not $slot.tcpPort) -}}
{{- $wrong = append $wrong (printf "media.exposure.service.slots[%d].tcpPort must be set, or media.exposure.tcpPort be 0" $index) -}}
{{- end -}}
{{- if and (eq $exposure.service.type "NodePort") (lt (int $slot.udpPort) 1024) -}}
{{- $wrong = append $wrong (printf "media.exposure.service.slots[%d].udpPort must be a node port (30000-32767 in most clusters)" $index) -}}
{{- end -}}
{{- range $other, $before := slice $slots 0 $index -}}
{{- if and (eq $exposure.service.type "NodePort") (lt (int (sub (max (int $before.udpPort) (int $slot.udpPort)) (min (int $before.udpPort) (int $slot.udpPort)))) (int $media.workers)) -}}
{{- $wrong = append $wrong (printf "media.exposure.service.slots[%d] and [%d] share node ports: each takes one UDP port a worker, from udpPort on" $other $index) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if $slots -}}
{{- $wrong = append $wrong "media.exposure.service.slots is for exposure type service" -}}
{{- else if not (or $media.addresses.advertise $media.addresses.hostIPs $media.addresses.stun) -}}
{{- $wrong = append $wrong "media.addresses says nothing about where clients reach media: set advertise, hostIPs or stun" -}}
{{- end -}}
{{- if $isCluster -}}
{{- if not (or .Values.cluster.secret .Values.cluster.existingSecret) -}}
{{- $wrong = append $wrong "mode cluster needs cluster.secret or cluster.existingSecret, for example --set cluster.secret=$(openssl rand -hex 32)" -}}
{{- end -}}
{{- if and .Values.cluster.secret .Values.cluster.existingSecret -}}
{{- $wrong = append $wrong "cluster.secret and cluster.existingSecret cannot both be set" -}}
{{- end -}}
{{- else -}}
{{- if ne $media.kind "Deployment" -}}
{{- $wrong = append $wrong "media.kind DaemonSet needs mode cluster: an all-in-one pod shares no room with another" -}}
{{- end -}}
{{- if ne $media.autoscaling.type "none" -}}
{{- $wrong = append $wrong "media.autoscaling needs mode cluster: an all-in-one pod shares no room with another" -}}
{{- end -}}
{{- if gt (len $slots) 1 -}}
{{- $wrong = append $wrong "media.exposure.service.slots has room for one pod only in mode allInOne" -}}
{{- end -}}
{{- end -}}
{{- if ne $media.autoscaling.type "none" -}}
{{- if or (ne $media.kind "Deployment") (eq $exposure.type "service") -}}
{{- $wrong = append $wrong "media.autoscaling needs media.kind Deployment and exposure hostNetwork or hostPort" -}}
{{- end -}}
{{- if gt (int $media.autoscaling.minReplicas) (int $media.autoscaling.maxReplicas) -}}
{{- $wrong = append $wrong "media.autoscaling.minReplicas is more than maxReplicas" -}}
{{- end -}}
{{- end -}}
{{- $etcd := .Values.store.etcd -}}
{{- $hasEtcd := or $etcd.endpoints $etcd.deploy.enabled -}}
{{- if and $etcd.endpoints $etcd.deploy.enabled -}}
{{- $wrong = append $wrong "store.etcd.endpoints and store.etcd.deploy.enabled cannot both be set" -}}
{{- end -}}
{{- if and $hasEtcd (not $isCluster) -}}
{{- $wrong = append $wrong "store.etcd needs mode cluster: an all-in-one pod keeps its own store" -}}
{{- end -}}
{{- if and $hasEtcd .Values.store.persistence.enabled -}}
{{- $wrong = append $wrong "store.persistence has no use beside store.etcd" -}}
{{- end -}}
{{- if and $isCluster (not $hasEtcd) (gt (int .Values.controlPlane.replicas) 1) -}}
{{- $wrong = append $wrong "controlPlane.replicas of more than 1 need store.etcd: without it each would keep a store of its own" -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) -}}
{{- $wrong = append $wrong "gateway.parentRefs must name the Gateway" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- $wrong = append $wrong "ingress.hosts must name a host" -}}
{{- end -}}
{{- if .Values.certManager.enabled -}}
{{- if not .Values.certManager.issuerRef.name -}}
{{- $wrong = append $wrong "certManager.issuerRef.name must name an issuer" -}}
{{- end -}}
{{- if not (or .Values.ingress.hosts .Values.gateway.hosts .Values.turn.enabled) -}}
{{- $wrong = append $wrong "certManager needs ingress.hosts, gateway.hosts or turn" -}}
{{- end -}}
{{- end -}}
{{- $wrong = concat $wrong (include "plenum.turn.mistakes" . | fromJsonArray) -}}
{{- if $wrong -}}
{{- fail (printf "the values do not fit together:\n  - %s" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
