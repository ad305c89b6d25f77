import { LaunchError } from "../../../lib/core/errors.ts";
import { checkTerminateAnswer, readDescribeAnswer, readRunAnswer } from "../../../parent/nitro/output.ts";
import { dictionary, expect, type FuzzTarget, utf8 } from "../target.ts";

const ID = "i-0123456789abcdef0-enc1899a5fd9e9c2a3";

/** Output of nitro-cli, or something in its place. The first byte chooses the command. */
export const nitro: FuzzTarget = {
  name: "nitro",
  maxLength: 4096,
  covers: ["parent/nitro/output.ts"],
  dictionary: dictionary(
    ...[
      "[",
      "]",
      "{",
      "}",
      "\n",
      ",",
      '"',
      ": ",
      "null",
      "true",
      "RUNNING",
      "TERMINATING",
      "NONE",
      "DEBUG_MODE",
    ],
    ...[
      '"EnclaveID"',
      '"EnclaveName"',
      '"EnclaveCID"',
      '"NumberOfCPUs"',
      '"MemoryMiB"',
      '"State"',
      '"Flags"',
    ],
    ...['"Terminated"', ID, "Start allocating memory...\n", '"__proto__"', "1e400", "-1", "\\u0000"],
  ),
  seeds: () => Promise.resolve(SEEDS.map((text) => utf8(text))),
  run(input) {
    const text = new TextDecoder().decode(input.subarray(1));
    try {
      return READERS[(input[0] ?? 0) % READERS.length]!(text);
    } catch (error) {
      if (!(error instanceof LaunchError)) throw error;
      expect(/^[\x20-\x7e]{1,200}$/.test(error.message), "text of the output came into the error");
      return error.message.replace(/^.*: /, "");
    }
  },
};

const READERS: readonly ((text: string) => string)[] = [
  (text) => describeIt(readRunAnswer(text)),
  (text) => {
    const enclaves = readDescribeAnswer(text);
    for (const enclave of enclaves) describeIt(enclave);
    return `${enclaves.length} ${enclaves.filter(({ isDebug }) => isDebug).length}`;
  },
  (text) => {
    checkTerminateAnswer(text, ID);
    expect(text.includes(ID) && text.includes("true"), "it does not say that it ended");
    return "ended";
  },
];

/** Checks what is used as an argument, in a file system or in a metric. */
function describeIt({ id, name, cid, cpuCount, memoryMib }: ReturnType<typeof readRunAnswer>): string {
  expect(/^i-[0-9a-z]+-enc[0-9a-f]+$/.test(id), "an id that could be a flag");
  expect(name === undefined || /^[\w.+@:-]{1,255}$/.test(name), "a name that is more than a name");
  for (const number of [cid, cpuCount, memoryMib]) {
    expect(Number.isSafeInteger(number) && number >= 0, "a number that is none");
  }
  return `ok ${name === undefined}`;
}

const ENCLAVE = {
  EnclaveName: "app",
  EnclaveID: ID,
  ProcessID: 17,
  EnclaveCID: 16,
  NumberOfCPUs: 2,
  CPUIDs: [1, 3],
  MemoryMiB: 512,
};
const pretty = (value: unknown) => JSON.stringify(value, undefined, 2);
const DESCRIBED = { ...ENCLAVE, State: "RUNNING", Flags: "NONE", Measurements: { PCR0: "00" } };

const SEEDS: readonly string[] = [
  `\x00Start allocating memory...\n${pretty(ENCLAVE)}\n`,
  `\x00[2026-01-01] WARN {\n${pretty({ ...ENCLAVE, EnclaveName: undefined })}\nbye }\n`,
  `\x01${pretty([DESCRIBED, { ...DESCRIBED, Flags: "DEBUG_MODE", State: "TERMINATING" }])}\n`,
  "\x01[]\n",
  `\x02Successfully terminated\n${pretty({ EnclaveName: "app", EnclaveID: ID, Terminated: true })}\n`,
];
