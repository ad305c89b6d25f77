import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** It fetches nothing of its own accord, and keeps nothing. As root it has no sandbox to start. */
export const CHROMIUM_FLAGS: readonly string[] = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * Opens a page in a headless Chromium with a fresh profile.
 *
 * @param url The page
 * @param program Debian's is `chromium`
 * @returns Ends it and removes the profile when disposed; `gone` gives the reason when it ended by itself
 */
export function openInChromium(url: string, program: string): AsyncDisposable & { gone: Promise<Error> } {
  const profile = mkdtempSync(join(tmpdir(), "enclave-kms-chromium-"));
  const browser = spawn(program, [...CHROMIUM_FLAGS, `--user-data-dir=${profile}`, url], {
    stdio: ["ignore", "ignore", "pipe"],
    detached: true, // with a process group of its own, for its many processes
  });
  let said = "";
  browser.stderr.on("data", (chunk) => said = `${said}${chunk}`.slice(-4000));
  const exited = once(browser, "exit");
  const gone = exited.then(
    ([code]) => new Error(`${program} ended with ${code}:\n${said}`),
    (error: unknown) =>
      new Error(`Cannot start ${program}: is it installed, or named by CHROMIUM?`, { cause: error }),
  );
  return {
    gone,
    [Symbol.asyncDispose]: async () => {
      if (browser.pid !== undefined && browser.exitCode === null && browser.signalCode === null) {
        process.kill(-browser.pid, "SIGKILL");
        await exited;
      }
      rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}

/**
 * Works with a headless Chromium of a fresh profile, whose DevTools can be asked.
 *
 * @param program Debian's is `chromium`
 * @param flags More flags
 * @param work Gets the browser, which is ended afterwards
 * @returns Result of `work`
 */
export async function inChromium<T>(
  program: string,
  flags: readonly string[],
  work: (browser: ChildProcess) => Promise<T>,
): Promise<T> {
  const profile = mkdtempSync(join(tmpdir(), "enclave-kms-page-"));
  const all = [...CHROMIUM_FLAGS, ...flags, "--remote-debugging-port=0", `--user-data-dir=${profile}`];
  const browser = spawn(program, [...all, "about:blank"], {
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  const exited = once(browser, "exit");
  try {
    return await work(browser);
  } finally {
    if (browser.pid !== undefined && browser.exitCode === null) process.kill(-browser.pid, "SIGKILL");
    await exited;
    rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
  }
}
