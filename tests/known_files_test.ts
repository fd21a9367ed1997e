/** What is known of files between two looks. */

import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { openLibc } from "../ffi/libc.ts";
import { encodeText } from "../ffi/text.ts";
import { KnownFiles } from "../watch/known_files.ts";
import { TemporaryDirectory } from "./runtime.ts";

const libc = await openLibc();

/** A file, and what is known of it. */
class Known extends TemporaryDirectory {
  readonly file = join(this.path, "file");
  readonly bytes = encodeText(this.file);
  readonly files = new KnownFiles(libc, {
    kept: 0,
    root: encodeText(this.path),
    followsSymlinks: false,
  });

  constructor() {
    super();
    writeFileSync(this.file, "");
  }

  /** Changes the file, until the kernel's clock has ticked. */
  change(): void {
    const changed = () => this.files.read(this.bytes, false)!.changed;
    const before = changed();
    do chmodSync(this.file, 0o600); while (changed() === before);
  }

  /** Notes what is there as if it was `later`, in ms. */
  note(isTold: boolean, later = 0): void {
    const { now } = Date;
    Date.now = () => now() + later;
    try {
      this.files.note(this.files.read(this.bytes, false)!, isTold);
    } finally {
      Date.now = now;
    }
  }
}

test("a file that was looked at just when it changed is looked at again", () => {
  using known = new Known();
  known.note(false);
  assert.equal(known.files.isSame(known.bytes, false), false);
  known.note(false, 3000);
  assert.equal(known.files.isSame(known.bytes, false), true);
  known.change();
  assert.equal(known.files.isSame(known.bytes, false), false);
});

test("a part that is noted leaves the rest in doubt, or not", () => {
  using known = new Known();
  for (const later of [0, 3000]) {
    known.note(false, later);
    known.files.notePart(known.files.read(known.bytes, false)!, { links: 1 });
    assert.equal(known.files.isSame(known.bytes, false), later > 0);
  }
});

test("what nobody was told of is looked at again, also where its time is that of what was before", () => {
  using known = new Known();
  known.note(true, 3000);
  assert.equal(known.files.isSame(known.bytes, false), true);
  known.files.revert(known.files.read(known.bytes, false)!);
  assert.equal(known.files.isSame(known.bytes, false), false);
});

test("a change that was told stays told until there is another", () => {
  using known = new Known();
  const isTold = () => known.files.seen(known.files.read(known.bytes, false)!, known.bytes)!.isTold;
  known.note(false);
  assert.equal(isTold(), false);
  known.note(true);
  known.note(false);
  assert.equal(isTold(), true);
  known.change();
  known.note(false);
  assert.equal(isTold(), false);
});
