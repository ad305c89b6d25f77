import process from "node:process";
import { loader } from "#loader";
import { LIBCRYPTO_SYMBOLS, OPENSSL_INIT_NO_ATEXIT, OPENSSL_VERSION } from "../../ffi/libcrypto_symbols.ts";
import { LoadFailure, type NativeLibrary, type Pointer } from "../../ffi/symbols.ts";
import { LibraryLoadError, OpensslError } from "../core/errors.ts";
import { isGranted } from "./deno_rights.ts";
import { cString, libc } from "./libc.ts";
import { openLibrary } from "./open_library.ts";

/** Variable that names libcrypto's file, or is `off`. */
export const LIBCRYPTO_VARIABLE = "ENCLAVE_KMS_LIBCRYPTO";

/** Algorithms that OpenSSL's providers gave, which live as long as the process. */
export interface OpensslAlgorithms {
  readonly aes256Gcm: Pointer<"EVP_CIPHER">;
  readonly aes256Cbc: Pointer<"EVP_CIPHER">;
  readonly sha256: Pointer<"EVP_MD">;
  readonly sha384: Pointer<"EVP_MD">;
  readonly sha512: Pointer<"EVP_MD">;
}

/** libcrypto of OpenSSL 3, checked and ready for use. */
export interface Libcrypto extends NativeLibrary<typeof LIBCRYPTO_SYMBOLS> {
  /** Version, such as `3.5.8`. */
  readonly version: string;
  /** `node` for the OpenSSL that Node.js itself brings or is linked with; otherwise the path of the library. */
  readonly origin: string;
  /** Algorithms, for functions that take one. */
  readonly algorithms: OpensslAlgorithms;
}

/** Result of looking for libcrypto: the library, or the reason why there is none and what to do about it. */
export type LibcryptoSearch =
  | { readonly libcrypto: Libcrypto; readonly reason?: undefined; readonly hint?: undefined }
  | { readonly libcrypto?: undefined; readonly reason: string; readonly hint: string };

/** Choice of the library. */
export interface LibcryptoOptions {
  /** Absolute path of libcrypto, or `off`. Default: the variable {@link LIBCRYPTO_VARIABLE}, then the usual places. */
  readonly path?: string | undefined;
}

/** Sizes and alignments of these are those that the declarations are checked for. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

/** Name of the program itself among the places. */
const PROGRAM = "node";

const searches = new Map<string, LibcryptoSearch>();
let byDefault: LibcryptoSearch | undefined;

/**
 * Finds OpenSSL's libcrypto once for each choice, and keeps it: on Node.js in the program itself, then, and on Deno,
 * as `libcrypto.so.3` at the usual places. It never throws: without libcrypto, `node:crypto` does the same work.
 *
 * @param options Choice of the library
 * @returns The library; undefined when there is none, for the reason that {@link findLibcrypto} tells
 */
export function openLibcrypto(options?: LibcryptoOptions): Libcrypto | undefined {
  return findLibcrypto(options).libcrypto;
}

/**
 * Finds libcrypto as {@link openLibcrypto} does, and says why when there is none.
 *
 * @param options Choice of the library
 */
export function findLibcrypto({ path }: LibcryptoOptions = {}): LibcryptoSearch {
  if (path === undefined) return byDefault ??= searchOnce(readVariable());
  return searchOnce(path);
}

/**
 * Finds libcrypto as {@link findLibcrypto} does, for a key pair: one that lives in C's memory takes libc as well.
 *
 * @param options Choice of the library
 */
export function findKeyPairLibcrypto(options?: LibcryptoOptions): LibcryptoSearch {
  const found = findLibcrypto(options);
  if (found.libcrypto === undefined) return found;
  try {
    libc();
    return found;
  } catch (error) {
    if (!(error instanceof LibraryLoadError)) throw error;
    return { reason: error.message, hint: error.hint };
  }
}

/**
 * Chooses the library of this process, for all that name none.
 *
 * @param path Absolute path of libcrypto, or `off`; undefined for the variable, then the usual places
 */
export function chooseLibcrypto(path: string | undefined): void {
  byDefault = path === undefined ? undefined : searchOnce(path);
}

function searchOnce(choice: string): LibcryptoSearch {
  const known = searches.get(choice);
  if (known !== undefined) return known;
  const found = search(choice);
  searches.set(choice, found);
  return found;
}

