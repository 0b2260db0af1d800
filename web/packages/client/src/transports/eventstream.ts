/** One event of a stream of Server-Sent Events. */
export interface StreamEvent {
  /** Name, `message` for none. */
  readonly event: string;
  readonly data: string;
  /** The last id that the stream gave, with this event or before it. */
  readonly id: string;
}

/** What a reader tells. */
export interface StreamEvents {
  event(event: StreamEvent): void;
  /** Something came, if only a comment. */
  alive(): void;
  /** The time after which to come back, in milliseconds. */
  retry?(milliseconds: number): void;
}

/** Reads a stream as browsers do (HTML standard, section 9.2.6), until it ends. Returns the last id. */
export async function readEvents(body: ReadableStream<Uint8Array>, on: StreamEvents, lastId = ''): Promise<string> {
  let rest = '';
  let event = '';
  let data: string[] = [];
  let id = lastId;

  function line(text: string): void {
    if (text === '') {
      if (data.length > 0) on.event({ event: event || 'message', data: data.join('\n'), id });
      event = '';
      data = [];
      return;
    }
    const [, field, value = ''] = /^([^:]*):? ?(.*)$/s.exec(text) ?? [];
    if (field === 'data') data.push(value);
    else if (field === 'event') event = value;
    else if (field === 'id') id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) on.retry?.(Number(value));
  }

  for await (const chunk of chunks(body)) {
    on.alive();
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const text of lines) line(text.endsWith('\r') ? text.slice(0, -1) : text);
  }
  return id;
}

/** The text of a body, piece by piece. Not every browser can loop over a stream. */
async function* chunks(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield decoder.decode(value, { stream: true });
  }
}
