/** One event of a stream of Server-Sent Events. */
export interface StreamEvent {
  /** Name, `message` for none. */
  readonly event: string;
  readonly data: string;
}

/** Reads events as browsers do (HTML standard, section 9.2.6), until the stream ends. Ids are of no use here: each channel has its position. */
export async function* readEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    // A \r at the end may be half of a line's end: it waits for the next piece.
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n\r?\n/);
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      let event = 'message';
      const data: string[] = [];
      for (const line of block.split('\n')) {
        // With `s`, because U+2028 inside of JSON ends no line here.
        const [, field, value = ''] = /^([^:]*):? ?(.*?)\r?$/s.exec(line) ?? [];
        if (field === 'data') data.push(value);
        if (field === 'event') event = value;
      }
      if (data.length > 0) yield { event, data: data.join('\n') };
    }
  }
}
