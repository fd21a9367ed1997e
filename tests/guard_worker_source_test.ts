/** The responder's thread is started from a source that is written beforehand: it has to be what the modules say. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import test from "node:test";
import { WORKER_SOURCE } from "../guard/worker_source.ts";
import { bundle, BUNDLES } from "../scripts/bundle_worker.ts";
import { isInstalled } from "../scripts/real_work/process.ts";
import { Guarded, whyUnguarded } from "./guarded.ts";
import { isDeno, moduleFile } from "./runtime.ts";

for (const one of BUNDLES) {
  test(`${one.file} is what scripts/bundle_worker.ts writes`, {
    skip: isInstalled("bun") ? false : "bun is not installed",
  }, () => {
    const written = readFileSync(moduleFile(one.file), "utf8");
    assert(written === bundle(one), "it is behind: deno run -A scripts/bundle_worker.ts");
  });
}

test("the responder's thread imports nothing that is not part of the runtime", () => {
  const specifiers = [...WORKER_SOURCE.matchAll(/\b(?:from|import)\s*\(?\s*"([^"]+)"/g)]
    .map(([, specifier]) => specifier!);
  assert(specifiers.length > 0);
  for (const specifier of specifiers) assert.match(specifier, /^(node:|bun:)/);
});

// Bun's alone: `deno compile` downloads the runtime that it puts into the executable.
if (!isDeno) {
  test("bun build --compile: one file guards", {
    skip: whyUnguarded("tmpfs"),
    timeout: 60_000,
  }, async () => {
    using files = new Guarded();
    const script = join(files.base, "script.ts");
    const executable = join(files.base, "executable");
    writeFileSync(
      script,
      `
        import process from "node:process";
        import { guard } from ${JSON.stringify(moduleFile("mod.ts"))};
        const [path, opener] = process.argv.slice(2);
        const gate = guard(path, {
          rules: [{ path: "ruled", verdict: "deny" }],
          decide: async () => "deny",
        });
        await gate.ready;
        for (const name of ["ruled", "file"]) {
          const used = Bun.spawn([opener, "1", "open", path + "/" + name], { stdout: "pipe" });
          console.log(JSON.parse(await new Response(used.stdout).text()).errno);
        }
        const { byRule, byDecide } = gate.stats();
        console.log(byRule, byDecide);
        await gate.close();
      `,
    );
    const build = [process.execPath, "build", "--compile", script, "--outfile", executable];
    const built = await files.run(...build);
    assert.equal(built.status, 0, built.stderr);
    for (const name of ["ruled", "file"]) files.file(name);
    const { status, stdout, stderr } = await files.run(executable, files.path, files.opener);
    assert.deepEqual([status, stdout, stderr], [0, "EPERM\nEPERM\n1 1\n", ""]);
  });
}
