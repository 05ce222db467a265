const UNITS: Readonly<Record<string, number>> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** The value of a quantity of Kubernetes, such as `1500m` or `10Gi`; undefined if it is not one. */
export function quantityOf(text: string | undefined): number | undefined {
  const [, number, unit = ''] = /^([+-]?[0-9.]+(?:[eE][+-]?\d+)?)([A-Za-z]*)$/.exec(text ?? '') ?? [];
  const factor = UNITS[unit];
  const value = Number(number);
  return number === undefined || factor === undefined || Number.isNaN(value) ? undefined : value * factor;
}
