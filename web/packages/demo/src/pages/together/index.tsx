import type { ReactNode } from 'react';
import { CollaborativeEditor } from '../../document/collaborative-editor.jsx';
import collaborativeEditor from '../../document/collaborative-editor.jsx?source';
import editor from '../../parts/editor.tsx?source';
import { Example, Intro } from '../../parts/example.tsx';
import { Board } from './board.tsx';
import board from './board.tsx?source';
import meter from './meter.tsx?source';

export default function Together(): ReactNode {
  return (
    <>
      <Intro title="Cursors and editor">
        Ten bots move sixty times a second each. Move over the board, and others see you among them.
      </Intro>
      <Example
        id="board"
        title="A board"
        stage={<Board />}
        files={[
          { name: 'board.tsx', text: board },
          { name: 'meter.tsx', text: meter },
        ]}
      >
        Ephemeral messages are kept nowhere, and are the first to go when a reader is slow. The page renders once a
        frame.
      </Example>
      <Example
        id="editor"
        title="A shared text"
        documented
        stage={<CollaborativeEditor documentId="notes" />}
        files={[
          { name: 'collaborative-editor.jsx', text: collaborativeEditor },
          { name: 'editor.tsx', text: editor },
        ]}
      >
        It sends all of its text at each key stroke, which the server bears up to half a megabyte. The editor tells its
        own echo from news, so that fast typing is never set back.
      </Example>
    </>
  );
}
