import type { ReactNode } from 'react';
import { Icon } from '../../shell/icons.tsx';
import { follow } from '../../shell/router.ts';
import { pages } from '../index.ts';
import { Race } from './race.tsx';

/** The way in. */
export default function Overview(): ReactNode {
  return (
    <>
      <header className="intro hero">
        <h1>A message is published; everybody has it, in order.</h1>
        <p>
          Everything here is live, on one server, and each page shows its own source. Open a second window beside this
          one: it is another visitor.
        </p>
      </header>
      <Race />
      <ul className="tiles">
        {pages
          .filter(({ path }) => path !== '')
          .map(({ path, icon, title, summary }) => (
            <li key={path}>
              <a className="card" href={`/demo/${path}`} onClick={follow}>
                <Icon name={icon} />
                <b>{title}</b>
                <span>{summary}</span>
              </a>
            </li>
          ))}
      </ul>
    </>
  );
}
