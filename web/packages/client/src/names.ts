/** The channels of an application and what is published in each: `{ 'chat.{room}': ChatMessage }`. Types only. */
export type ChannelMap = Readonly<Record<string, unknown>>;

/** Names that fit a template: `chat.{room}` stands for `chat.` and anything. */
export type NameOf<Template> = Template extends `${infer Before}{${string}}${infer After}`
  ? `${Before}${string}${NameOf<After>}`
  : Template;

/** Names of the channels of a map. */
export type ChannelName<C> = { [K in keyof C & string]: NameOf<K> }[keyof C & string];

/** What is published in a channel. */
export type DataOf<C, N> = string extends keyof C
  ? C[keyof C]
  : { [K in keyof C & string]: N extends NameOf<K> ? C[K] : never }[keyof C & string];

/** Whether a channel's name fits a pattern: `*` is one token, a final `>` one or more. */
export function matches(pattern: string, name: string): boolean {
  const tokens = name.split('.');
  const wanted = pattern.split('.');
  const rest = wanted.at(-1) === '>';
  if (rest ? tokens.length < wanted.length : tokens.length !== wanted.length) return false;
  return wanted.every((token, i) => token === '*' || token === tokens[i] || (token === '>' && i === wanted.length - 1));
}
