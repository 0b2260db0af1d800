/** Who this tab is. Another tab is another visitor, so that two windows side by side are two people. */

const key = 'millrace-demo-user';

let token = '';

/** The name that the pages use for whoever looks at them. */
export let currentUserId = '';

/** Gets a token: for who was here before, or for somebody new. */
export async function enter(): Promise<string> {
  const response = await fetch('/demo/api/visitor', {
    method: 'POST',
    body: JSON.stringify({ user: sessionStorage.getItem(key) ?? '' }),
  });
  if (!response.ok) throw new Error(await response.text());
  const visitor: { user: string; token: string } = await response.json();
  sessionStorage.setItem(key, visitor.user);
  currentUserId = visitor.user;
  token = visitor.token;
  return token;
}

/** For the client, which asks before each attempt. */
export function tokenFor({ refresh }: { readonly refresh: boolean }): string | Promise<string> {
  return refresh ? enter() : token;
}

/** Asks the backend of the demo. */
export async function api<T>(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<T> {
  const response = await fetch(`/demo/api/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

/** `quiet-otter-42` is called Quiet Otter. */
export function nameOf(user: string): string {
  return user
    .replace(/-\w+$/, (end) => (/\d/.test(end) ? '' : end))
    .split('-')
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join(' ');
}

/** Each name has its colour. */
export function colorOf(user: string): string {
  let hash = 7;
  for (const character of user) hash = (hash * 31 + character.charCodeAt(0)) % 9973;
  return `oklch(0.54 0.14 ${(hash * 137) % 360})`;
}
