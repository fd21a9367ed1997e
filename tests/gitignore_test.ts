/** What git ignores: each answer is git's own. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import test from "node:test";
import { changesSince, gitignore, snapshot } from "../mod.ts";
import { parsePatterns } from "../watch/gitignore.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Ground, Seen } from "./ground.ts";
import { seed, wholeNumbers } from "./random.ts";
import { finish, isDeno, moduleFile, TemporaryDirectory } from "./runtime.ts";

const settings = { skip: !isInstalled("git") && "git is not installed", timeout: 60_000 };

/** Runs a shell command in a directory, with a git that has no configuration but the repository's. */
function shell(cwd: string, command: string): void {
  const env = {
    PATH: process.env["PATH"]!,
    HOME: cwd,
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_NOSYSTEM: "1",
  };
  execFileSync("sh", ["-euc", command], { cwd, env, stdio: ["ignore", "ignore", "pipe"] });
}

/** A repository of its own. */
class Repository extends Ground {
  constructor() {
    super();
    shell(this.path, "git init -q");
  }

  at(path: string): string {
    return join(this.path, path);
  }

  /** Makes files, and directories where a path ends with a slash. */
  make(...paths: readonly string[]): void {
    for (const path of paths) {
      if (path.endsWith("/")) mkdirSync(this.at(path), { recursive: true });
      else this.write(path, "");
    }
  }

  write(path: string, text: string | Uint8Array): void {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    writeFileSync(this.at(path), text);
  }
}

/** Which of these paths git ignores, and by what, `undefined` where nothing is said. */
function saidByGit(root: string, paths: readonly string[]): (string | undefined)[] {
  using exchange = new TemporaryDirectory();
  const [input, output] = ["input", "output"].map((name) => join(exchange.path, name));
  writeFileSync(input!, paths.map((path) => `${path.replace(/\/$/, "")}\0`).join(""));
  const options = "--no-index --verbose --non-matching -z --stdin";
  shell(root, `git check-ignore ${options} < '${input}' > '${output}'`);
  const fields = readFileSync(output!, "utf8").split("\0");
  return paths.map((path, i) => {
    const [source, line, pattern, about] = fields.slice(i * 4, i * 4 + 4);
    assert.equal(about, path.replace(/\/$/, ""));
    return pattern === "" ? undefined : `${source}:${line}:${pattern}`;
  });
}

function isIgnoredByGit(said: string | undefined): boolean {
  return said !== undefined && !said.replace(/^.*?:\d+:/, "").startsWith("!");
}

/** What `ignore` says of paths below a root, asked as a watcher asks: not below what is ignored. */
async function ignoredBelow(root: string, paths: readonly string[]): Promise<boolean[]> {
  const ignores = await gitignore();
  const answers = new Map<string, boolean>();
  const ask = (path: string, isDirectory: boolean): boolean => {
    let answer = answers.get(path);
    if (answer === undefined) {
      const above = dirname(path);
      answer = (above !== "." && ask(above, true)) || ignores(join(root, path), isDirectory);
      answers.set(path, answer);
    }
    return answer;
  };
  return paths.map((path) => ask(path.replace(/\/$/, ""), path.endsWith("/")));
}

/** Asserts that git and we agree on all paths. */
async function agree(
  root: string,
  paths: readonly string[],
  rulesOf: (path: string) => string,
): Promise<void> {
  const said = saidByGit(root, paths);
  const ours = await ignoredBelow(root, paths);
  const different = paths.flatMap((path, i) =>
    isIgnoredByGit(said[i]) === ours[i]
      ? []
      : [`${path} by ${rulesOf(path)}: git ${said[i]}, we ${ours[i]}`]
  );
  assert.deepEqual(
    different.slice(0, 20),
    [],
    `${different.length} of ${paths.length}, seed ${seed}`,
  );
  assert(ours.includes(true) && ours.includes(false));
}

/** What each file of patterns below is tried on. */
const PATHS = [
  "a",
  "b",
  "ab",
  "abc",
  "a.b",
  ".a",
  "a b",
  "a ",
  "#a",
  "!a",
  "a*",
  "a?",
  "[a]",
  "a\\",
  "\\",
  "-",
  "^",
  "]",
  "{a,b}",
  "A",
  "1",
  "_",
  "~",
  "ü",
  "ab\n",
  "a\tb",
  "foo",
  "foobar",
  "fooxbar",
  "x/",
  "x/a",
  "x/b",
  "x/ab",
  "x/y/",
  "x/y/a",
  "x/y/b",
  "x/y/z/",
  "x/y/z/a",
  "x/y/z/b.o",
  "x/.a",
  "c/",
  "c/foo/",
  "c/foo/bar",
  "c/foo/x/bar",
  "c/x",
  "d/a/",
  "d/a/b",
  "d/a/a/b",
  "d/abc",
  "e/ü/ß",
  "e/**",
  "e/[a]",
];

