import { execFileSync } from "node:child_process";
import { createPrivateKey, sign } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleApplication } from "../../deploy/bundle/bundle_application.ts";
import type { ImageSigner } from "../../deploy/eif/signature.ts";
import type { Runtime } from "../../tools/bundle.ts";
import { type EnclaveReport, HEALTHY_MARK, REPORT_MARK } from "./enclave_report.ts";
import { type Application, type BuiltImage, findRuntime, makeImage } from "./images.ts";
import { type MachineResult, runMachine } from "./machine.ts";

/** Texts that PCR3 and PCR4 measure. */
export const ROLE = "arn:aws:iam::111122223333:role/enclave";
export const INSTANCE_ID = "i-0123456789abcdef0";
export const MODULE_ID = `${INSTANCE_ID}-enc0123456789abcdef`;

/** Configuration of an application of the repository. */
export const CONFIG: Readonly<Record<string, unknown>> = {
  region: "eu-central-1",
  policyFile: "/app/policy.cedar",
};

/** Against what hangs: on two cores with thirty processes that wanted them, a boot took 480 s; alone, 40 s. */
const BOOT_TIMEOUT_MS = 600_000;

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CHECK = join(ROOT, "test/boot/check_enclave.ts");

/** Boot that ended as it should, and what was seen inside. */
export interface Boot {
  readonly report: EnclaveReport;
  readonly result: MachineResult;
}

/** Place where images are built and booted: one folder, removed in the end. */
export class Lab implements Disposable {
  readonly #qemu: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "enclave-kms-images-"));
  readonly #images = new Map<string, Promise<BuiltImage>>();
  #console = "";

  /** @param qemu Folder of the emulator and its firmware */
  constructor(qemu: string) {
    this.#qemu = qemu;
  }

  /** Everything that the last machine said, on the enclave's console and by itself. */
  get console(): string {
    return this.#console;
  }

  /**
   * Builds an image of the server.
   *
   * @param runtime Runtime
   * @param name Name of the image
   * @param config Settings beside those of {@link CONFIG}
   * @param signer Maker of the signer, for PCR8. Default: the image is not signed
   */
  server(
    runtime: Runtime,
    name: string,
    config: object = {},
    signer?: (() => ImageSigner) | undefined,
  ): Promise<BuiltImage> {
    return this.#once(name, async () => {
      const bundle = await this.#bundle(runtime, join(ROOT, "server/main.ts"), `${name}-bundle`);
      const application: Application = {
        name: "server",
        bundle,
        policy: join(ROOT, "examples/policies/attest.cedar"),
        config: { ...CONFIG, ...config },
      };
      return await this.#make(runtime, application, name, signer?.());
    });
  }

  /**
   * Builds an image of the application in examples/sign-service.
   *
   * @param runtime Runtime
   */
  signService(runtime: Runtime): Promise<BuiltImage> {
    const name = `sign-service-${runtime}`;
    return this.#once(name, async () => {
      const example = join(ROOT, "examples/sign-service");
      const bundle = await this.#bundle(runtime, join(example, "main.ts"), `${name}-bundle`);
      const application = { name, bundle, policy: join(example, "policy.cedar"), config: CONFIG };
      return await this.#make(runtime, application, name);
    });
  }

  /** Makes a key and a certificate by openssl, as AWS's documentation tells people to. */
  signer(): ImageSigner {
    const [key, certificate] = ["key", "pem"].map((end) => join(this.#folder, `signer.${end}`)) as [
      string,
      string,
    ];
    const openssl = (...args: readonly string[]) => execFileSync("openssl", args, { stdio: "pipe" });
    openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", key);
    openssl(
      ...["req", "-new", "-x509", "-days", "20", "-key", key, "-sha384", "-subj", "/CN=boot"],
      ...["-out", certificate],
    );
    const privateKey = createPrivateKey(readFileSync(key, "utf8"));
    return {
      certificate: readFileSync(certificate, "utf8"),
      sign: (bytes) => Promise.resolve(sign("sha384", bytes, { key: privateKey, dsaEncoding: "ieee-p1363" })),
    };
  }

  /**
   * Makes a machine of an image and waits for its end, however it ends.
   *
   * @param path Path of the image
   * @param memoryMib Memory of the enclave
   */
  async run(path: string, memoryMib: number): Promise<MachineResult> {
    const result = await runMachine({
      qemu: this.#qemu,
      image: path,
      memoryMib,
      moduleId: MODULE_ID,
      role: ROLE,
      instanceId: INSTANCE_ID,
      timeoutMs: BOOT_TIMEOUT_MS,
      marks: { healthy: HEALTHY_MARK, report: REPORT_MARK },
    });
    this.#console = `${result.console}\n${result.complaints}`;
    return result;
  }

  /**
   * Boots an image with the least memory that nitro-cli would give it.
   *
   * @param image The image, whose path may be of a copy
   * @throws {Error} When it does not boot, or the program inside fails
   */
  async boot({ path, summary }: BuiltImage): Promise<Boot> {
    const result = await this.run(path, summary.image.leastMemoryMib);
    const line = result.console.split(/\r?\n/).find((text) => text.startsWith(REPORT_MARK));
    if (line === undefined) {
      const end = result.code === undefined ? "its time was up" : `the emulator ended with ${result.code}`;
      throw new Error(`The enclave gave no report: ${end}`);
    }
    return { report: JSON.parse(line.slice(REPORT_MARK.length)), result };
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #once(name: string, make: () => Promise<BuiltImage>): Promise<BuiltImage> {
    const image = this.#images.get(name) ?? make();
    this.#images.set(name, image);
    return image;
  }

  /** Bundles a program as users do, and returns the folder of the bundle. */
  async #bundle(runtime: Runtime, entry: string, name: string): Promise<string> {
    const output = join(this.#folder, name);
    await bundleApplication({ entry, runtime, architectures: ["x86_64"], output });
    return output;
  }

  async #make(
    runtime: Runtime,
    application: Application,
    name: string,
    signer?: ImageSigner,
  ): Promise<BuiltImage> {
    const check = await this.#bundle(runtime, CHECK, `check-${name}`);
    const began = performance.now();
    const image = await makeImage(findRuntime(runtime), application, check, join(this.#folder, name), signer);
    const { bytes } = image.summary.image;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.log(`     built ${name}: ${(bytes / 1e6).toFixed(1)} MB in ${seconds} s`);
    return image;
  }
}
