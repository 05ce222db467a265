/** How anybody restores a copy without km-backup; lies in each location as README.txt. */
export const RECIPE = `Copies made by km-backup
========================

Everything here can be restored with age (https://age-encryption.org), tar and a POSIX shell.

archives/SERIES/ARCHIVE.list    text: which bytes of which packs, laid end to end, are the archive
packs/SERIES/PACK.pack[.age]    compressed pieces of archives and of their manifests

To restore one archive, download its list and the packs that the list names into one directory, then:

  # 1. Decrypt the packs whose names end in .age. key.txt holds the age identity.
  for p in *.pack.age; do age -d -i key.txt -o "$p.plain" "$p"; done
  for p in *.pack; do [ -e "$p" ] && ln "$p" "$p.plain"; done

  # 2. Lay the pieces end to end and unpack them into an empty directory.
  mkdir restored
  grep -v '^#' ARCHIVE.list | while read -r p o n; do
    tail -c "+$((o + 1))" "$p.plain" | head -c "$n"
  done | tar -xzf - -C restored        # for an archive named .tar.zst: tar --zstd -xf -

The digest of the archive (sha256) stands at the top of the list. Its lines "# manifest" are read in the same way: what
they name, laid end to end, is zstd with a line of JSON for each entry of the archive.
`;