/** Files of patterns, written for what they could be taken wrong. */
const FILES = [
  "",
  "\n\n",
  "#a",
  "\\#a",
  "!a",
  "\\!a",
  "a\n!a",
  "!a\na",
  "a ",
  "a\\ ",
  "a\\  ",
  "a  \\",
  " a",
  "a\t",
  "a b",
  "a\r\nb\r",
  "\ufeffa",
  "a\\",
  "\\a",
  "\\\\",
  "a\\\\",
  "*\\",
  "/",
  "//",
  "!",
  "!/",
  "/a",
  "/x/a",
  "x/a",
  "a/",
  "/a/",
  "x/",
  "x/y/",
  "x//",
  "/x//a",
  "x/ ",
  "x/*",
  "x/*\n!x/y",
  "x/*\n!x/y/",
  "x/**",
  "x/**\n!x/y/a",
  "x\n!x/a",
  "*\n!x/\n!x/a",
  "*\n!*/\n!*.o",
  "/*\n!/x\n/x/*\n!/x/y",
  "*",
  "**",
  "***",
  "*/",
  "**/",
  "/*",
  "/**",
  "*/a",
  "**/a",
  "/**/a",
  "**/*",
  "**/x",
  "**/x/",
  "**/x/**",
  "x/**/a",
  "x/***/a",
  "x/**/**/a",
  "x/**/*",
  "x/**a",
  "x**/a",
  "x**a",
  "**a",
  "a**",
  "foo**/bar",
  "/foo**",
  "foo**",
  "c/foo**/bar",
  "c/foo**/x/bar",
  "c/**o/bar",
  "c/f**/bar",
  "c/?**/bar",
  "c/**\\/bar",
  "x\\/a",
  "x/\\a",
  "*.o",
  "*.b",
  "?",
  "??",
  "???",
  "a?",
  "?/a",
  "x?a",
  "*?",
  "?*",
  "[a]",
  "[ab]",
  "[a-c]",
  "[c-a]",
  "[!a]",
  "[^a]",
  "[!a-c]",
  "[!c-a]",
  "[]]",
  "[!]]",
  "[]a]",
  "[a-]",
  "[-a]",
  "[--a]",
  "[a-c-z]",
  "[\\]]",
  "[\\a]",
  "[\\\\]",
  "[a\\]",
  "[\\a-\\c]",
  "[a-\\c]",
  "[!\\^]",
  "[*]",
  "a[*]",
  "[?]",
  "a[?]",
  "[",
  "[a",
  "a[",
  "[!",
  "[!]",
  "[]",
  "[a]b",
  "[[]a]",
  "\\[a]",
  "\\[a\\]",
  "[[:alpha:]]",
  "[[:alpha:]1]",
  "[[:digit:]]",
  "[![:alpha:]]",
  "[[:punct:]]",
  "[[:upper:]]",
  "[[:lower:]]*",
  "[[:space:]]",
  "a[[:space:]]b",
  "a[[:blank:]]b",
  "[[:nothing:]]",
  "[[:alpha:]",
  "[[:alpha]",
  "[[:]a]",
  "[[::]a]",
  "[[:alpha:]-z]",
  "[a[:digit:]]",
  "x[/]a",
  "x[!a]a",
  "x/[!a]",
  "[x]/a",
  "{a,b}",
  "\\{a,b}",
  "ü",
  "[ü]",
  "[!ü]",
  "e/?/*",
  "e/??/*",
  "e/*/??",
  "*[ü]",
  "a*c",
  "a*b*c",
  "*a*b*",
  "d/a/**/b",
  "d/*/b",
  "d/**/a/b",
  "d/**/a/",
  "d/a\n!d/a/a",
  "d/*\n!d/a",
  ".*",
  ".?",
  "e/\\*\\*",
  "e/\\*",
  "e/[*]*",
  "~",
  "_",
  "-",
  "^",
  "]",
];

/** Each file of patterns in a directory of its own, with all paths. */
async function compare(files: readonly string[]): Promise<void> {
  using repository = new Repository();
  const paths = files.flatMap((text, i) => {
    repository.write(`${i}/.gitignore`, text);
    return PATHS.map((path) => `${i}/${path}`);
  });
  repository.make(...paths);
  await agree(repository.path, paths, (path) => JSON.stringify(files[Number.parseInt(path)]));
}

test("files of patterns that are easily taken wrong", settings, async () => {
  await compare(FILES);
});

