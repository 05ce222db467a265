/** How Go programs are built here: all alike, so that what two of them share is compiled once. */

export const GO_FLAGS: readonly string[] = [
  '-trimpath',
  '-buildvcs=false',
  // Nobody debugs these programs. Without what a debugger needs, the compiler takes an eighth less time.
  '-gcflags=all=-dwarf=false',
];

export const GO_ENV = {
  CGO_ENABLED: '0',
  GOWORK: 'off',
  GOFLAGS: '',
  // Less garbage collection in the compiler: a quarter less CPU time, at up to 600 MB of memory per core.
  GOGC: process.env['GOGC'] ?? '400',
};
