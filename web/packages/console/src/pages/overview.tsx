import { Chart } from '../chart.tsx';
import { bytes, count, duration, moment, short } from '../format.ts';
import { Facts, Title } from '../parts.tsx';
import { link } from '../route.ts';
import { useConsole } from '../state.ts';

const wireColors: Record<string, number> = { ws: 1, sse: 2, connect: 3, grpc: 4, grpcweb: 5 };

/** What happens on the node. */
export function Overview() {
  const { node, samples } = useConsole();
  const last = samples.at(-1);
  const times = samples.map((sample) => Date.parse(sample.time ?? ''));
  const wires = [
    ...new Set([...Object.keys(last?.sessions ?? {}), ...samples.flatMap((s) => Object.keys(s.sessions ?? {}))]),
  ].sort();
  const total = Object.values(last?.sessions ?? {}).reduce((sum, n) => sum + n, 0);
  const started = Date.parse(node.startTime ?? '');
  return (
    <>
      <Title text="Overview" />
      <ul class="tiles">
        <Tile name="Sessions" value={count(total)} href={link(['sessions'])} />
        <Tile name="Channels" value={count(last?.channels)} href={link(['channels'])} />
        <Tile name="Published" value={short(Number(last?.publishedRate ?? 0))} unit="/s" />
        <Tile name="Delivered" value={short(Number(last?.deliveredRate ?? 0))} unit="/s" />
        <Tile
          name="Slow readers"
          value={count(last?.slowSessions)}
          href={link(['sessions'], { order: 'pending' })}
          isBad={Boolean(last?.slowSessions)}
        />
        <Tile name="Memory" value={bytes(last?.memoryBytes)} />
      </ul>
      <section class="charts" aria-label="The last ten minutes">
        <Chart
          title="Messages a second"
          times={times}
          format={short}
          series={[
            { name: 'delivered', color: 1, values: samples.map((s) => Number(s.deliveredRate ?? 0)) },
            { name: 'published', color: 2, values: samples.map((s) => Number(s.publishedRate ?? 0)) },
          ]}
        />
        <Chart
          title="Bytes a second"
          times={times}
          format={bytes}
          series={[{ name: 'delivered', color: 1, values: samples.map((s) => Number(s.deliveredByteRate ?? 0)) }]}
        />
        <Chart
          title="Sessions by wire"
          times={times}
          format={short}
          stacked
          series={wires.map((wire) => ({
            name: wire,
            color: wireColors[wire] ?? 5,
            values: samples.map((s) => s.sessions?.[wire] ?? 0),
          }))}
        />
        <Chart
          title="Slow readers"
          times={times}
          format={short}
          series={[{ name: 'slow', color: 2, values: samples.map((s) => s.slowSessions ?? 0) }]}
        />
      </section>
      <section>
        <h2>Node</h2>
        <Facts
          of={[
            ['Name', <code key="node">{node.node}</code>],
            ['Version', node.version],
            ['Started', moment(node.startTime)],
            ['Up for', duration((times.at(-1) ?? Date.parse(node.time ?? '')) - started)],
            ['May wait for a session', bytes(node.pendingLimit)],
          ]}
        />
      </section>
    </>
  );
}

function Tile(props: {
  readonly name: string;
  readonly value: string;
  readonly unit?: string;
  readonly href?: string;
  readonly isBad?: boolean;
}) {
  const inside = (
    <>
      <span class="name">{props.name}</span>
      <span class="value">
        {props.value}
        {props.unit && <small>{props.unit}</small>}
      </span>
    </>
  );
  return (
    <li class={props.isBad ? 'tile bad' : 'tile'}>
      {props.href ? <a href={props.href}>{inside}</a> : <div>{inside}</div>}
    </li>
  );
}
