{{/* What pods of all components have in common. */}}

{{/* Restricted, as Pod Security Standards have it. dict "netAdmin" bool */}}
{{- define "plenum.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
  {{- if .netAdmin }}
  # media.netAdmin: socket buffers past net.core.rmem_max, which a pod cannot set.
  add: [NET_ADMIN]
  {{- end }}
{{- end -}}

{{- define "plenum.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The beginning of every pod's spec. */}}
{{- define "plenum.pod.common" -}}
serviceAccountName: {{ include "plenum.serviceAccount" . }}
automountServiceAccountToken: false
# The variables that Kubernetes makes of Services named plenum would look like settings.
enableServiceLinks: false
securityContext:
  {{- include "plenum.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The beginning of every container: dict "root" . "name" "…". */}}
{{- define "plenum.container.common" -}}
name: {{ .name }}
image: {{ include "plenum.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end -}}

{{/* API keys: each entry of the Secret is one. */}}
{{- define "plenum.keysEnv" -}}
- prefix: PLENUM_KEYS__
  secretRef:
    name: {{ include "plenum.keysSecret" . }}
{{- end -}}

{{/* Changes of configuration and Secrets of the chart start pods anew: dict "root" . "component" "…". */}}
{{- define "plenum.checksums" -}}
checksum/config: {{ include "plenum.config" . | sha256sum }}
{{- if and .root.Values.auth.keys (ne .component "media-node") }}
checksum/keys: {{ toJson .root.Values.auth.keys | sha256sum }}
{{- end }}
{{- if and .root.Values.cluster.secret (ne .component "all-in-one") }}
checksum/cluster: {{ .root.Values.cluster.secret | sha256sum }}
{{- end }}
{{- if and .root.Values.turn.secret (include "plenum.turn.isShared" .root) }}
checksum/turn: {{ .root.Values.turn.secret | sha256sum }}
{{- end }}
{{- end -}}

{{/* Volumes of a component, and where they are: the same list twice. dict "root" . "component" "…" */}}
{{- define "plenum.volumes" -}}
{{- $values := .root.Values -}}
- name: config
  configMap:
    name: {{ include "plenum.fullname" .root }}-{{ .component }}
{{- if include "plenum.hasClusterTls" .root }}
- name: cluster-tls
  secret:
    secretName: {{ $values.cluster.tls.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- if and (include "plenum.turn.hasTls" .root) (ne .component "control-plane") }}
- name: turn-tls
  secret:
    secretName: {{ include "plenum.turn.tlsSecret" .root }}
    defaultMode: 0440
{{- end }}
{{- if include "plenum.hasAddressFile" . }}
- name: run
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end }}
{{- if ne .component "media-node" }}
{{- with $values.store.etcd.caSecret }}
- name: etcd-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- if $values.store.persistence.enabled }}
- name: store
  persistentVolumeClaim:
    claimName: {{ $values.store.persistence.existingClaim | default (printf "%s-store" (include "plenum.fullname" .root)) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "plenum.mounts" -}}
{{- $values := .root.Values -}}
- name: config
  mountPath: /etc/plenum
  readOnly: true
{{- if include "plenum.hasClusterTls" .root }}
- name: cluster-tls
  mountPath: /etc/plenum-tls
  readOnly: true
{{- end }}
{{- if and (include "plenum.turn.hasTls" .root) (ne .component "control-plane") }}
- name: turn-tls
  mountPath: /etc/plenum-turn
  readOnly: true
{{- end }}
{{- if include "plenum.hasAddressFile" . }}
- name: run
  mountPath: /run/plenum
{{- end }}
{{- if ne .component "media-node" }}
{{- if $values.store.etcd.caSecret }}
- name: etcd-ca
  mountPath: /etc/plenum-etcd
  readOnly: true
{{- end }}
{{- if $values.store.persistence.enabled }}
- name: store
  mountPath: /var/lib/plenum
{{- end }}
{{- end }}
{{- end -}}

{{/* The zone of the pod's machine, which Kubernetes puts on the pod as a label since 1.35. */}}
{{- define "plenum.zoneEnv" -}}
{{- if and (not .Values.cluster.zone) (semverCompare ">=1.35-0" .Capabilities.KubeVersion.Version) }}
- name: PLENUM_CLUSTER__ZONE
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['topology.kubernetes.io/zone']
{{- end }}
{{- end -}}

{{/* Who we are to etcd. */}}
{{- define "plenum.etcdEnv" -}}
{{- with .Values.store.etcd.existingSecret }}
{{- range list "username" "password" }}
- name: PLENUM_STORE__ETCD__{{ eq . "username" | ternary "USER" "PASSWORD" }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.store.etcd.existingSecret }}
      key: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where a media node writes which port it found, for its probes. */}}
{{- define "plenum.hasAddressFile" -}}
{{- if and (eq .component "media-node") (eq .root.Values.media.exposure.type "hostNetwork") }}yes{{ end -}}
{{- end -}}

{{- define "plenum.hasClusterTls" -}}
{{- if and (eq .Values.mode "cluster") .Values.cluster.tls.existingSecret }}yes{{ end -}}
{{- end -}}

{{/* Seconds that a program takes at most to end, with the wait before and some more. */}}
{{- define "plenum.grace" -}}
{{ add (mul 2 (int .Values.http.shutdownGraceSeconds)) 15 }}
{{- end -}}

{{/* Probes over HTTP: port by number or name. */}}
{{- define "plenum.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{/* Connections of a Service end before the pod does. Needs no shell, but Kubernetes 1.30. */}}
{{- define "plenum.preStop" -}}
{{- if semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version -}}
lifecycle:
  preStop:
    sleep:
      seconds: 5
{{- end -}}
{{- end -}}

{{/*
Where pods run: dict "context" (root, component) "own" (values of the component) "spread" (keys of topology to spread
over, where that can be).
*/}}
{{- define "plenum.placement" -}}
{{- $own := .own -}}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $own.affinity }}
affinity:
  {{- toYaml $own.affinity | nindent 2 }}
{{- else if .spread }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "plenum.selector" .context | nindent 14 }}
{{- end }}
{{- if $own.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml $own.topologySpreadConstraints | nindent 2 }}
{{- else if .spread }}
topologySpreadConstraints:
  {{- range .spread }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "plenum.selector" $.context | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* A PodDisruptionBudget: dict "context" "name" "budget". */}}
{{- define "plenum.disruption" }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .context.root.Release.Namespace }}
  labels:
    {{- include "plenum.labels" .context | nindent 4 }}
spec:
  maxUnavailable: {{ .budget.maxUnavailable }}
  # A pod that is not ready carries nothing to protect.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "plenum.selector" .context | nindent 6 }}
{{- end -}}
