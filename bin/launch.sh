# Sourced by the programs of this folder, with $root set to the folder that holds bin/.

# Everything that a build depends on. `npm run build` writes this list to dist/sources.
sources() (
  cd "$root" && find src package.json package-lock.json scripts/build.ts -printf '%p %s %T@\n' 2>/dev/null
)

# launch BUILT SOURCE FLAG... -- ARGUMENT...: runs BUILT of dist/; in a checkout whose sources are not exactly the ones
# it was built from, SOURCE of src/.
launch() {
  program=$root/dist/$1
  if [ -d "$root/src" ] && ! sources | cmp -s - "$root/dist/sources"; then program=$root/src/$2; fi
  shift 2
  flags=
  while [ "$1" != -- ]; do flags="$flags $1" && shift; done
  shift
  for node in "$root/node_modules/.bin/node" "$root/bin/node" node; do [ -x "$node" ] && break; done
  if [ "$node" = node ]; then
    case $(node --version 2>/dev/null) in
      v2[6-9].* | v[3-9][0-9].*) ;;
      *)
        echo "${0##*/} needs Node.js 26 or later: install it, or in a checkout run \"npm ci\", which brings it along." >&2
        exit 1
        ;;
    esac
  fi
  # shellcheck disable=SC2086 # flags have no spaces
  exec "$node" $flags "$program" "$@"
}
