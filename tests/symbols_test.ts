/**
 * The symbol table against the prototypes in libc's headers: a C++ program takes each function's type apart.
 */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type CFunction, type CType, SYMBOLS } from "../ffi/symbols.ts";

const HEADERS = [
  "dirent.h",
  "fcntl.h",
  "poll.h",
  "signal.h",
  "spawn.h",
  "sys/epoll.h",
  "sys/eventfd.h",
  "sys/fanotify.h",
  "sys/inotify.h",
  "sys/socket.h",
  "sys/stat.h",
  "sys/statfs.h",
  "sys/xattr.h",
  "unistd.h",
];

/** What each notation stands for, as the program prints it: pointer, signed or unsigned, and its width in bytes. */
const SHAPES: Readonly<Record<CType, string>> = {
  i16: "s2",
  i32: "s4",
  u32: "u4",
  u64: "u8",
  isize: "s8",
  usize: "u8",
  buffer: "p8",
};

/** Parameters behind a `...`, which no prototype tells: what the man page says is passed there. */
const VARIADIC: Readonly<Record<string, readonly CType[]>> = {
  open: ["u32"], // open(2): mode_t
  openat: ["u32"],
  syscall: ["usize", "usize", "usize", "usize", "usize"], // syscall(2): registers
};

const names = Object.keys(SYMBOLS);
const table: Readonly<Record<string, CFunction>> = SYMBOLS;

const PROGRAM = `
${HEADERS.map((header) => `#include <${header}>`).join("\n")}
#include <cstdio>
#include <type_traits>

template <class T> void shape() {
  std::printf(" %c%zu", std::is_pointer_v<T> ? 'p' : std::is_signed_v<T> ? 's' : 'u', sizeof(T));
}
template <class R, class... A> void show(const char *name, R (*)(A...)) {
  std::printf("%s", name); shape<R>(); (shape<A>(), ...); std::printf("\\n");
}
template <class R, class... A> void show(const char *name, R (*)(A..., ...)) {
  std::printf("%s", name); shape<R>(); (shape<A>(), ...); std::printf("\\n");
}
int main() {
${names.map((name) => `  show("${name}", &::${name});`).join("\n")}
}
`;

const compiler = spawnSync("c++", ["--version"]).status === 0;

/** Result and parameters of each function, as the headers have them. */
function prototypes(): Map<string, string> {
  const directory = mkdtempSync(join(tmpdir(), "sentinode-test-"));
  try {
    const source = join(directory, "show.cc");
    writeFileSync(source, PROGRAM);
    execFileSync("c++", ["-std=c++17", "-D_GNU_SOURCE", "-o", join(directory, "show"), source]);
    const output = execFileSync(join(directory, "show"), { encoding: "utf8" });
    return new Map(
      output.trim().split("\n").map((line) => {
        const [name, ...shapes] = line.split(" ");
        return [name!, shapes.join(" ")];
      }),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function shapes(name: string): string {
  const { parameters, result } = table[name]!;
  const extra = VARIADIC[name]?.length ?? 0;
  return [result, ...parameters.slice(0, parameters.length - extra)]
    .map((type) => SHAPES[type]).join(" ");
}

test("the symbol table is that of libc's headers", {
  skip: compiler ? false : "no C++ compiler (c++)",
}, () => {
  const found = prototypes();
  assert.equal(found.size, names.length);
  for (const name of names) assert.equal(shapes(name), found.get(name), name);
});

test("a wrong width would be noticed", {
  skip: compiler ? false : "no C++ compiler (c++)",
}, () => {
  assert.notEqual(shapes("read").replace("s8", "s4"), prototypes().get("read"));
});

test("what is passed behind an ellipsis is in the table", () => {
  for (const [name, types] of Object.entries(VARIADIC)) {
    assert.deepEqual(table[name]!.parameters.slice(-types.length), types, name);
  }
});
