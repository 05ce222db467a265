#!/bin/sh
# A backup script in the manner of the original: the least that keeps the contract.
[ "$1" = --help ] && { echo "Usage: $0 [OUTPUT]"; exit 0; }
[ -d "$KM_BACKUP_SOURCE" ] || { echo "no source: $KM_BACKUP_SOURCE" >&2; exit 1; }
out=${1:-$KM_BACKUP_DEST/km-backup-$(date +%Y%m%dT%H%M%S).tgz}
mkdir -p "$(dirname "$out")" && tar -czf "$out" -C "$KM_BACKUP_SOURCE" . && echo "Backup written to $out"
