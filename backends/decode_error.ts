/** What the kernel cannot have sent: a record that is cut, or runs past the end of what was read. */
export class DecodeError extends Error {
  override name = "DecodeError";
  /** Where in the buffer, in bytes. */
  readonly offset: number;

  constructor(what: string, offset: number, state: string) {
    super(`Cannot decode ${what} at byte ${offset}: ${state}`);
    this.offset = offset;
  }
}
