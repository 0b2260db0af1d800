import { isRecord } from '../wire.ts';

/** One message of a Connect stream. */
export interface Envelope {
  readonly flags: number;
  readonly value: Record<string, unknown>;
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
export async function* readEnvelopes(body: ReadableStream<Uint8Array>): AsyncGenerator<Envelope> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let bytes = new Uint8Array();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    bytes = concat(bytes, value);
    let at = 0;
    while (bytes.length - at >= headerBytes) {
      const end = at + headerBytes + new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(1);
      if (bytes.length < end) break;
      const parsed: unknown = JSON.parse(decoder.decode(bytes.subarray(at + headerBytes, end)));
      yield { flags: bytes[at] ?? 0, value: isRecord(parsed) ? parsed : {} };
      at = end;
    }
    bytes = bytes.slice(at);
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
