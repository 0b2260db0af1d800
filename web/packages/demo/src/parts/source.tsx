import { type ReactNode, useMemo, useState } from 'react';
import { highlight } from 'sugar-high';
import { Icon } from '../shell/icons.tsx';

/** A file to be shown. */
export interface SourceFile {
  readonly name: string;
  readonly text: string;
}

/** Shows sources, one at a time. */
export function Source({ files }: { readonly files: readonly SourceFile[] }): ReactNode {
  const [chosen, setChosen] = useState(0);
  const [copied, setCopied] = useState(false);
  const text = (files[chosen] ?? files[0])?.text.trimEnd() ?? '';
  const html = useMemo(() => ({ __html: highlight(text) }), [text]);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(setCopied, 1500, false);
  };
  return (
    <figure className="source">
      <figcaption>
        {files.map((file, i) => (
          <button key={file.name} type="button" aria-pressed={i === chosen} onClick={() => setChosen(i)}>
            {file.name}
          </button>
        ))}
        <button type="button" className="copy" onClick={copy}>
          <Icon name="copy" />
          {copied ? 'Copied' : 'Copy'}
        </button>
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it */}
      <pre tabIndex={0}>
        {/* biome-ignore lint/security/noDangerouslySetInnerHtml: our own sources, which the highlighter escapes */}
        <code dangerouslySetInnerHTML={html} />
      </pre>
    </figure>
  );
}