test("files of random patterns", settings, async () => {
  const random = wholeNumbers(seed);
  const parts = [
    ..."aabbcxyfo*?[]!^-\\/# .\n",
    "**",
    "**/",
    "/**",
    "[:alpha:]",
    "[!",
    "\n!",
    "foo",
    "bar",
    "/\n",
    "ü",
  ];
  const text = () =>
    Array.from({ length: 1 + random(9) }, () => parts[random(parts.length)]).join("");
  await compare(Array.from({ length: 300 }, text));
});

test("stars in numbers take no time", () => {
  const long = "a".repeat(255);
  const deep = `${"a/".repeat(500)}a`;
  const cases: readonly (readonly [file: string, path: string, isMatch: boolean])[] = [
    ["*a".repeat(50), long, true],
    ["*a".repeat(50) + "b", long, false],
    ["?*".repeat(50) + "b*", long, false],
    ["/**/" + "*a/**/".repeat(50) + "a", deep, true],
    ["/**/" + "*a/**/".repeat(50) + "b", deep, false],
    ["/**/" + "*a*a*/**/".repeat(50) + "b", deep.replaceAll("a", "aaaa"), false],
    ["*a".repeat(300), long, false],
    ["[a]".repeat(1365), deep, false],
    ["/**/" + "*a/**/".repeat(300) + "b", deep, false],
  ];
  for (const [file, path, isMatch] of cases) {
    const since = performance.now();
    const [pattern] = parsePatterns(file);
    assert.equal(pattern!.matches.test(path), isMatch, file);
    assert(performance.now() - since < 1000, `${file}: ${performance.now() - since} ms`);
  }
  const since = performance.now();
  assert.deepEqual(parsePatterns(`a${" ".repeat(100_000)}b\n${"\\".repeat(100_000)}`), []);
  assert(performance.now() - since < 1000, `${performance.now() - since} ms`);
});

test("files at every depth, and info/exclude", settings, async () => {
  const random = wholeNumbers(seed);
  const names = ["a", "b", "c.o", "d"];
  const anyOf = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const line = () => {
    const path = Array.from(
      { length: 1 + random(3) },
      () => anyOf([...names, "*", "**", "?", "*.o"]),
    );
    return anyOf(["", "", "!"]) + anyOf(["", "", "/"]) + path.join("/") + anyOf(["", "", "/"]);
  };
  using repository = new Repository();
  const paths: string[] = [];
  const rules: string[] = [];
  const fill = (directory: string, depth: number) => {
    for (const name of names) {
      const isDirectory = depth > 0 && random(3) > 0;
      paths.push(directory + name + (isDirectory ? "/" : ""));
      if (isDirectory) fill(`${directory}${name}/`, depth - 1);
    }
    const lines = Array.from({ length: 1 + random(4) }, line);
    if (depth > 0 && random(3) > 0) rules.push(`${directory}.gitignore: ${lines}`);
    else return;
    repository.write(`${directory}.gitignore`, lines.join("\n"));
  };
  for (let n = 0; n < 20; n++) fill(`${n}/`, 4);
  repository.write(".git/info/exclude", "b/**/a\n!?.o\n5/\n");
  repository.make(...paths);
  await agree(
    repository.path,
    paths,
    (path) => rules.filter((rule) => rule.startsWith(`${Number.parseInt(path)}/`)).join("; "),
  );
});

test("where the files are", settings, async () => {
  using repository = new Repository();
  const { path: root } = repository;
  repository.write(".gitignore", "*.top\n");
  repository.write(".git/info/exclude", "*.excluded\n");
  const files = (under: string) =>
    ["f", "f.top", "f.excluded", "f.own"].map((name) => under + name);
  const ignored = async (under: string, where = root) => {
    const paths = files(under);
    const answers = await ignoredBelow(where, paths);
    return paths.filter((_, i) => answers[i]).map((path) => path.slice(under.length + 1));
  };
  const is = async (under: string, expected: string, where?: string) =>
    assert.equal((await ignored(under, where)).join(), expected, under);

  repository.make("d/e/", ...files("d/e/"));
  await is("d/e/", ".top,.excluded");
  await is("e/", ".top,.excluded", repository.at("d"));

  // A repository in it goes by its own files, and is a path as any other for the outer one.
  repository.write("inner/.gitignore", "*.own\n");
  await is("inner/", ".top,.excluded,.own");
  shell(repository.at("inner"), "git init -q");
  await is("inner/", ".own");
  await agree(repository.at("inner"), files(""), () => "inner");

  // A worktree has the exclude of its repository.
  shell(
    root,
    `git add .gitignore
    git -c user.name=n -c user.email=e commit -q -m m
    git worktree add -q tree`,
  );
  repository.make(...files("tree/d/"));
  await is("tree/d/", ".top,.excluded");
  await agree(repository.at("tree"), files("d/"), () => "tree");

  // A .gitignore that is a symlink counts for nothing, for us as for git.
  repository.write("linked/own", "*.own\n");
  symlinkSync("own", repository.at("linked/.gitignore"));
  await is("linked/", ".top,.excluded");
  await agree(root, files("linked/"), () => "linked");

  // Nor does a fifo, which nobody waits for.
  repository.make("waiting/");
  execFileSync("mkfifo", [repository.at("waiting/.gitignore")]);
  await is("waiting/", ".top,.excluded");
  repository.write("fake/.git", "gitdir: away\n");
  repository.make("fake/away/");
  execFileSync("mkfifo", [repository.at("fake/away/commondir")]);
  await is("fake/", "");

  // Through a symlink that leads into the repository.
  using elsewhere = new TemporaryDirectory();
  symlinkSync(repository.at("d"), join(elsewhere.path, "link"));
  await is("link/e/", ".top,.excluded", elsewhere.path);

  // Outside of every repository.
  writeFileSync(join(elsewhere.path, ".gitignore"), "*");
  await is("", "", elsewhere.path);

  const ignores = await gitignore();
  assert(ignores(repository.at(".git"), true) && ignores(repository.at("tree/.git"), false));
  assert(!ignores(repository.at(".git/x.top"), false), "git's own files are nobody's");
});

