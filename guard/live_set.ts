/**
 * Sets that the program changes while others go by them.
 *
 * @module
 */

const CHANGES = ["add", "delete", "clear"] as const;

const followers = new WeakMap<Set<number>, Set<() => void>>();

/**
 * Calls `changed` whenever the set was changed, until the function that is returned is called. Nothing tells of that, so
 * the set's own methods do, as long as somebody follows it.
 */
export function followSet(set: Set<number>, changed: () => void): () => void {
  const all = followers.get(set) ?? tellChanges(set);
  all.add(changed);
  return () => {
    if (!all.delete(changed) || all.size > 0) return;
    followers.delete(set);
    for (const name of CHANGES) Reflect.deleteProperty(set, name);
  };
}

function tellChanges(set: Set<number>): Set<() => void> {
  const all = new Set<() => void>();
  followers.set(set, all);
  for (const name of CHANGES) {
    const change = set[name] as (...args: number[]) => unknown;
    Object.defineProperty(set, name, {
      configurable: true,
      value: (...args: number[]) => {
        const result = change.apply(set, args);
        for (const changed of [...all]) changed();
        return result;
      },
    });
  }
  return all;
}
