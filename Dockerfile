# The image of the operator and of the backups that it runs: /app/bin/km-backup-operator and /app/bin/km-backup.
# The build context is the folder that `node test/cluster/cli.ts image` puts together.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE} AS parts
ARG SOURCE_DATE_EPOCH=0
# Node.js needs libatomic, which slim bases lack. With libdeflate, km-backup packs in two thirds of the time.
RUN { command -v strip && command -v busybox && ldconfig -p | grep -q libatomic.so.1 && ldconfig -p | grep -q libdeflate.so.0; } || \
    { apt-get update && apt-get install --yes --no-install-recommends binutils busybox-static libatomic1 libdeflate0 libstdc++6; }
COPY node image-rootfs.sh /
RUN sh /image-rootfs.sh

FROM scratch
# What rarely changes comes first, so that successive builds share its layer.
COPY --from=parts /rootfs /
COPY app /app
ENV PATH=/app/bin:/usr/local/bin:/usr/bin:/bin NODE_ENV=production
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["/app/bin/km-backup"]