for (const backend of ["fanotify", "inotify"] as const) {
  test(`${backend}: what git ignores is not told`, settings, async () => {
    using repository = new Repository();
    const { path: root } = repository;
    repository.write(".gitignore", "dist/\n*.log\n!keep.log\n");
    repository.make("src/", "dist/");
    const options = { backend, events: ["create"], ignore: await gitignore() };
    // Watched for itself is also what git ignores.
    await using inner = new Seen(root, repository.at("dist"), options);
    await using seen = new Seen(root, repository.at(""), options);
    await Promise.all([seen.watcher.ready, inner.watcher.ready]);
    repository.make("src/f", "src/f.log", "src/keep.log", "dist/f", "dist/f.log", ".git/f");
    repository.make("src/end", "dist/end");
    assert.deepEqual(await inner.upTo("dist/end"), ["create.file dist/f"]);
    const before = await seen.upTo("src/end");
    assert.deepEqual(before.sort(), ["create.file src/f", "create.file src/keep.log"]);
    // What is written into the files counts for what comes after it.
    repository.write(".gitignore", "*.new\n");
    repository.write("src/.gitignore", "build\n");
    repository.make("src/g.new", "src/g.log", "src/build/g", "dist/g", "src/end2");
    const after = await seen.upTo("src/end2");
    assert.deepEqual(after.sort(), ["create.file src/.gitignore", "create.file src/g.log"]);
  });
}

test("a repository that is made in a watched tree", settings, async () => {
  using ground = new Ground();
  const { path: root } = ground;
  const options = { events: ["create"], recover: "signal", ignore: await gitignore() } as const;
  await using seen = new Seen(root, root, options);
  await seen.watcher.ready;
  shell(root, "mkdir p; cd p; echo dist > .gitignore; mkdir dist; : > dist/f; : > end1");
  const before = await seen.upTo("p/end1");
  assert.deepEqual(before.sort(), [
    "create.directory p",
    "create.directory p/dist",
    "create.file p/.gitignore",
    "create.file p/dist/f",
  ]);
  shell(root, "cd p; git init -q; mkdir d; mkdir d/dist; : > d/dist/f; : > end2");
  assert.deepEqual(await seen.upTo("p/end2"), ["create.directory p/d"]);
});

test("a snapshot of what git does not ignore", settings, async () => {
  using repository = new Repository();
  const { path: root } = repository;
  repository.write(".gitignore", "dist/\n");
  repository.make("dist/f", "src/f");
  const options = { ignore: await gitignore() };
  const before = await snapshot(root, options);
  repository.make("dist/g", "src/g", ".git/g");
  const told: string[] = [];
  for await (const { kind, path } of changesSince(before, options)) told.push(`${kind} ${path}`);
  assert.deepEqual(told, [`create.file ${join(root, "src/g")}`]);
});

test("--gitignore", settings, async () => {
  using repository = new Repository();
  const { path: root } = repository;
  repository.write(".gitignore", "dist/\n");
  repository.make("dist/f", "src/f");
  using home = new TemporaryDirectory();
  const flags = isDeno ? ["--allow-ffi", "--no-prompt", "--quiet"] : [];
  const run = async (...args: string[]) => {
    const command = [process.execPath, "run", ...flags, moduleFile("cli.ts"), ...args];
    const { status, stdout, stderr } = await finish(command, home.path, 30_000);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const file = join(home.path, "snapshot");
  await run("snapshot", "--gitignore", root, file);
  repository.make("dist/g", "src/g");
  const told = await run("since", "--gitignore", "--format", "%k %p", file);
  assert.equal(told, `create.file ${repository.at("src/g")}\n`);
});
