import type { ReactNode } from 'react';

/** Strokes on a field of 24 by 24. */
const icons = {
  overview: 'M4 10.5 12 4l8 6.5V20h-5.5v-5.500h-5V20H4z',
  chat: 'M4 5h16v11H10l-4.500 4v-4H4zM8 9.500h8M8 12.500h5',
  presence:
    'M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20c.6-4 3-6 6.500-6s5.900 2 6.500 6M16 4.500a3.500 3.500 0 0 1 0 6.200M18 14.500c2 .9 3.200 2.700 3.500 5.500',
  together: 'M5 4l6.500 15 2-6.500L20 10.500zM14 14l5 5',
  dashboard: 'M4 20h16M6.500 16v-4M11 16V7M15.500 16v-6M20 16V4',
  notifications: 'M6 16.500V11a6 6 0 1 1 12 0v5.500l1.500 1.500h-15zM10 20.500h4',
  connection: 'M3 12h4l2.500-7 5 14 2.500-7h4',
  tabs: 'M3.500 8h17v12h-17zM3.500 8V4h6v4M9.500 4h6v4',
  wire: 'M8 7l-5 5 5 5M16 7l5 5-5 5M13.500 4.500l-3 15',
  auto: 'M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16',
  light:
    'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400',
  dark: 'M19.500 14.500A8 8 0 0 1 9.500 4.500a8 8 0 1 0 10 10z',
  copy: 'M8.500 8.500h11v11h-11zM15.500 8.500v-4h-11v11h4',
  plug: 'M9 3v5M15 3v5M6.500 8h11v4a5.500 5.500 0 0 1-11 0zM12 17.500V21',
  menu: 'M4 7h16M4 12h16M4 17h16',
} as const;

export type IconName = keyof typeof icons;

/** A small picture, which says nothing to who cannot see it. */
export function Icon({ name }: { readonly name: IconName }): ReactNode {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={icons[name]} />
    </svg>
  );
}

/** The mark: three waves. */
export function Mark(): ReactNode {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M6 11.500c3.300-3.200 6.700-3.200 10 0s6.700 3.200 10 0" />
      <path d="M6 17c3.300-3.200 6.700-3.200 10 0s6.700 3.200 10 0" opacity=".75" />
      <path d="M6 22.500c3.300-3.200 6.700-3.200 10 0s6.700 3.200 10 0" opacity=".5" />
    </svg>
  );
}
