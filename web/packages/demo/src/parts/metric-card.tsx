import { type ReactNode, useEffect, useRef } from 'react';

const kept = 40;

interface MetricCardProps {
  readonly title: string;
  readonly value: string | number;
}

/** A figure, and where it comes from. */
export function MetricCard({ title, value }: MetricCardProps): ReactNode {
  const number = Number(String(value).replace(/[^\d.-]/g, ''));
  const past = useRef<readonly number[]>([]);
  useEffect(() => {
    if (number) past.current = [...past.current, number].slice(-kept);
  }, [number]);
  return (
    <article className="metric" data-metric={title}>
      <h3>{title}</h3>
      <p>{`${String(value).startsWith('$') ? '$' : ''}${number.toLocaleString('en')}`}</p>
      <Sparkline values={[...past.current, number].filter(Boolean)} />
    </article>
  );
}

/** Values as a line, the newest at the right. */
export function Sparkline({
  values,
  label,
}: {
  readonly values: readonly number[];
  readonly label?: string;
}): ReactNode {
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const points = values.map((value, i) => {
    const x = (100 * i) / Math.max(values.length - 1, 1);
    return `${x.toFixed(1)},${(26 - (24 * (value - low)) / span).toFixed(1)}`;
  });
  return (
    <svg
      className="sparkline"
      viewBox="0 0 100 28"
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
      aria-hidden={label === undefined}
    >
      {points.length > 1 && (
        <>
          <path className="area" d={`M0,28 L${points.join(' L')} L100,28 Z`} />
          <polyline points={points.join(' ')} />
        </>
      )}
    </svg>
  );
}
