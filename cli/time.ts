/**
 * `--time-format`: the part of strftime(3) that a log line needs, in local time.
 *
 * @module
 */

import { UsageError } from "./args.ts";

const two = (value: number): string => String(value).padStart(2, "0");

const DIRECTIVES: Readonly<Record<string, (time: Date) => string>> = {
  Y: (time) => String(time.getFullYear()),
  m: (time) => two(time.getMonth() + 1),
  d: (time) => two(time.getDate()),
  H: (time) => two(time.getHours()),
  M: (time) => two(time.getMinutes()),
  S: (time) => two(time.getSeconds()),
  f: (time) => String(time.getMilliseconds()).padStart(3, "0"),
  s: (time) => String(Math.floor(time.getTime() / 1000)),
  F: (time) => `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`,
  T: (time) => `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`,
  z: (time) => {
    const minutes = -time.getTimezoneOffset();
    const size = Math.abs(minutes);
    return `${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}${two(size % 60)}`;
  },
  "%": () => "%",
};

/** The time of a line where nothing else was asked for. */
export const DEFAULT_TIME = "%T.%f";

/** A function from ms since the epoch to text. Throws {@linkcode UsageError} for a directive that is not there. */
export function timeFormatter(command: string, format: string): (time: number) => string {
  const unknown = format.match(/%.?/gsu)?.find((directive) => !(directive.slice(1) in DIRECTIVES));
  if (unknown !== undefined) {
    throw new UsageError(
      `Cannot ${command} with --time-format ${format}: ${unknown} is none of ` +
        Object.keys(DIRECTIVES).map((letter) => `%${letter}`).join(" "),
    );
  }
  return (time) => {
    const date = new Date(time);
    return format.replace(/%(.)/gs, (_, letter: string) => DIRECTIVES[letter]!(date));
  };
}
