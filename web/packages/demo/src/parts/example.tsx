import { type ReactNode, useId } from 'react';
import { Source, type SourceFile } from './source.tsx';

interface ExampleProps {
  readonly id: string;
  readonly title: string;
  /** What to see in it. */
  readonly children: ReactNode;
  readonly files: readonly SourceFile[];
  /** Whether it is one of the document that existing applications follow, as it is written there. */
  readonly documented?: boolean;
  /** What runs. */
  readonly stage: ReactNode;
}

/** Something that runs, and beside it what makes it run. */
export function Example({ id, title, children, files, documented = false, stage }: ExampleProps): ReactNode {
  const heading = useId();
  return (
    <section className="example" id={id} aria-labelledby={heading}>
      <header>
        <h2 id={heading}>
          {title}
          {documented && <span className="badge">as documented</span>}
        </h2>
        <p>{children}</p>
      </header>
      <div className="stage card">{stage}</div>
      <Source files={files} />
    </section>
  );
}

/** The head of a page. */
export function Intro({ title, children }: { readonly title: string; readonly children: ReactNode }): ReactNode {
  return (
    <header className="intro">
      <h1>{title}</h1>
      <p>{children}</p>
    </header>
  );
}
