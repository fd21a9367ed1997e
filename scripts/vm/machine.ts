/**
 * A virtual machine: a kernel of its own on the host's files, which it cannot change.
 *
 * It is a user-mode Linux, which is a process of the host, so it needs nothing of the processor, and what runs in it runs as
 * fast as outside but for system calls and page faults. Measured against qemu without KVM: abi_test takes 19 s in place of
 * 45, audit_details_test 2 s in place of 12, arming_test 16 s in place of 172.
 *
 * Each run of pages of a process in it is a mapping of a process of the host, which may have `vm.max_map_count` of them,
 * 65,530 by default: that are 256 MiB at worst. One that needs more gets SIGSEGV, and the kernel says why.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const INIT = fileURLToPath(new URL("init", import.meta.url).href);

/** What the kernel is told. */
const KERNEL_ARGUMENTS = [
  "mem=4096M", // the host gives what is used of it
  ...["rootfstype=hostfs", "rootflags=/", "ro"],
  ...["con=null", "con0=null,fd:2", "con1=null,fd:1", "ssl=null", "console=tty0"],
  "bdev_allow_write_mounted=1", // as every distribution: mount(8) opens a loop device after it is mounted
  "panic=-1",
  "loglevel=6",
];

/** How a job ended. */
export interface JobResult {
  /** Its exit status; undefined where the machine ended without it. */
  readonly status: number | undefined;
  /** What the kernel said. */
  readonly console: string;
}

/** Where a job runs, and for how long. */
export interface JobInit {
  /** The path of the kernel's program. */
  readonly kernel: string;
  /** The directory that it begins in, on the host. */
  readonly repository: string;
  /** A shell script, run as root. */
  readonly job: string;
  /** Called with what it writes. */
  readonly onOutput: (text: string) => void;
  /** How long it may write nothing, in ms; then the machine is ended, whatever it does. */
  readonly silence: number;
}

/**
 * Starts a machine, runs a job in it, and ends it.
 *
 * The job finds the host's files below `/`, read-only, and empty directories of an ext4 of its own at /tmp and /var/tmp.
 */
export async function runInMachine(init: JobInit): Promise<JobResult> {
  const directory = mkdtempSync(join(tmpdir(), "sentinode-vm-"));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    const job = join(directory, "job");
    writeFileSync(job, init.job);
    // What is behind `--` goes to the first process.
    const told = [`init=${INIT}`, `uml_dir=${directory}`, "--", init.repository, job];
    return await start([init.kernel, ...KERNEL_ARGUMENTS, ...told], init);
  } finally {
    remove();
    process.off("exit", remove);
  }
}

/** What `init` writes at the end. */
const STATUS = /^vm: (\d+)$/m;

let started = 0;

/**
 * One of the processors that this process may use, in turn. The kernel and each process in it are processes of the host that
 * never run at the same time, and to wake one on another processor takes three times as long.
 */
function nextProcessor(): string {
  const status = readFileSync("/proc/self/status", "utf8");
  const ranges = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)![1]!.split(",");
  const processors = ranges.flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
  });
  return String(processors[started++ % processors.length]);
}

/** Runs a kernel until it has ended. */
function start(
  command: readonly string[],
  { onOutput, silence }: JobInit,
): Promise<JobResult> {
  return new Promise((resolve, reject) => {
    // It ends with this process, however that does, and all of the machine with it.
    const args = ["--pdeathsig", "KILL", "taskset", "--cpu-list", nextProcessor(), ...command];
    const machine = spawn("setpriv", args, {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const end = () => process.kill(-machine.pid!, "SIGKILL");
    const timer = setTimeout(end, silence);
    process.once("exit", end);
    let [last, console] = ["", ""];
    machine.stdout.setEncoding("utf8").on("data", (text: string) => {
      timer.refresh();
      last = (last + text).slice(-100);
      onOutput(text);
    });
    machine.stderr.setEncoding("utf8").on("data", (text: string) => console += text);
    const ended = () => {
      clearTimeout(timer);
      process.off("exit", end);
    };
    machine.on("error", (error) => {
      ended();
      reject(error);
    });
    machine.on("close", () => {
      ended();
      const status = STATUS.exec(last)?.[1];
      resolve({ status: status === undefined ? undefined : Number(status), console });
    });
  });
}
