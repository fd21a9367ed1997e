/**
 * A virtual machine: a kernel of its own on the host's files, which it cannot change.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const INIT = fileURLToPath(new URL("init", import.meta.url).href);

/** Of memory, in MB; the host gives what is used of it. */
const MEMORY = 4096;
/** Of the disk of its own, in bytes; a sparse file. */
const DISK = 8 * 1024 ** 3;

/**
 * Software emulation. The machine's clock goes on by what is executed, a nanosecond an instruction, so that programs find it
 * as fast as any, and no deadline passes because the host is slow; of one processor, for Linux 6.1 waits forever for a second one under such a
 * clock (qemu 7.2). Registers of 256 bits cost more than they give.
 */
const EMULATION = [
  ...["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on"],
  ...["-cpu", "max,-avx,-avx2", "-smp", "1"],
];

/**
 * What the kernel is told. The clock of the processor is right under emulation, and the kernel's doubts about it would make
 * each look at the time a system call; nobody attacks.
 */
const KERNEL_ARGUMENTS = [
  "console=ttyS0",
  "root=/dev/root",
  "rootfstype=9p",
  "rootflags=trans=virtio,version=9p2000.L,cache=loose,msize=512000",
  "ro",
  "tsc=reliable",
  "no_timer_check",
  "random.trust_cpu=on",
  "bdev_allow_write_mounted=1", // as every distribution: mount(8) opens a loop device after it is mounted
  "nokaslr",
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
  /** The path of the kernel's image. */
  readonly image: string;
  /** The directory that it begins in, on the host. */
  readonly repository: string;
  /** A shell script, run as root. */
  readonly job: string;
  /** Called with what it writes. */
  readonly onOutput: (text: string) => void;
  /** In ms; then the machine is ended, whatever it does. */
  readonly deadline: number;
}

/**
 * Starts a machine, runs a job in it, and ends it.
 *
 * The job finds the host's files below `/`, read-only, and empty directories of an ext4 of its own at /tmp and /var/tmp.
 */
export async function runInMachine(init: JobInit): Promise<JobResult> {
  const { image, repository, job, onOutput, deadline } = init;
  const directory = mkdtempSync(join(tmpdir(), "sentinode-vm-"));
  const path = (name: string) => join(directory, name);
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    writeFileSync(path("job"), job);
    for (const name of ["disk", "console"]) writeFileSync(path(name), "");
    truncateSync(path("disk"), DISK);
    // What is behind `--` goes to the first process.
    const told = [...KERNEL_ARGUMENTS, `init=${INIT}`, "--", repository, path("job")].join(" ");
    const status = await start(
      [
        ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
        ...EMULATION,
        ...["-m", `${MEMORY}`, "-kernel", image, "-append", told],
        ...["-serial", `file:${path("console")}`],
        ...["-device", "virtio-serial-pci"],
        ...["-chardev", "stdio,id=output,signal=off", "-device", "virtconsole,chardev=output"],
        ...["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"],
        ...["-device", "virtio-9p-pci,fsdev=root,mount_tag=/dev/root"],
        ...["-drive", `file=${path("disk")},if=none,id=disk,format=raw,cache=unsafe`],
        ...["-device", "virtio-blk-pci,drive=disk"],
      ],
      onOutput,
      deadline,
    );
    return { status, console: readFileSync(path("console"), "utf8") };
  } finally {
    remove();
    process.off("exit", remove);
  }
}

/** What `init` writes at the end. */
const STATUS = /^vm: (\d+)$/m;

/** Runs qemu until the machine has ended. */
function start(
  args: readonly string[],
  onOutput: (text: string) => void,
  deadline: number,
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const qemu = spawn("qemu-system-x86_64", args, { stdio: ["ignore", "pipe", "inherit"] });
    const end = () => qemu.kill("SIGKILL");
    const timer = setTimeout(end, deadline);
    process.once("exit", end);
    let last = "";
    qemu.stdout.setEncoding("utf8").on("data", (text: string) => {
      last = (last + text).slice(-100);
      onOutput(text);
    });
    const ended = () => {
      clearTimeout(timer);
      process.off("exit", end);
    };
    qemu.on("error", (error) => {
      ended();
      reject(error);
    });
    qemu.on("close", () => {
      ended();
      const status = STATUS.exec(last)?.[1];
      resolve(status === undefined ? undefined : Number(status));
    });
  });
}
