/**
 * The options of `keys()`: their types, and what is wrong with those that are wrong.
 *
 * @module
 */

import { faultOf, type KeyFilter, MOST_FILTERS } from "../backends/keys/filter.ts";
import type { Keyring } from "../backends/keys/keyctl.ts";
import { checkOptions, type OptionTable } from "../watch/option_checks.ts";
import { checkEvents } from "../watch/options.ts";

/** A keyring, and what its events are told with. */
export interface TaggedKeyring {
  /** The keyring. */
  readonly keyring: Keyring;
  /** 0 to 255, which events have as `attributes.tag`, and filters may ask for; default its place in the list. */
  readonly tag?: number;
}

/** Options of {@linkcode keys}. */
export interface KeysOptions {
  /** Kind patterns of the events that are wanted; one matches itself and everything under it. Default all. */
  events?: readonly string[];
  /** What the kernel is to tell, by type, subtype and info: what one of them lets pass. Default all. */
  filter?: KeyFilter | readonly KeyFilter[];
  /** Closes the stream. */
  signal?: AbortSignal;
}

/** Keyrings and options with every question answered. */
export interface KeysSettings {
  readonly keyrings: readonly Required<TaggedKeyring>[];
  readonly events: readonly string[] | undefined;
  readonly filter: readonly KeyFilter[] | undefined;
  readonly signal: AbortSignal | undefined;
}

const OPTIONS: OptionTable = { others: ["events", "filter"] };

/** Checks the arguments. Throws `TypeError` or `RangeError`. */
export function settleKeys(
  keyring: Keyring | Iterable<Keyring | TaggedKeyring>,
  options: KeysOptions,
): KeysSettings {
  checkOptions("watch keys", options, OPTIONS);
  const { events, filter, signal } = options;
  return {
    keyrings: listOf(keyring).map(checkKeyring),
    events: events && checkEvents(events),
    filter: filter === undefined ? undefined : checkFilter(filter),
    signal,
  };
}

function listOf(
  keyring: Keyring | Iterable<Keyring | TaggedKeyring>,
): (Keyring | TaggedKeyring)[] {
  if (typeof keyring === "string" || typeof keyring === "number") return [keyring];
  if (typeof keyring !== "object" || keyring === null || !(Symbol.iterator in keyring)) {
    throw new TypeError(`Cannot watch keys of ${String(keyring)}: not a keyring, and not a list`);
  }
  const list = [...keyring];
  if (list.length === 0) throw new TypeError("Cannot watch keys: no keyring is given");
  return list;
}

function checkKeyring(one: Keyring | TaggedKeyring, place: number): Required<TaggedKeyring> {
  const { keyring, tag = place } = typeof one === "object" && one !== null ? one : { keyring: one };
  if (typeof keyring === "number") {
    if (!Number.isInteger(keyring) || keyring < 1 || keyring > 0x7fffffff) {
      throw new RangeError(`Cannot watch key ${keyring}: no serial number`);
    }
  } else if (typeof keyring !== "string" || keyring === "" || keyring.includes("\0")) {
    throw new TypeError(`Cannot watch keyring ${JSON.stringify(keyring)}: no name, and no number`);
  }
  if (!Number.isInteger(tag) || tag < 0 || tag > 255) {
    throw new RangeError(`Cannot watch keyring ${keyring} with tag ${tag}: it is 0 to 255`);
  }
  return { keyring, tag };
}

function checkFilter(filter: KeyFilter | readonly KeyFilter[]): readonly KeyFilter[] {
  const list = Array.isArray(filter) ? filter as readonly KeyFilter[] : [filter as KeyFilter];
  if (list.length < 1 || list.length > MOST_FILTERS) {
    throw new RangeError(
      `Cannot filter keys by ${list.length} filters: there may be 1 to ${MOST_FILTERS}`,
    );
  }
  return list.map((one) => {
    if (typeof one !== "object" || one === null) {
      throw new TypeError(`Cannot filter keys by ${String(one)}: not an object`);
    }
    const { type, subtypes, info, infoMask } = one;
    if (subtypes !== undefined && !Array.isArray(subtypes)) {
      throw new TypeError(`Cannot filter keys by subtypes ${String(subtypes)}: not a list`);
    }
    const fault = faultOf(one);
    if (fault !== undefined) throw new RangeError(`Cannot filter keys: ${fault}`);
    // Copies, so that what the caller does with the objects later changes nothing.
    return {
      ...(type === undefined ? {} : { type }),
      ...(subtypes === undefined ? {} : { subtypes: [...subtypes] }),
      ...(info === undefined ? {} : { info }),
      ...(infoMask === undefined ? {} : { infoMask }),
    };
  });
}
