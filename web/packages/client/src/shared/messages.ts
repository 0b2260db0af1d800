import type { LinkContext } from '../transport.ts';
import type { ErrorBody, Frame, Numbered } from '../wire.ts';

/** What a tab says to the hub. */
export type ToHub =
  | { readonly open: LinkContext }
  | { readonly send: Numbered }
  /** With `true` it leaves where it was present. */
  | { readonly close: boolean };

/** What the hub says to a tab. */
export type ToTab =
  /** It has heard the tab, and opens a link if there is none. */
  | { readonly heard: true }
  | { readonly opened: true }
  | { readonly frame: Frame }
  | { readonly alive: true }
  | { readonly closed: ErrorBody };
