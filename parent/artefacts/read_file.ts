import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Deadline } from "../../lib/core/deadline.ts";
import { missingRight } from "../../lib/core/missing_right.ts";
import { ArtefactError, type ArtefactReason } from "./artefact_error.ts";

/**
 * Reads a file whole. Symbolic links are followed: the path comes from the operator, and what Kubernetes mounts is a
 * link. Only a regular file is read, so that a pipe or a device makes nobody wait.
 *
 * @param path Absolute path
 * @param maxBytes Most bytes that are read
 * @param deadline Deadline of the call
 * @throws {ArtefactError} When it is not there, not readable, no file, too large, or written to meanwhile
 */
export async function readFileArtefact(
  path: string,
  maxBytes: number,
  deadline: Deadline,
): Promise<Uint8Array> {
  const file = await openFile(path);
  try {
    const before = await file.stat();
    if (!before.isFile()) throw refused(path, "refused", "it is no regular file", "Name a file");
    if (before.size > maxBytes) throw tooLarge(path, maxBytes);
    // One byte more than is there: a file that has grown shows.
    const bytes = new Uint8Array(before.size + 1);
    const length = await deadline.race(readAll(file, bytes));
    const after = await file.stat();
    if (length === before.size && after.size === before.size && after.mtimeMs === before.mtimeMs) {
      return bytes.slice(0, length);
    }
    throw refused(path, "changed", "it was written to meanwhile", "Write a new file, and rename it in place");
  } finally {
    await file.close();
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const { code } = cause as { code?: string };
    const isMissing = code === "ENOENT" || code === "ENOTDIR";
    const hint = missingRight(cause, path) ??
      (isMissing ? "Is the path right?" : "May this process read the file?");
    const why = isMissing ? "there is no such file" : "it cannot be opened";
    throw refused(path, isMissing ? "missing" : "denied", why, hint, cause);
  }
}

async function readAll(file: FileHandle, bytes: Uint8Array): Promise<number> {
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}

function tooLarge(path: string, maxBytes: number): ArtefactError {
  const hint = "Is it the right file? Raise maxBytes if it is";
  return refused(path, "too-large", `it has more than ${maxBytes} bytes`, hint);
}

function refused(
  path: string,
  reason: ArtefactReason,
  why: string,
  hint: string,
  cause?: unknown,
): ArtefactError {
  return new ArtefactError(`Cannot read artefact ${JSON.stringify(path)}: ${why}`, { reason, hint, cause });
}
