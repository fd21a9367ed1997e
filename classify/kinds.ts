/**
 * The vocabulary: what an event can be, from the general to the exact.
 *
 * @module
 */

/** Every kind that sentinode itself gives an event. A bare one stands where the exact one cannot be known. */
export const KINDS = [
  "create",
  "create.file",
  "create.directory",
  "create.symlink",
  "create.link",
  "create.other",
  "modify.data",
  "modify.metadata",
  "modify.metadata.permissions",
  "modify.metadata.ownership",
  "modify.metadata.times",
  "modify.metadata.xattr",
  "modify.metadata.flags",
  "modify.metadata.links",
  "rename",
  "rename.out",
  "rename.in",
  "remove",
  "remove.file",
  "remove.directory",
  "remove.symlink",
  "remove.other",
  "access",
  "access.open",
  "access.exec",
  "access.read",
  "access.close.write",
  "access.close.nowrite",
  "access.failed",
  "mount.attach",
  "mount.detach",
  "mount.move",
  "mount.change",
  "error.filesystem",
  "error.space",
  "error.quota",
  "key.instantiate",
  "key.update",
  "key.link",
  "key.unlink",
  "key.clear",
  "key.revoke",
  "key.invalidate",
  "key.setattr",
  "key.remove",
  "lost",
  "recovered",
  "other",
] as const;

/** A kind of event: one of {@linkcode KINDS}, or the program's own below `user`. */
export type Kind = (typeof KINDS)[number] | `user.${string}`;

/** The kinds and all that stands above one: `"access.close"`, `"mount"`, `"user"`. */
const PATTERNS: ReadonlySet<string> = new Set(
  KINDS.flatMap((kind) => {
    const parts = kind.split(".");
    return parts.map((_, i) => parts.slice(0, i + 1).join("."));
  }).concat("user"),
);

const EXACT: ReadonlySet<string> = new Set(KINDS);

/** Whether `kind` is one that an event can have: not `modify`, which stands above kinds only. */
export function isKind(kind: string): kind is Kind {
  return EXACT.has(kind) || /^user\.[^\s.]/.test(kind);
}

/** Whether `pattern` can match anything. */
export function isKindPattern(pattern: string): boolean {
  return PATTERNS.has(pattern) || /^user\.[^\s.]/.test(pattern);
}

/**
 * Whether `event` (or a kind) is of `pattern` or of anything under it.
 *
 * @example
 * ```ts
 * import { matches } from "sentinode/classify";
 * import assert from "node:assert/strict";
 *
 * assert(matches({ kind: "modify.metadata.xattr" }, "modify.metadata"));
 * assert(!matches({ kind: "modify.metadata" }, "modify.metadata.xattr"));
 * assert(!matches({ kind: "remove" }, "rem"));
 * ```
 */
export function matches(event: { readonly kind: string } | string, pattern: string): boolean {
  const kind = typeof event === "string" ? event : event.kind;
  return kind === pattern || (kind.startsWith(pattern) && kind[pattern.length] === ".");
}

/**
 * Whether an event of `kind` is wanted by one who asked for `patterns`: what matches, and a bare kind above a pattern,
 * for `remove` may well be the `remove.file` that was asked for.
 */
export function isWanted(kind: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) =>
    matches(kind, pattern) || (isBare(kind) && matches(pattern, kind))
  );
}

/** Whether `kind` stands for exact kinds that may not be known; `rename` is exact, though others begin with it. */
function isBare(kind: string): boolean {
  return kind === "create" || kind === "remove" || kind === "modify.metadata";
}
