/**
 * Runs all scenarios one way and prints what was told of each as one line of JSON: for users other than the one who tests.
 *
 * @module
 */

import process from "node:process";
import { type Mode, runScenario, SCENARIOS, type Way } from "./scenario.ts";

const way = process.argv[2] as Way;
const absent = process.argv.slice(3);
for (const scenario of SCENARIOS.filter(({ needs }) => !absent.includes(needs))) {
  for (const mode of Object.keys(scenario.told) as Mode[]) {
    const { name } = scenario;
    try {
      console.log(JSON.stringify({ name, mode, told: await runScenario(scenario, mode, way) }));
    } catch (error) {
      console.log(JSON.stringify({ name, mode, error: String(error) }));
    }
  }
}
