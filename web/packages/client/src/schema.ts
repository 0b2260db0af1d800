import { RealtimeError } from './error.ts';
import type { ChannelMap } from './names.ts';

/** What is used of Standard Schema (standardschema.dev): Zod, Valibot, ArkType and others have it. */
export interface Schema<T = unknown> {
  readonly '~standard': {
    readonly validate: (
      value: unknown,
    ) =>
      | { readonly value: T; readonly issues?: undefined }
      | { readonly issues: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[] }
      | Promise<unknown>;
    readonly types?: { readonly output: T } | undefined;
  };
}

/** The channels of an application, with their checks. */
export interface Channels<C extends ChannelMap = ChannelMap> {
  /** Returns data as its schema makes it, or throws INVALID_DATA. */
  check(channel: string, data: unknown): unknown;
  /** For types only. */
  readonly map?: C;
}

/** What the schemas of channels say of their data. */
export type DataOfSchemas<S> = { readonly [K in keyof S]: S[K] extends Schema<infer T> ? T : never };

/** Says which type a channel has without checking it. */
export function type<T>(): Schema<T> {
  return { '~standard': { validate: (value) => ({ value: value as T }) } };
}

/**
 * Says what is in which channel: `defineChannels({ 'chat.{room}': z.object({ text: z.string() }), metrics: type<number>() })`. What is
 * published is checked before it is sent, what comes before it is handed over. A name that fits several templates is of the first.
 */
export function defineChannels<S extends Readonly<Record<string, Schema>>>(schemas: S): Channels<DataOfSchemas<S>> {
  const templates = Object.entries(schemas).map(([template, schema]) => ({
    fits: new RegExp(
      `^${template
        .split(/\{[^}]*\}/)
        .map(literal)
        .join('.+')}$`,
      's',
    ),
    schema,
  }));
  return {
    check(channel, data) {
      const schema = templates.find(({ fits }) => fits.test(channel))?.schema;
      if (!schema) return data;
      const result = schema['~standard'].validate(data);
      if (result instanceof Promise) throw new TypeError(`the schema of ${channel} is asynchronous`);
      if (!result.issues) return result.value;
      const said = result.issues.map(({ message, path }) => [path?.join('.'), message].filter(Boolean).join(': '));
      throw new RealtimeError({ reason: 'INVALID_DATA', for: channel, message: `${channel}: ${said.join(', ')}` });
    },
  };
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
