import type { Parts } from "../setting.ts";
import type { PathKind } from "./path.ts";

/** Paths by name, in the order of the table. */
export const PATHS = {
  "subprocess": {
    label: ({ kmstool }) =>
      kmstool === undefined ? "subprocess: own CLI on Node, no kmstool" : "subprocess: kmstool_enclave_cli",
    isSlow: true,
    spawns: true,
    open: async (...args) => await (await import("./subprocess.ts")).openSubprocess(...args),
  },
  "sdk-client": {
    label: (parts) => `sdk-client, ${sdk(parts)}`,
    missing: missingSdk,
    isSlow: true,
    open: async (...args) => await (await import("./client.ts")).openClient("sdk-client", ...args),
  },
  "sdk-cold": {
    label: (parts) => `sdk, cold, ${sdk(parts)}`,
    missing: missingSdk,
    isSlow: true,
    open: async (...args) => await (await import("./one_shot.ts")).openOneShot("sdk", ...args),
  },
  "sdk": {
    label: (parts) => `sdk, warm, ${sdk(parts)}`,
    missing: missingSdk,
    open: async (...args) => await (await import("./client.ts")).openClient("sdk", ...args),
  },
  "direct-cold": {
    label: () => "direct, cold",
    isSlow: true,
    open: async (...args) => await (await import("./one_shot.ts")).openOneShot("direct", ...args),
  },
  "direct": {
    label: () => "direct, warm",
    open: async (...args) => await (await import("./client.ts")).openClient("direct", ...args),
  },
  "aws-sdk": {
    label: () => "@aws-sdk/client-kms, our reader",
    open: async (...args) => await (await import("./aws_sdk.ts")).openAwsSdk(...args),
  },
  "aws-plugin": {
    label: () => "@aws-sdk/client-kms with enclave-kms/aws",
    open: async (...args) => await (await import("./aws_plugin.ts")).openAwsPlugin(...args),
  },
  "server": {
    label: () => "server over a unix socket, 100 policies",
    spawns: true,
    open: async (...args) => await (await import("./server.ts")).openServer(...args),
  },
  "floor": {
    label: () => "floor: bare RSA, AES, HMAC, TLS",
    open: async (...args) => {
      const [{ openFloor }, { nodePrimitives }] = [
        await import("./floor.ts"),
        await import("./primitives.ts"),
      ];
      return await openFloor(nodePrimitives(), ...args);
    },
  },
  "floor-evp": {
    label: () => "floor over the same calls of EVP",
    missing: ({ libcrypto }) => libcrypto === undefined ? "no libcrypto.so.3 here" : undefined,
    open: async (...args) => {
      const [{ openFloor }, { evpPrimitives }] = [
        await import("./floor.ts"),
        await import("../evp/recipient_floor.ts"),
      ];
      return await openFloor(evpPrimitives(), ...args);
    },
  },
} as const satisfies Record<string, PathKind>;

/** Name of a path. */
export type PathName = keyof typeof PATHS;

/** Finds a path by its name. */
export function pathKind(name: PathName): PathKind {
  return PATHS[name];
}

function sdk({ sdkLibrary }: Parts): string {
  return sdkLibrary?.includes("double") ? "double of the C SDK" : "real C SDK";
}

function missingSdk({ sdkLibrary, hasDevice }: Parts): string | undefined {
  if (!hasDevice) return "no /dev/nsm here: it needs a C compiler";
  return sdkLibrary === undefined ? "neither ENCLAVE_KMS_SDK_LIBRARY nor a C compiler" : undefined;
}
