import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { explain, useConsole } from './state.ts';

/** The heading of a page, which has the focus when the page opens. */
export function Title({ text, children }: { readonly text: string; readonly children?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  // In the same turn as the heading appears: later, it would take the focus from whoever is quick.
  useLayoutEffect(() => {
    document.title = `${text} · Millrace`;
    heading.current?.focus();
  }, [text]);
  return (
    <header class="title">
      <h1 ref={heading} tabIndex={-1}>
        {text}
      </h1>
      {children}
    </header>
  );
}

/** What went wrong with what the page shows. */
export function Problem({ text }: { readonly text: string }) {
  return text ? (
    <p class="problem" role="alert">
      {text}
    </p>
  ) : null;
}

/** One column of a table. */
export interface Column<T> {
  readonly name: string;
  readonly isNumber?: boolean;
  readonly cell: (row: T) => ComponentChildren;
}

/** A table that scrolls sideways by itself. On a phone each row is a block, and each cell has its column's name beside it. */
export function Table<T>(props: {
  readonly caption: string;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly id: (row: T) => string;
  readonly empty: string;
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard
    <section class="scroll" aria-label={props.caption} tabIndex={0}>
      <table>
        <caption>{props.caption}</caption>
        <thead>
          <tr>
            {props.columns.map((column) => (
              <th key={column.name} scope="col" class={column.isNumber ? 'number' : ''}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <tr key={props.id(row)}>
              {props.columns.map((column) => (
                <td key={column.name} class={column.isNumber ? 'number' : ''} data-name={column.name}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
          {props.rows.length === 0 && (
            <tr>
              <td class="empty" colSpan={props.columns.length}>
                {props.empty}
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </section>
  );
}

/** Goes back and forth between the pages of a list. */
export function Pager(props: {
  readonly page: number;
  readonly size: number;
  readonly total: number;
  readonly next: string | undefined;
  readonly onPage: (page: number) => void;
}) {
  const first = props.page * props.size;
  return (
    <nav class="pager" aria-label="Pages">
      <button type="button" disabled={props.page === 0} onClick={() => props.onPage(props.page - 1)}>
        Previous
      </button>
      <span aria-live="polite">
        {props.total === 0
          ? 'none'
          : `${first + 1} to ${Math.min(first + props.size, props.total)} of ${props.total.toLocaleString('en')}`}
      </span>
      <button type="button" disabled={!props.next} onClick={() => props.onPage(props.page + 1)}>
        Next
      </button>
    </nav>
  );
}

/** A line of a form. */
export function Field(props: {
  readonly label: string;
  readonly hint?: string;
  readonly children: (id: string) => ComponentChildren;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.children(id)}
      {props.hint && <small>{props.hint}</small>}
    </div>
  );
}

/** A choice of a form, by value. What somebody has chosen stays through a render, as what is typed into `defaultValue` does. */
export function Select(props: {
  readonly id: string;
  readonly name: string;
  readonly initial: string;
  readonly options: Readonly<Record<string, string>>;
}) {
  return (
    <select id={props.id} name={props.name}>
      {Object.entries(props.options).map(([value, text]) => (
        <option key={value} value={value} selected={value === props.initial}>
          {text}
        </option>
      ))}
    </select>
  );
}

/** Facts, as terms and what they are. */
export function Facts({ of }: { readonly of: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {of.map(([term, value]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{value === '' || value === undefined ? '–' : value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A button that asks before it does something that cannot be undone. */
export function Action(props: {
  readonly label: string;
  readonly question: string;
  readonly detail?: ComponentChildren;
  /** What is done; the text that it returns is told. */
  readonly run: () => Promise<string>;
  readonly small?: boolean;
  /** Whether there is nothing to do it to. */
  readonly disabled?: boolean;
}) {
  const { notify } = useConsole();
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const title = useId();
  const confirm = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    try {
      notify(await props.run());
    } catch (error) {
      notify(explain(error), true);
    }
    setBusy(false);
    dialog.current?.close();
  };
  return (
    <>
      <button
        type="button"
        class={props.small ? 'danger small' : 'danger'}
        disabled={props.disabled ?? false}
        onClick={() => dialog.current?.showModal()}
      >
        {props.label}
      </button>
      <dialog ref={dialog} aria-labelledby={title}>
        <form onSubmit={confirm}>
          <h2 id={title}>{props.question}</h2>
          {props.detail}
          <div class="buttons">
            <button type="button" onClick={() => dialog.current?.close()}>
              Cancel
            </button>
            <button type="submit" class="danger" disabled={busy}>
              {props.label}
            </button>
          </div>
        </form>
      </dialog>
    </>
  );
}

/** How many sessions something was done to. */
export function sessions(n: number | undefined): string {
  return n === 1 ? '1 session' : `${n ?? 0} sessions`;
}
