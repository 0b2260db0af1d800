import type { Channel, Message } from '@millrace/client';
import { useEffect, useRef, useState } from 'preact/hooks';
import { clock, count } from '../format.ts';
import { Field, Problem } from '../parts.tsx';
import { explain } from '../state.ts';

const kept = 500; // lines
const pace = 250; // milliseconds between two renders

/** A message or a gap. */
interface Line {
  readonly id: number;
  readonly channel: string;
  readonly time: number;
  readonly place: string;
  readonly from: string;
  readonly text: string;
  readonly isGap?: boolean;
}

/** The messages of a channel or pattern as they come, newest first. */
export function Tail({ channel, isPattern }: { readonly channel: Channel; readonly isPattern: boolean }) {
  const [lines, setLines] = useState<readonly Line[]>([]);
  const [isPaused, setPaused] = useState(false);
  const [filter, setFilter] = useState('');
  const [problem, setProblem] = useState('');
  const [seen, setSeen] = useState(0);
  const paused = useRef(isPaused);
  paused.current = isPaused;

  useEffect(() => {
    const waiting: Line[] = [];
    let last = 0;
    const undos = [
      channel.subscribe((_, message) => void waiting.push(lineOf(++last, message))),
      channel.onGap(
        (gap) =>
          void waiting.push({
            ...blank,
            id: ++last,
            channel: gap.channel,
            time: Date.now(),
            text: `gap: ${gap.reason}`,
            isGap: true,
          }),
      ),
      channel.onError((error) => setProblem(explain(error))),
    ];
    const timer = setInterval(() => {
      if (paused.current || waiting.length === 0) return;
      const fresh = waiting.splice(0).reverse();
      setSeen(last);
      setLines((before) => [...fresh, ...before].slice(0, kept));
    }, pace);
    return () => {
      clearInterval(timer);
      for (const undo of undos) undo();
      setLines([]);
    };
  }, [channel]);

  const found = filter ? lines.filter((line) => `${line.channel} ${line.from} ${line.text}`.includes(filter)) : lines;
  return (
    <section class="tail" aria-label="Live tail">
      <header>
        <h2>
          Live tail <span class="badge">{count(seen)}</span>
        </h2>
        <div class="row">
          <Field label="Show only with">
            {(id) => <input id={id} value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />}
          </Field>
          <button type="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
            Pause
          </button>
          <button type="button" onClick={() => setLines([])}>
            Clear
          </button>
        </div>
      </header>
      <Problem text={problem} />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard */}
      <ol class="lines" tabIndex={0} aria-label="Messages, newest first">
        {found.map((line) => (
          <li key={line.id} class={line.isGap ? 'gap' : ''}>
            <time>{clock(line.time)}</time>
            <span class="place">{line.place}</span>
            {isPattern && <span class="channel">{line.channel}</span>}
            <span class="from">{line.from}</span>
            <code>{line.text}</code>
          </li>
        ))}
      </ol>
      {found.length === 0 && <p>{lines.length > 0 ? 'No line has this text.' : 'Nothing yet.'}</p>}
    </section>
  );
}

const blank = { channel: '', place: '', from: '' };

function lineOf(id: number, message: Message): Line {
  const { channel, data, position, publisher = '', time, type } = message;
  const text = data instanceof Uint8Array ? `${data.length} bytes` : JSON.stringify(data);
  return {
    id,
    channel,
    time: time ?? Date.now(),
    place: position ? String(position.offset) : 'ephemeral',
    from: publisher,
    text: (type ? `${type} ` : '') + (text ?? ''),
  };
}
