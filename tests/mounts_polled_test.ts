/** What is mounted and unmounted in a tree that is polled, and over a path. */

import { testSteps } from "./mounted_over.ts";

testSteps("poll", { backend: "poll" });
