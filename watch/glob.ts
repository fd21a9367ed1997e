/**
 * Globs as regular expressions. The runtimes' `path.matchesGlob` would do, but Deno's asks for `--allow-env`.
 *
 * @module
 */

const SPECIAL = /[\\^$*+?.()|{}[\]]/g;

/**
 * `*` and `?` stay within a name, `**` crosses directories, `[a-z]` and `[!a-z]` are sets, `{a,b}` alternatives, `\`
 * takes the next character as it is. Leading dots are nothing special. Throws `TypeError` for a set or alternatives
 * that do not end, and for a range that is none.
 */
export function globToRegExp(glob: string): RegExp {
  let source = "";
  let depth = 0;
  for (let i = 0; i < glob.length; i++) {
    const char = glob[i]!;
    if (char === "*") {
      const crosses = glob[i + 1] === "*";
      if (crosses) { while (glob[i + 1] === "*") i++; }
      if (!crosses) source += "[^/]*";
      else if (glob[i + 1] === "/") {
        i++;
        source += "(?:[^/]*/)*"; // "**/" matches no directory as well
      } else source += ".*";
    } else if (char === "?") source += "[^/]";
    else if (char === "[") {
      const excludes = glob[i + 1] === "!" || glob[i + 1] === "^";
      const start = excludes ? i + 2 : i + 1;
      const end = glob.indexOf("]", start + 1); // a first "]" is a member
      if (end < 0) throw new TypeError(`Cannot use ${glob} as a glob: "[" has no "]"`);
      const set = glob.slice(start, end).replace(/[\\\]^]/g, "\\$&");
      source += `(?!/)[${excludes ? "^" : ""}${set}]`;
      i = end;
    } else if (char === "{") {
      depth++;
      source += "(?:";
    } else if (char === "}" && depth > 0) {
      depth--;
      source += ")";
    } else if (char === "," && depth > 0) source += "|";
    else if (char === "\\" && i + 1 < glob.length) source += glob[++i]!.replace(SPECIAL, "\\$&");
    else source += char.replace(SPECIAL, "\\$&");
  }
  if (depth > 0) throw new TypeError(`Cannot use ${glob} as a glob: "{" has no "}"`);
  try {
    return new RegExp(`^${source}$`, "su");
  } catch (cause) {
    throw new TypeError(`Cannot use ${glob} as a glob: a range ends before it begins`, { cause });
  }
}

/**
 * Whether a path matches a glob, as an ignore list means it: one without a slash is about the name at any depth, one
 * that begins with a slash about the absolute path, any other about the path below the root. `dir/**` takes `dir` too,
 * for to leave out all that is in it is to leave it out.
 */
export function globMatcher(glob: string): (path: string, root: string) => boolean {
  const pattern = globToRegExp(glob.replace(/(?<=.)\/(\*\*)?$/, ""));
  if (glob.startsWith("/")) return (path) => pattern.test(path);
  if (!glob.replace(/\/(\*\*)?$/, "").includes("/")) {
    return (path) => pattern.test(path.slice(path.lastIndexOf("/") + 1));
  }
  return (path, root) => pattern.test(path.slice(root.length + (root === "/" ? 0 : 1)));
}
