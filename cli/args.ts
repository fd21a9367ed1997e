/**
 * The arguments of a command: read by `node:util` `parseArgs`, checked and explained by the same table.
 *
 * @module
 */

import { parseArgs } from "node:util";

/** A wrong argument: one line, and where to find help. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** An option of a command. */
export interface Option {
  /** Without the dashes. */
  readonly name: string;
  readonly short?: string;
  /** What stands for its value in the help; a flag has none. */
  readonly value?: string;
  /** Whether it may be given several times. */
  readonly repeatable?: boolean;
  readonly about: string;
}

/** What `--help` tells of a command, and what its arguments may be. */
export interface Synopsis {
  readonly name: string;
  /** `"PATH…"` */
  readonly operands: string;
  readonly about: string;
  readonly options: readonly Option[];
  /** What follows the options in the help. */
  readonly notes: string;
  /** How many operands there are. */
  readonly least: number;
  readonly most: number;
}

/** An option that was given, and its value, empty for a flag. */
export interface Given {
  readonly name: string;
  readonly value: string;
}

/** Arguments that fit the synopsis. */
export class Arguments {
  readonly operands: readonly string[];
  readonly #command: string;
  readonly #given: readonly Given[];

  constructor(command: string, operands: readonly string[], given: readonly Given[]) {
    this.#command = command;
    this.operands = operands;
    this.#given = given;
  }

  /** Whether the option was given. */
  has(name: string): boolean {
    return this.#given.some((given) => given.name === name);
  }

  /** The options of these names, in the order in which they were given. */
  given(...names: readonly string[]): readonly Given[] {
    return this.#given.filter(({ name }) => names.includes(name));
  }

  /** Every value of an option, in the order in which they were given. */
  all(name: string): readonly string[] {
    return this.given(name).map(({ value }) => value);
  }

  /** The last value of an option. */
  last(name: string): string | undefined {
    return this.all(name).at(-1);
  }

  /** Throws {@linkcode UsageError} where both options were given. */
  exclude(one: string, other: string): void {
    if (!this.has(one) || !this.has(other)) return;
    throw new UsageError(`Cannot ${this.#command} with --${one} and --${other}: give one of them`);
  }

  /** The last value as a number of at least `least`. */
  number(name: string, least: number, isWhole: boolean): number | undefined {
    const text = this.last(name);
    if (text === undefined) return undefined;
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
    if (value >= least && (!isWhole || Number.isSafeInteger(value))) return value;
    const what = isWhole ? "a whole number" : "a number";
    const bound = least > 0 ? ` of at least ${least}` : "";
    throw new UsageError(`Cannot ${this.#command} with --${name} ${text}: not ${what}${bound}`);
  }

  /** Every value as a process id. */
  pids(name: string): readonly number[] {
    return this.all(name).map((text) => {
      if (/^[1-9]\d*$/.test(text)) return Number(text);
      throw new UsageError(`Cannot ${this.#command} with --${name} ${text}: not a process id`);
    });
  }
}

const HELP: Option = { name: "help", short: "h", about: "this text" };

/** Reads `args`; `undefined` when they ask for help. Throws {@linkcode UsageError}. */
export function readArguments(synopsis: Synopsis, args: readonly string[]): Arguments | undefined {
  const { name: command, least, most, operands: what } = synopsis;
  const options = [...synopsis.options, HELP];
  // Not strict: the two runtimes word their complaints differently, and neither as this project does.
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: Object.fromEntries(options.map(({ name, short, value }) => [name, {
      type: value === undefined ? "boolean" : "string",
      ...(short === undefined ? {} : { short }),
    }])),
  });
  const given: Given[] = [];
  const operands: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") operands.push(token.value);
    if (token.kind !== "option") continue;
    const option = options.find(({ name }) => name === token.name);
    given.push({ name: token.name, value: checked(command, option, token) });
  }
  if (given.some(({ name }) => name === HELP.name)) return undefined;
  if (operands.length < least) throw new UsageError(`Cannot ${command} nothing: give ${what}`);
  const extra = operands[most];
  if (extra !== undefined) {
    throw new UsageError(`Cannot ${command} with ${JSON.stringify(extra)}: one argument too many`);
  }
  return new Arguments(command, operands, given);
}

/** The value of an option, empty for a flag. */
function checked(
  command: string,
  option: Option | undefined,
  token: {
    readonly rawName: string;
    readonly value?: string | undefined;
    readonly inlineValue?: boolean | undefined;
  },
): string {
  const { rawName, value, inlineValue } = token;
  const cannot = `Cannot ${command} with ${rawName}`;
  if (option === undefined) throw new UsageError(`${cannot}: no such option`);
  if (option.value === undefined) {
    if (value !== undefined) throw new UsageError(`${cannot}=${value}: it takes no value`);
    return "";
  }
  if (value === undefined) throw new UsageError(`${cannot}: it takes ${option.value}`);
  if (inlineValue !== true && /^-./.test(value)) {
    throw new UsageError(`${cannot} ${value}: it takes ${option.value}; write ${rawName}=${value}`);
  }
  return value;
}

/** Where an option's description begins. */
const COLUMN = 26;

/** The help of a command. */
export function help(synopsis: Synopsis): string {
  const { name, operands, about, options, notes } = synopsis;
  const lines = [...options, HELP].map(({ name, short, value, about }) => {
    const left = `  ${short === undefined ? "    " : `-${short}, `}--${name}${
      value ? ` ${value}` : ""
    }`;
    const indented = about.replaceAll("\n", `\n${" ".repeat(COLUMN)}`);
    return left.length < COLUMN
      ? left.padEnd(COLUMN) + indented
      : `${left}\n${" ".repeat(COLUMN)}${indented}`;
  });
  const usage = ["sentinode", name, "[OPTIONS]", operands].filter((word) => word !== "").join(" ");
  return `Usage: ${usage}\n\n${about}\n\n${lines.join("\n")}\n${
    notes === "" ? "" : `\n${notes}\n`
  }`;
}
