/** Makes an absolute URL. In a page, relative ones are of the page's own origin. */
export function absolute(url: string): URL {
  return new URL(url, globalThis.location?.href);
}
