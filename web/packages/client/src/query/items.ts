import { isRecord } from '../wire.ts';

type Change = (items: readonly unknown[]) => readonly unknown[];

/** What an item is known by; numbers and texts are the same. */
export function idOf(item: unknown, key: string): string | undefined {
  const id = isRecord(item) ? item[key] : undefined;
  return id === undefined || id === null ? undefined : String(id);
}

/** Changes the item that has the id, wherever it is; `undefined` removes it. Data without it stays the same object. */
export function changeItem(data: unknown, id: string, key: string, change: (item: unknown) => unknown): unknown {
  const inList: Change = (items) => {
    const at = items.findIndex((item) => idOf(item, key) === id);
    if (at < 0) return items;
    const changed = change(items[at]);
    return changed === undefined ? items.toSpliced(at, 1) : items.with(at, changed);
  };
  return changeLists(
    data,
    (lists) => lists.map(inList),
    () => (idOf(data, key) === id ? change(data) : data),
  );
}

/** Adds an item at the end of a list, or at its beginning. An item with its id is replaced where it is. */
export function addItem(
  data: unknown,
  item: unknown,
  key: string,
  first: boolean,
  max: number = Number.POSITIVE_INFINITY,
): unknown {
  const id = idOf(item, key);
  if (id !== undefined) {
    const replaced = changeItem(data, id, key, () => item);
    if (replaced !== data) return replaced;
  }
  return changeLists(
    data,
    (lists) => {
      const at = first ? 0 : lists.length - 1;
      return lists.map((items, i) => {
        if (i !== at) return items;
        return first ? [item, ...items].slice(0, max) : [...items, item].slice(-max);
      });
    },
    () => data,
  );
}

/** Changes the lists of what a query holds: a list, one in `items`, or the pages of an infinite query. Else `other` says. */
function changeLists(
  data: unknown,
  change: (lists: readonly (readonly unknown[])[]) => readonly (readonly unknown[])[],
  other: () => unknown,
): unknown {
  if (Array.isArray(data)) return change([data])[0];
  if (!isRecord(data)) return data;
  if (Array.isArray(data.items)) {
    const [items] = change([data.items]);
    return items === data.items ? data : { ...data, items };
  }
  if (!Array.isArray(data.pages)) return other();
  const pages: readonly unknown[] = data.pages;
  const before = pages.map((page) => (isRecord(page) ? page.items : page));
  if (!before.every((items) => Array.isArray(items))) return data;
  const after = change(before);
  if (after.every((items, i) => items === before[i])) return data;
  return { ...data, pages: pages.map((page, i) => (isRecord(page) ? { ...page, items: after[i] } : after[i])) };
}
