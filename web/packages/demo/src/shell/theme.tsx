import { type ReactNode, useEffect, useState } from 'react';
import { Icon } from './icons.tsx';

const key = 'millrace-demo-theme';
const themes = ['auto', 'light', 'dark'] as const;
type Theme = (typeof themes)[number];

function stored(): Theme {
  const value = localStorage.getItem(key);
  return themes.find((theme) => theme === value) ?? 'auto';
}

/** Chooses between the colours of the system, light and dark. */
export function ThemeButton(): ReactNode {
  const [theme, setTheme] = useState(stored);
  useEffect(() => {
    localStorage.setItem(key, theme);
    if (theme === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  const next = themes[(themes.indexOf(theme) + 1) % themes.length] ?? 'auto';
  return (
    <button type="button" className="icon-button" title={`Colours: ${theme}`} onClick={() => setTheme(next)}>
      <Icon name={theme} />
      <span className="sr-only">{`Colours: ${theme}. Switch to ${next}`}</span>
    </button>
  );
}
