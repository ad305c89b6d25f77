import { Decrypter } from "age-encryption";
import { AGE_IDENTITY_BYTES, encodeAgeIdentity, parseAgeIdentity } from "../../../lib/wire/age_identity.ts";
import { dictionary, expect, expectSame, type FuzzTarget, oracle, utf8 } from "../target.ts";

const IDENTITY = new TextDecoder().decode(encodeAgeIdentity(new Uint8Array(32).fill(7)));

/** File with an identity of age. What is taken, age's library takes as well; its one line is written again. */
export const identity: FuzzTarget = {
  name: "identity",
  maxLength: 400,
  covers: ["lib/wire/age_identity.ts"],
  dictionary: dictionary("AGE-SECRET-KEY-1", "AGE-SECRET-KEY-PQ-1", "# ", "\n", "\r\n", "Q", "1", IDENTITY),
  seeds: () =>
    Promise.resolve(
      [IDENTITY, `# created: now\n# public key: age1\n${IDENTITY}\n`, `\r\n${IDENTITY}\r\n`, `${IDENTITY}\n#`]
        .map(utf8),
    ),
  run(input) {
    const scalar = parseAgeIdentity(input);
    if (scalar === undefined) return "none";
    expectSame(scalar.length, 32, "the length");
    const line = new TextDecoder().decode(encodeAgeIdentity(scalar));
    expect(line.length === AGE_IDENTITY_BYTES, "the line has another length");
    const lines = new TextDecoder("latin1").decode(input).split(/\r?\n/);
    expectSame(lines.filter((one) => one !== "" && !one.startsWith("#")), [line], "written again");
    oracle("age", () => new Decrypter().addIdentity(line));
    return "identity";
  },
};