/** Reads the variable, which without the right to is as good as unset: Deno would prompt for it. */
function readVariable(): string {
  if (!isGranted({ name: "env", variable: LIBCRYPTO_VARIABLE })) return "";
  return process.env[LIBCRYPTO_VARIABLE] ?? "";
}

/**
 * Looks for libcrypto.
 *
 * @param choice `off`, an absolute path, or nothing for the usual places
 */
function search(choice: string): LibcryptoSearch {
  if (choice === "off") return { reason: "OpenSSL is switched off", hint: `Is ${LIBCRYPTO_VARIABLE} off?` };
  if (choice !== "" && !choice.startsWith("/")) {
    const hint =
      `Give the absolute path of libcrypto.so.3, or off, in ${LIBCRYPTO_VARIABLE} or libcryptoPath`;
    return { reason: "the path of libcrypto is not absolute", hint };
  }
  const failures: LoadFailure[] = [];
  for (const place of choice === "" ? usualPlaces() : [choice]) {
    try {
      return { libcrypto: load(place) };
    } catch (error) {
      if (error instanceof LoadFailure) failures.push(error);
      else if (error instanceof LibraryLoadError) return { reason: error.message, hint: error.hint };
      else throw error;
    }
  }
  return explain(failures, choice);
}

function usualPlaces(): string[] {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined || process.platform === "win32") return [];
  const folders = [
    `/usr/lib/${architecture}-linux-gnu`,
    `/lib/${architecture}-linux-gnu`,
    "/usr/lib64",
    "/lib64",
    "/usr/lib",
    "/lib",
  ];
  return [...loader.opensProgram ? [PROGRAM] : [], ...folders.map((folder) => `${folder}/libcrypto.so.3`)];
}

/** Says what stands in the way, by the failure that is likeliest to be mended: most places do not exist. */
function explain(failures: readonly LoadFailure[], choice: string): LibcryptoSearch {
  if (failures.length === 0) {
    const system = `${process.platform} on ${process.arch}`;
    return {
      reason: `OpenSSL is not used on ${system}`,
      hint: "It is used on x64 and arm64, but on Windows",
    };
  }
  const found = failures.filter(({ message }) => !/No such file|cannot open shared object/i.test(message));
  const told = (found.length > 0 ? found : failures).map(describe);
  const reason = `no OpenSSL 3: ${[...new Set(told)].join("; ")}`;
  if (failures.some(({ message }) => message.includes("permission missing"))) {
    const path = failures[0]?.path;
    const hint = `Run deno with --allow-ffi, or with --allow-ffi=${path} where that is its place`;
    return { reason: "Deno may not load libcrypto.so.3", hint };
  }
  if (choice !== "") return { reason, hint: "Is it libcrypto of OpenSSL 3, for this architecture and libc?" };
  return { reason, hint: `Install OpenSSL 3, or name its libcrypto.so.3 in ${LIBCRYPTO_VARIABLE}` };
}

function describe({ path, symbol, message }: LoadFailure): string {
  return `${path === PROGRAM ? "Node.js itself" : path}: ${
    symbol === undefined ? message : `symbol ${symbol} is missing`
  }`;
}

/**
 * Loads and checks one library. The number is asked first: what other libraries lack would not say what they are.
 *
 * @throws {LoadFailure} When it is absent, of another kind, or incomplete
 */
function load(place: string): Libcrypto {
  const path = place === PROGRAM ? null : place;
  const options = { isolated: path !== null };
  try {
    const { OpenSSL_version_num } = LIBCRYPTO_SYMBOLS;
    requireMajor(openLibrary(path, { OpenSSL_version_num }, options).call.OpenSSL_version_num());
    const library = openLibrary(path, LIBCRYPTO_SYMBOLS, options);
    const version = readVersion(library);
    // Node.js has set its own up. At the end OpenSSL would take its tables from threads that are still at work.
    if (path !== null) library.call.OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, null);
    return { ...library, version, origin: place, algorithms: fetchAlgorithms(library) };
  } catch (error) {
    if (!(error instanceof LoadFailure)) throw error;
    throw new LoadFailure(place, error.message, error.symbol);
  }
}

