/**
 * Delta debugging (Zeller and Hildebrandt, 2002): leaves out of a list what a failure does not need.
 *
 * @module
 */

/** A shorter list for which `fails` holds, as `items` does; as short as was found until `isLate`. */
export async function shrink<T>(
  items: readonly T[],
  fails: (items: readonly T[]) => Promise<boolean>,
  isLate: () => boolean,
): Promise<readonly T[]> {
  let left = items;
  for (let size = Math.ceil(left.length / 2); size >= 1 && !isLate();) {
    let isShorter = false;
    for (let at = 0; at < left.length && !isLate();) {
      const fewer = left.toSpliced(at, size);
      if (await fails(fewer)) {
        left = fewer;
        isShorter = true;
      } else at += size;
    }
    if (size === 1 && !isShorter) break;
    size = Math.max(1, Math.min(Math.ceil(size / 2), Math.ceil(left.length / 2)));
    if (left.length === 0) break;
  }
  return left;
}
