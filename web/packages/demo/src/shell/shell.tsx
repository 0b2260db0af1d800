import { useConnection } from '@millrace/client/react';
import { type ReactNode, useEffect, useState } from 'react';
import { pages } from '../pages/index.ts';
import { Avatar } from '../parts/avatar.tsx';
import { Toasts } from '../parts/notifications.tsx';
import { currentUserId, nameOf } from '../visitor.ts';
import { Footer } from './footer.tsx';
import { Icon, Mark } from './icons.tsx';
import { follow, usePage } from './router.ts';
import { ThemeButton } from './theme.tsx';

/** What is around every page. */
export function Shell(): ReactNode {
  const path = usePage();
  const page = pages.find((each) => each.path === path) ?? pages[0];
  const [open, setOpen] = useState(false);
  useEffect(() => {
    document.title = page?.path ? `${page.title} · Millrace` : 'Millrace demo';
    setOpen(false);
  }, [page]);
  if (!page) return null;
  return (
    <>
      <a className="skip" href="#page">
        Skip to the page
      </a>
      <aside className="side" data-open={open}>
        <a className="brand" href="/demo/" onClick={follow}>
          <Mark />
          Millrace
        </a>
        <button
          type="button"
          className="icon-button menu"
          aria-expanded={open}
          aria-controls="pages"
          onClick={() => setOpen(!open)}
        >
          <Icon name="menu" />
          <span className="sr-only">Pages</span>
        </button>
        <nav id="pages" aria-label="Pages">
          {pages.map(({ path: to, icon, title }) => (
            <a key={to} href={`/demo/${to}`} aria-current={to === page.path ? 'page' : undefined} onClick={follow}>
              <Icon name={icon} />
              {title}
            </a>
          ))}
        </nav>
        <Visitor />
      </aside>
      <main id="page" tabIndex={-1}>
        <page.component key={page.path} />
      </main>
      <Footer />
      <Toasts />
    </>
  );
}

function Visitor(): ReactNode {
  const state = useConnection((snapshot) => snapshot.state);
  return (
    <div className="visitor">
      <Avatar user={currentUserId} />
      <p>
        <b>{nameOf(currentUserId)}</b>
        <small className="pill" data-state={state} role="status">
          {state}
        </small>
      </p>
      <ThemeButton />
    </div>
  );
}
