/**
 * What is wrong with options, of whatever they are.
 *
 * @module
 */

/** What options there are, and what some of them may be. */
export interface OptionTable {
  /** Those that are among a few values. */
  readonly choices?: Readonly<Record<string, readonly unknown[]>>;
  /** Those that are on or off. */
  readonly flags?: readonly string[];
  /** All the others; `signal` is one everywhere. */
  readonly others: readonly string[];
}

/** Checks what the table tells, and the signal. `verb` is what the options are for. Throws `TypeError`. */
export function checkOptions(verb: string, options: object, table: OptionTable): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Cannot ${verb} with options ${String(options)}: not an object`);
  }
  const { choices = {}, flags = [], others } = table;
  const names = [...Object.keys(choices), ...flags, ...others, "signal"];
  for (const [name, value] of Object.entries(options)) {
    if (!names.includes(name)) {
      throw new TypeError(`Cannot ${verb} with option ${name}: no such option`);
    }
    if (value === undefined) continue;
    const wrong = name in choices
      ? !choices[name]!.includes(value) && `it is one of ${choices[name]!.join(", ")}`
      : flags.includes(name)
      ? typeof value !== "boolean" && "it is true or false"
      : name === "signal" && !(value instanceof AbortSignal) && "not an AbortSignal";
    if (wrong) throw new TypeError(`Cannot ${verb} with ${name} ${show(value)}: ${wrong}`);
  }
}

/** Filesystem types that are left out. */
export function checkFilesystems(types: readonly string[]): ReadonlySet<string> {
  if (!Array.isArray(types) || !types.every((type) => typeof type === "string")) {
    throw new TypeError(`Cannot ignore filesystems ${show(types)}: not a list of their types`);
  }
  return new Set(types);
}

/** A value as messages have it. */
export function show(value: unknown): string {
  const isData = typeof value === "string" || typeof value === "object";
  return isData ? JSON.stringify(value) : String(value);
}