/** Refuses what says another number: OpenSSL 1.1, and LibreSSL (2), BoringSSL and AWS-LC (1.1), whatever they are like. */
function requireMajor(number: number): void {
  const major = Math.floor(number / 2 ** 28);
  if (major < 3) throw new LoadFailure("", `it is of version ${major}, or another library of that number`);
}

function readVersion({ call }: NativeLibrary<typeof LIBCRYPTO_SYMBOLS>): string {
  const pointer = call.OpenSSL_version(OPENSSL_VERSION);
  const text = pointer === null
    ? ""
    : readText((bytes) => call.OPENSSL_strlcpy(bytes, pointer, bytes.length));
  const [, version] = /^OpenSSL (\d+\.\d+\.\d+[\w.+-]{0,32})(?= |$)/.exec(text) ?? [];
  if (version === undefined || /LibreSSL|BoringSSL|AWS-LC/.test(text)) {
    throw new LoadFailure("", `it is another library than OpenSSL: ${JSON.stringify(text.slice(0, 64))}`);
  }
  return version;
}

/**
 * Fetches each algorithm once: the functions that take a name look it up at each call.
 *
 * @throws {LoadFailure} When OpenSSL's configuration switches one off
 */
function fetchAlgorithms(library: NativeLibrary<typeof LIBCRYPTO_SYMBOLS>): OpensslAlgorithms {
  const { call } = library;
  const fetched = <T>(name: string, algorithm: T | null): T => {
    if (algorithm !== null) return algorithm;
    throw new LoadFailure("", `it has no ${name}${parenthesised(takeError(library).text)}`);
  };
  const cipher = (name: string): Pointer<"EVP_CIPHER"> =>
    fetched(name, call.EVP_CIPHER_fetch(null, cString(name), null));
  const digest = (name: string): Pointer<"EVP_MD"> =>
    fetched(name, call.EVP_MD_fetch(null, cString(name), null));
  return {
    aes256Gcm: cipher("AES-256-GCM"),
    aes256Cbc: cipher("AES-256-CBC"),
    sha256: digest("SHA2-256"),
    sha384: digest("SHA2-384"),
    sha512: digest("SHA2-512"),
  };
}

/**
 * Turns NULL, 0 or a negative result into an error, right after the call, on the thread that made it. The error queue
 * is empty afterwards.
 *
 * @param library The library
 * @param result Result of C: a pointer, or a number that is positive on success
 * @param failed Failed step: the action, the C function and the hint
 * @returns The result
 * @throws {OpensslError} With the first error that OpenSSL queued
 */
export function checkOpenssl<T>(
  library: Pick<Libcrypto, "call">,
  result: T,
  failed: { readonly action: string; readonly cFunction: string; readonly hint?: string },
): NonNullable<T> {
  if (result !== null && result !== undefined && (typeof result !== "number" || result > 0)) return result;
  const { code, text } = takeError(library);
  const returned = typeof result === "number" ? String(result) : "NULL";
  throw new OpensslError(
    `Cannot ${failed.action}: ${failed.cFunction} returned ${returned}${parenthesised(text)}`,
    {
      cFunction: failed.cFunction,
      nativeCode: code,
      hint: failed.hint ?? "Is the enclave out of memory, or OpenSSL's configuration stricter than usual?",
    },
  );
}

/**
 * Takes the oldest error of this thread's queue, and empties the queue.
 *
 * @param library The library
 * @returns Its number and OpenSSL's words for it; 0 and nothing when there was none
 */
export function takeError({ call }: Pick<Libcrypto, "call">): { code: number; text: string } {
  const code = call.ERR_get_error();
  call.ERR_clear_error();
  if (code === 0) return { code, text: "" };
  return { code, text: readText((bytes) => call.ERR_error_string_n(code, bytes, bytes.length)) };
}

/** Reads the text that C writes, with a NUL at its end, into at most 256 bytes. */
function readText(write: (bytes: Uint8Array<ArrayBuffer>) => unknown): string {
  const bytes = new Uint8Array(new ArrayBuffer(256));
  write(bytes);
  return new TextDecoder().decode(bytes.subarray(0, Math.max(0, bytes.indexOf(0))));
}

function parenthesised(text: string): string {
  return text === "" ? "" : ` (${text})`;
}
