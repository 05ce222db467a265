{{- define "km.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "km.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "km.labels" -}}
{{ include "km.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "km.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "km.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "km.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with (.Values.global).imageRegistry -}}
{{- /* Replaces the registry in the repository's name. */ -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" $repository "") -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- /* What the operator may do in a namespace it serves; every rule is asserted by test/e2e/rbac.test.ts. */ -}}
{{- define "km.rules" -}}
- apiGroups: [km.duskmantle.io]
  resources: [kmbackupschedules, kmbackuplocations]
  verbs: [get, list, watch]
- apiGroups: [km.duskmantle.io]
  resources: [kmbackups]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [km.duskmantle.io]
  resources: [kmrestores]
  # create, delete: drills. patch: the finalizer that puts stopped workloads back.
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [km.duskmantle.io]
  resources: [kmbackupschedules/status, kmbackups/status, kmrestores/status, kmbackuplocations/status]
  verbs: [get, update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch]
{{- if .Values.restore.newClaims }}
# The new claim of a restore (spec.target.newClaim): deleted again when the restore fails, known by its label and UID.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [create, delete]
{{- end }}
- apiGroups: [""]
  resources: [services]
  verbs: [get]
- apiGroups: [apps]
  resources: [deployments, statefulsets, replicasets, daemonsets]
  verbs: [get]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get]
{{- if .Values.restore.quiesce }}
# Stops the workloads that use a claim while it is restored, and starts them again.
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale, replicasets/scale]
  verbs: [patch]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [patch]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, list, patch]
{{- end -}}

{{- define "km.alertLabels" -}}
{{- toYaml (merge (deepCopy .root.Values.prometheusRule.alertLabels) (dict "severity" .severity)) }}
{{- end -}}

{{- define "km.runbook" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.prometheusRule.runbookBaseUrl -}}
runbook_url: {{ printf "%s/%s.md" (trimSuffix "/" .) (index $ 1) }}
{{- end -}}
{{- end -}}

{{- /* Of the operator's pods and of the chart's own Jobs. */ -}}
{{- define "km.podPlacement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "km.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "km.tlsDir" -}}
/var/run/km-backup/tls
{{- end -}}

{{- /* Where Prometheus scrapes, and as whom. */ -}}
{{- define "km.endpoint" -}}
path: /metrics
# `namespace` says whose schedule it is, not where the operator runs.
honorLabels: true
{{- with .Values.metrics.secure }}
{{- if .enabled }}
scheme: https
{{- with .authorization }}
authorization:
  {{- toYaml . | nindent 2 }}
{{- end }}
tlsConfig:
{{- if .tlsConfig }}
  {{- toYaml .tlsConfig | nindent 2 }}
{{- else if .certificateSecretName }}
  serverName: {{ include "km.fullname" $ }}.{{ $.Release.Namespace }}.svc
  ca:
    secret:
      name: {{ .certificateSecretName | quote }}
      key: ca.crt
{{- else }}
  # Each pod makes a certificate of its own.
  insecureSkipVerify: true
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
