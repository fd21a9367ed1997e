/**
 * Giving back what was taken one after the other.
 *
 * @module
 */

/** Does these in order, and forgets them; what one throws does not keep the others, and is thrown at the end. */
export function undoAll(steps: (() => void)[]): void {
  const errors: unknown[] = [];
  for (const undo of steps.splice(0)) {
    try {
      undo();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
