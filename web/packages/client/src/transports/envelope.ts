/** One message of a Connect stream. */
export interface Envelope {
  readonly flags: number;
  readonly value: unknown;
}

const headerBytes = 5; // flags and length

/** Makes the body of a streaming call with one request. */
export function toEnvelope(request: object): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(JSON.stringify(request));
  const envelope = new Uint8Array(headerBytes + json.length);
  new DataView(envelope.buffer).setUint32(1, json.length);
  envelope.set(json, headerBytes);
  return envelope;
}

/** Reads the messages of a body as they come. */
export async function* readEnvelopes(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Envelope> {
  let bytes = new Uint8Array();
  for await (const chunk of chunks) {
    const both = new Uint8Array(bytes.length + chunk.length);
    both.set(bytes);
    both.set(chunk, bytes.length);
    bytes = both;
    while (bytes.length >= headerBytes) {
      const end = headerBytes + new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
      if (bytes.length < end) break;
      yield { flags: bytes[0] ?? 0, value: JSON.parse(new TextDecoder().decode(bytes.subarray(headerBytes, end))) };
      bytes = bytes.subarray(end);
    }
  }
}
