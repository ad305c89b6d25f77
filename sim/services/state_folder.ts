import { connectUnix } from "#connect-unix";
import { randomBytes } from "node:crypto";
import { lstat, mkdir, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** Anybody's right to write, in the mode of a folder. */
const WRITABLE_BY_ALL = 0o002;

/**
 * Folder of a running simulator, in which other processes find its socket and files. A file appears whole, and never
 * through a link that somebody else has put in its place.
 */
export class StateFolder implements AsyncDisposable {
  /** Absolute path. */
  readonly path: string;
  readonly #isOwn: boolean;
  readonly #written = new Set<string>();

  private constructor(path: string, isOwn: boolean) {
    this.path = path;
    this.#isOwn = isOwn;
  }

  /**
   * Opens a folder.
   *
   * @param path Folder, made unless it is there. Default: a fresh one that only its owner can read, removed at the end
   * @throws {TypeError} When it is no folder, or everybody may write to it
   */
  static async open(path: string | undefined): Promise<StateFolder> {
    if (path === undefined) return new StateFolder(await mkdtemp(join(tmpdir(), "enclave-kms-sim-")), true);
    const absolute = resolve(path);
    await mkdir(absolute, { recursive: true, mode: 0o700 }).catch(() => {});
    const found = await stat(absolute).catch(() => undefined);
    if (found?.isDirectory() !== true) throw new TypeError("folder must be a folder that can be made");
    if ((found.mode & WRITABLE_BY_ALL) !== 0) throw new TypeError("folder must not be writable by everybody");
    return new StateFolder(absolute, false);
  }

  /** Path of an entry. */
  at(name: string): string {
    return join(this.path, name);
  }

  /** Writes a file that only its owner can read, in the place of one that an earlier simulator has left. */
  async write(name: string, content: string): Promise<string> {
    const path = this.at(name);
    const staged = this.at(`.${name}.${randomBytes(6).toString("hex")}`);
    try {
      await writeFile(staged, content, { flag: "wx", mode: 0o600 });
      await rename(staged, path);
    } catch (error) {
      await rm(staged, { force: true });
      throw new TypeError(`folder must be one that can be written${codeOf(error)}`);
    }
    this.#written.add(name);
    return path;
  }

  /**
   * Makes room for a socket.
   *
   * @throws {TypeError} When something else is there, or a simulator that still runs
   */
  async clearSocket(name: string): Promise<string> {
    const path = this.at(name);
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined) return path;
    if (!found.isSocket()) throw new TypeError(`folder must have no ${name} that is not a socket`);
    const stream = await connectUnix(path).catch(() => undefined);
    stream?.destroy();
    if (stream !== undefined) throw new TypeError("folder must be that of no other running simulator");
    await rm(path);
    return path;
  }

  /** Removes what was written; all of a folder of its own. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOwn) return await rm(this.path, { recursive: true, force: true });
    for (const name of this.#written) await rm(this.at(name), { force: true });
  }
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && /^[A-Z]{2,20}$/.test(code) ? `: ${code}` : "";
}
