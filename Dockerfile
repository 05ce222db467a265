# The image of the operator and of the backups that it runs: /app/bin/km-backup-operator and /app/bin/km-backup.
# The build context is the folder that `node test/cluster/cli.ts image` puts together.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
# Node.js needs libatomic, which slim bases lack. With libdeflate, km-backup packs in two thirds of the time.
RUN ldconfig -p | grep -q libatomic.so.1 && ldconfig -p | grep -q libdeflate.so.0 || \
    { apt-get update && apt-get install --yes --no-install-recommends libatomic1 libdeflate0 && rm -rf /var/lib/apt/lists/*; }
# What rarely changes comes first, so that successive builds share its layers.
COPY node /app/bin/node
COPY node_modules /app/node_modules
COPY bin /app/bin
COPY dist /app/dist
# What `km-backup mcp` gives assistants to read.
COPY docs /app/docs
COPY package.json LICENSE /app/
ENV PATH=/app/bin:/usr/local/bin:/usr/bin:/bin NODE_ENV=production
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["/app/bin/km-backup"]
