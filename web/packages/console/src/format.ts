const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** A count, in full. */
export function count(n: number | string = 0): string {
  return whole.format(Number(n));
}

/** A number for little room. */
export function short(n: number): string {
  if (n >= 10_000) return compact.format(n);
  return n > 0 && n < 100 ? small.format(n) : whole.format(n);
}

/** Bytes, as people say them. */
export function bytes(n: number | string = 0): string {
  let value = Number(n);
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024 || unit === 'GiB')
      return `${value < 10 && unit !== 'B' ? value.toFixed(1) : Math.round(value)} ${unit}`;
    value /= 1024;
  }
  return '';
}

/** How long, in the two largest units. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ] as const;
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(' ');
}

/** Time of day, with seconds. */
export function clock(time: number): string {
  return new Date(time).toLocaleTimeString('en-GB');
}

/** A moment, in full. */
export function moment(time: string | undefined): string {
  return time ? new Date(time).toLocaleString('en-GB') : '';
}
