/**
 * Whether something can be fetched.
 *
 * @module
 */

import { networkInterfaces } from "node:os";

/** Whether this machine, or what of it the process sees, has any network. */
export function hasNetwork(): boolean {
  return Object.values(networkInterfaces()).some((all) => all!.some(({ internal }) => !internal));
}
