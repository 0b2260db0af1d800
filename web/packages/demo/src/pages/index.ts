import type { ComponentType } from 'react';
import type { IconName } from '../shell/icons.tsx';
import Chat from './chat/index.tsx';
import Connection from './connection/index.tsx';
import Dashboard from './dashboard/index.tsx';
import Notifications from './notifications/index.tsx';
import Overview from './overview/index.tsx';
import Presence from './presence/index.tsx';
import Tabs from './tabs/index.tsx';
import Together from './together/index.tsx';

/** A page of the site. */
export interface Page {
  /** What follows `/demo/` in its address. */
  readonly path: string;
  readonly icon: IconName;
  readonly title: string;
  readonly summary: string;
  readonly component: ComponentType;
}

export const pages: readonly Page[] = [
  { path: '', icon: 'overview', title: 'Overview', summary: '', component: Overview },
  {
    path: 'chat',
    icon: 'chat',
    title: 'Chat',
    summary: 'A room, direct messages, who types. Pull the plug and lose nothing.',
    component: Chat,
  },
  {
    path: 'presence',
    icon: 'presence',
    title: 'Presence',
    summary: 'Who is here, without anybody having to say goodbye.',
    component: Presence,
  },
  {
    path: 'together',
    icon: 'together',
    title: 'Cursors and editor',
    summary: 'Six hundred movements a second, and a text that many write.',
    component: Together,
  },
  {
    path: 'dashboard',
    icon: 'dashboard',
    title: 'Dashboard',
    summary: 'A row changes in the database, and in every query cache.',
    component: Dashboard,
  },
  {
    path: 'notifications',
    icon: 'notifications',
    title: 'Notifications',
    summary: 'Server-Sent Events that resume, with a library or without.',
    component: Notifications,
  },
  {
    path: 'connection',
    icon: 'connection',
    title: 'Connection',
    summary: 'Cut it, freeze it, slow it, restart the server, and watch.',
    component: Connection,
  },
  {
    path: 'tabs',
    icon: 'tabs',
    title: 'One connection',
    summary: 'However many parts a page has.',
    component: Tabs,
  },
];
