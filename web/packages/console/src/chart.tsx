import { useEffect, useRef, useState } from 'preact/hooks';
import { bytes, clock, duration } from './format.ts';

/** One line of a chart. */
export interface Series {
  readonly name: string;
  /** Number of its colour, 1 to 5. */
  readonly color: number;
  readonly values: readonly number[];
}

interface Props {
  readonly title: string;
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  /** Whether the lines stand on each other: what they add up to counts. */
  readonly stacked?: boolean;
}

const height = 132;
const pad = { left: 52, right: 10, top: 8, bottom: 20 };
const [shortest, longest] = [60_000, 600_000]; // that a chart shows, in milliseconds

/** Lines over the last ten minutes. The pointer, or the arrow keys, read off one moment. */
export function Chart({ title, times, series, format, stacked = false }: Props) {
  const [width, box] = useWidth();
  const [at, setAt] = useState<number>(); // a moment, in milliseconds
  const end = times.at(-1) ?? Date.now();
  const shown = Math.min(longest, Math.max(shortest, end - (times[0] ?? end)));
  const start = end - shown;
  const lines = stacked ? stack(series) : series;
  const top = ceiling(Math.max(1, ...lines.flatMap((line) => line.values)), format === bytes ? 1024 : 1000);
  const inner = Math.max(1, width - pad.left - pad.right);
  const x = (time: number): number => pad.left + ((time - start) / (end - start)) * inner;
  const y = (value: number): number => pad.top + (1 - value / top) * (height - pad.top - pad.bottom);
  const index = at === undefined ? times.length - 1 : nearest(times, at);
  const time = times[index];

  const move = (event: PointerEvent): void => {
    const left = (event.currentTarget as Element).getBoundingClientRect().left;
    setAt(start + ((event.clientX - left - pad.left) / inner) * (end - start));
  };
  const step = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
    if (event.key === 'Escape') setAt(undefined);
    if (by === undefined) return;
    event.preventDefault();
    setAt(times[Math.min(times.length - 1, Math.max(0, index + by))]);
  };
  const said = series.map((line) => `${line.name} ${format(line.values[index] ?? 0)}`).join(', ');

  return (
    <figure class="chart" ref={box}>
      <figcaption>
        <h2>{title}</h2>
        <ul class="legend">
          {series.map((line) => (
            <li key={line.name}>
              <span class={`key c${line.color}`} aria-hidden="true" />
              {line.name} <b>{format(line.values[index] ?? 0)}</b>
            </li>
          ))}
        </ul>
      </figcaption>
      <div
        class="plot"
        tabIndex={0}
        role="slider"
        aria-label={`${title}: a moment of the last ten minutes`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, times.length - 1)}
        aria-valuenow={Math.max(0, index)}
        aria-valuetext={time ? `${clock(time)}: ${said}` : 'nothing yet'}
        onPointerMove={move}
        onPointerLeave={() => setAt(undefined)}
        onKeyDown={step}
        onBlur={() => setAt(undefined)}
      >
        <svg width={width} height={height} aria-hidden="true">
          {[0, 0.5, 1].map((part) => (
            <g key={part} class="grid">
              <line x1={pad.left} x2={width - pad.right} y1={y(top * part)} y2={y(top * part)} />
              <text x={pad.left - 6} y={y(top * part) + 4} text-anchor="end">
                {format(top * part)}
              </text>
            </g>
          ))}
          {[1, 0.5, 0].map((part) => (
            <text key={part} class="tick" x={x(end - part * shown)} y={height - 5} text-anchor={anchor(part)}>
              {part === 0 ? 'now' : `−${duration(part * shown)}`}
            </text>
          ))}
          {stacked &&
            lines.map((line, i) => (
              <path key={line.name} class={`area c${line.color}`} d={area(line, lines[i - 1], times, x, y)} />
            ))}
          {lines.map((line) => (
            <path key={line.name} class={`line c${line.color}`} d={path(line, times, x, y)} />
          ))}
          {at !== undefined && time !== undefined && (
            <g class="cursor">
              <line x1={x(time)} x2={x(time)} y1={pad.top} y2={height - pad.bottom} />
              {lines.map((line) => (
                <circle key={line.name} class={`c${line.color}`} cx={x(time)} cy={y(line.values[index] ?? 0)} r={3.5} />
              ))}
              <text x={x(time)} y={height - 5} text-anchor={x(time) > width - 60 ? 'end' : 'middle'}>
                {clock(time)}
              </text>
            </g>
          )}
        </svg>
      </div>
    </figure>
  );
}

function anchor(part: number): 'start' | 'middle' | 'end' {
  if (part === 0) return 'end';
  return part === 1 ? 'start' : 'middle';
}

/** The width that there is. */
function useWidth() {
  const box = useRef<HTMLElement>(null);
  const [width, setWidth] = useState(320);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [width, box] as const;
}

/** Each line on the sum of those before. */
function stack(series: readonly Series[]): Series[] {
  let below: readonly number[] = [];
  return series.map((line) => {
    below = line.values.map((value, i) => value + (below[i] ?? 0));
    return { ...line, values: below };
  });
}

type Scale = (value: number) => number;

function path(line: Series, times: readonly number[], x: Scale, y: Scale): string {
  return times
    .map((time, i) => `${i === 0 ? 'M' : 'L'}${x(time).toFixed(1)},${y(line.values[i] ?? 0).toFixed(1)}`)
    .join('');
}

/** What lies between a line and the one below, or nothing. */
function area(line: Series, below: Series | undefined, times: readonly number[], x: Scale, y: Scale): string {
  const back = times.map((time, i) => `L${x(time).toFixed(1)},${y(below?.values[i] ?? 0).toFixed(1)}`).reverse();
  return times.length === 0 ? '' : `${path(line, times, x, y)}${back.join('')}Z`;
}

/** The next round number: 1, 2 or 5 and zeros; of bytes, in their unit. */
function ceiling(value: number, base: number): number {
  const unit = base ** Math.floor(Math.log(value) / Math.log(base));
  const power = unit * 10 ** Math.floor(Math.log10(value / unit));
  return ([1, 2, 5, 10].find((n) => n * power >= value) ?? 10) * power;
}

function nearest(times: readonly number[], time: number): number {
  let best = times.length - 1;
  for (let i = times.length - 1; i >= 0; i--) {
    if (Math.abs((times[i] ?? 0) - time) <= Math.abs((times[best] ?? 0) - time)) best = i;
    else break;
  }
  return best;
}
