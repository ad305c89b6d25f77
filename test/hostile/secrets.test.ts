/**
 * A hostile parent at the ports of secrets, one test for each of its ways. After each, the honest secret is still taken,
 * unless the window is over.
 *
 * @module
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { describe } from "#test";
import { ageSecret, kmsSecret, type SecretDeclaration } from "../../enclave/mod.ts";
import { encodeSecretFrame } from "../../lib/wire/secret_frame.ts";
import { NsmClient } from "../../lib/nsm/mod.ts";
import {
  codeOf,
  CONTEXT,
  encryptWithAge,
  makeAgePair,
  makePublisher,
  readReceipt,
  SECRET,
  SecretsLab,
} from "../enclave/secrets/secrets_lab.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

/** Has the honest parent do the rest, and expects the honest secret. */
async function expectHonestEnd(
  lab: SecretsLab,
  starting: ReturnType<SecretsLab["start"]>,
  { isIdentityIn = false } = {},
): Promise<void> {
  assert.equal(codeOf(await lab.sendCredentials()), "taken");
  if (!isIdentityIn) assert.equal(await sendWhenFree(lab, 7101, await lab.identity()), "taken");
  assert.equal(await sendWhenFree(lab, 7102, await lab.shares()), "taken");
  const enclave = await starting;
  assert.deepEqual([...enclave.secrets.get("key-shares")!.bytes], [...SECRET]);
}

/** Sends a secret once the connection before it has ended for the enclave, too. */
async function sendWhenFree(lab: SecretsLab, port: number, content: Uint8Array): Promise<string | undefined> {
  let code = codeOf(await lab.send(port, content));
  while (code === "BUSY") code = codeOf(await lab.send(port, content));
  return code;
}

/** Starts an enclave that has credentials and its identity. */
async function withIdentity(lab: SecretsLab): Promise<{ starting: ReturnType<SecretsLab["start"]> }> {
  const starting = lab.start();
  await lab.sendCredentials();
  assert.equal(codeOf(await lab.send(7101, await lab.identity())), "taken");
  return { starting };
}

describe("a hostile parent", () => {
  test("late: what comes after the window is refused", async () => {
    await using lab = await SecretsLab.create();
    const [identity, shares] = lab.recipe;
    const secrets = [{ ...identity, optional: true }, { ...shares, optional: true }];
    const enclave = await lab.start(secrets, { ENCLAVE_KMS_SECRETS_WINDOW_MS: "200" });
    await lab.sendCredentials();
    assert.equal(codeOf(await lab.send(7101, await lab.identity())), "LATE");
    assert.equal(enclave.secrets.size, 0);
  });

  test("late: what is still being opened when the window ends is not handed over", async () => {
    await using lab = await SecretsLab.create();
    const [identity, shares] = lab.recipe;
    const secrets = [{ ...identity, optional: true }, { ...shares, optional: true }];
    const starting = lab.start(secrets, { ENCLAVE_KMS_SECRETS_WINDOW_MS: "1200" });
    await lab.sendCredentials();
    await lab.simulator.kms.injectFault({ kind: "latency", ms: 2000 });
    assert.equal(codeOf(await lab.send(7101, await lab.identity())), "LATE");
    assert.equal((await starting).secrets.size, 0);
  });

  test("double: a second one is refused once the first is in, on both ports, and the first stays", async () => {
    await using lab = await SecretsLab.create();
    const { starting } = await withIdentity(lab);
    assert.equal(codeOf(await lab.send(7101, await lab.identity({ version: 9 }))), "TAKEN");
    await expectHonestEnd(lab, starting, { isIdentityIn: true });
    const other = await lab.shares({ content: Uint8Array.of(1), version: 9 });
    assert.equal(codeOf(await lab.send(7102, other)), "TAKEN");
    assert.deepEqual([...(await starting).secrets.get("key-shares")!.bytes], [...SECRET]);
  });

  test("double: of two connections at once the second is told to wait", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    const first = await lab.connect(7101);
    first.write("x");
    await sleep(50);
    assert.equal(codeOf(await lab.send(7101, await lab.identity())), "BUSY");
    first.destroy();
    await expectHonestEnd(lab, starting);
  });

  test("too large: refused as soon as it is announced or read, and no more is kept", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    assert.equal(codeOf(await lab.send(7101, new Uint8Array(8193).fill(65))), "TOO_LARGE");
    assert.equal(codeOf(await lab.send(7101, new Uint8Array(2 ** 22).fill(65))), "TOO_LARGE");
    const announced = await lab.connect(7102);
    announced.write(encodeSecretFrame(new Uint8Array(2 ** 20)).subarray(0, 8));
    assert.equal(codeOf(await readReceipt(announced)), "TOO_LARGE");
    await expectHonestEnd(lab, starting);
  });

  test("a byte a second: the connection has one deadline, however often a byte comes", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start(lab.recipe, { ENCLAVE_KMS_SECRET_TIMEOUT_MS: "3000" });
    const slow = await lab.connect(7101);
    const drip = setInterval(() => slow.write("x"), 20);
    try {
      assert.equal(codeOf(await readReceipt(slow)), "SLOW");
    } finally {
      clearInterval(drip);
    }
    await expectHonestEnd(lab, starting);
  });

  test("truncated: nothing of it is taken, raw or in a frame, or when the connection breaks", async () => {
    await using lab = await SecretsLab.create();
    const { starting } = await withIdentity(lab);
    const shares = await lab.shares();
    const frame = encodeSecretFrame(shares);
    for (const length of [1, 3, 7, frame.length - 1]) {
      const cut = await lab.connect(7102);
      cut.end(frame.subarray(0, length));
      assert.equal(codeOf(await readReceipt(cut)), "TRUNCATED", String(length));
    }
    for (const length of [5, 100, shares.length - 1]) {
      assert.equal(codeOf(await lab.send(7102, shares.subarray(0, length))), "FRAME", String(length));
    }
    const broken = await lab.connect(7102);
    broken.write(frame.subarray(0, -1));
    broken.destroy();
    await expectHonestEnd(lab, starting, { isIdentityIn: true });
  });

  test("truncated: an age file without a signature is opened whole or not at all", async () => {
    await using lab = await SecretsLab.create();
    const { pair: { recipient } } = lab;
    const [identity] = lab.recipe;
    const from = ageSecret({ identity: "age-key", recipient });
    const long = new Uint8Array(3 * 65_536).fill(7);
    const maxBytes = 2 ** 20;
    const chosen: SecretDeclaration = { name: "key-shares", from, maxBytes, chosenByParent: true };
    const starting = lab.start([identity, chosen]);
    await lab.sendCredentials();
    await lab.send(7101, await lab.identity());
    const file = await encryptWithAge(long, recipient);
    for (const length of [200, 65_536 + 500, file.length - 65_536, file.length - 1]) {
      assert.equal(codeOf(await lab.send(7102, file.subarray(0, length))), "OPEN", String(length));
    }
    assert.equal(codeOf(await lab.send(7102, file)), "taken");
    assert.deepEqual((await starting).secrets.get("key-shares")?.length, long.length);
  });

  test("ports swapped: what was signed for one name is refused under another", async () => {
    await using lab = await SecretsLab.create();
    const { starting } = await withIdentity(lab);
    assert.equal(codeOf(await lab.send(7102, await lab.identity())), "NAME");
    await expectHonestEnd(lab, starting, { isIdentityIn: true });
  });

  test("other key: a ciphertext under another key of the same account is refused", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    await lab.sendCredentials();
    const { arn } = await lab.simulator.createKey();
    assert.equal(codeOf(await lab.send(7101, await lab.identity({ keyId: arn }))), "OPEN");
    await expectHonestEnd(lab, starting);
  });

  test("other context: another secret under the right key is refused", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    await lab.sendCredentials();
    for (const context of [{ secret: "other" }, { ...CONTEXT, more: "x" }]) {
      assert.equal(codeOf(await lab.send(7101, await lab.identity({ context }))), "OPEN");
    }
    await expectHonestEnd(lab, starting);
  });

  test("its own age key under the same KMS key: refused by the publisher's signature, and by the recipient", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    await lab.sendCredentials();
    const [pair, publisher] = [await makeAgePair(), makePublisher()];
    assert.equal(codeOf(await lab.send(7101, await lab.identity({ pair, publisher }))), "SIGNATURE");
    const unsigned = await lab.simulator.encrypt({
      keyId: lab.keyArn,
      plaintext: pair.identity,
      encryptionContext: CONTEXT,
    });
    assert.equal(codeOf(await lab.send(7101, unsigned)), "SIGNATURE");
    // Even a publisher who was tricked into signing it does not help.
    assert.equal(codeOf(await lab.send(7101, await lab.identity({ pair }))), "RECIPIENT");
    await expectHonestEnd(lab, starting);
  });

  test("its own age key: without any pin every step succeeds, which is why pins are demanded", async () => {
    await using lab = await SecretsLab.create();
    const pair = await makeAgePair();
    const { keyArn } = lab;
    const starting = lab.start([
      { name: "age-key", from: kmsSecret({ keyArn, encryptionContext: CONTEXT }), chosenByParent: true },
      { name: "key-shares", from: ageSecret({ identity: "age-key" }), chosenByParent: true },
    ]);
    await lab.sendCredentials();
    const plaintext = pair.identity;
    const sealed = await lab.simulator.encrypt({ keyId: keyArn, plaintext, encryptionContext: CONTEXT });
    assert.equal(codeOf(await lab.send(7101, sealed)), "taken");
    const own = new TextEncoder().encode("the parent's own");
    assert.equal(codeOf(await lab.send(7102, await encryptWithAge(own, pair.recipient))), "taken");
    assert.deepEqual([...(await starting).secrets.get("key-shares")!.bytes], [...own]);
    assert.ok(lab.lines.some((line) => line.includes("chosenByParent") && line.includes("key-shares")));
  });

  test("its own shares to the right recipient: refused by the publisher's signature", async () => {
    await using lab = await SecretsLab.create();
    const { starting } = await withIdentity(lab);
    const publisher = makePublisher();
    assert.equal(codeOf(await lab.send(7102, await lab.shares({ publisher }))), "SIGNATURE");
    const own = await encryptWithAge(SECRET, lab.pair.recipient);
    assert.equal(codeOf(await lab.send(7102, own)), "SIGNATURE");
    await expectHonestEnd(lab, starting, { isIdentityIn: true });
  });

  test("an old version: what was signed once, below the least version, is refused", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    await lab.sendCredentials();
    assert.equal(codeOf(await lab.send(7101, await lab.identity({ version: 1 }))), "VERSION");
    await expectHonestEnd(lab, starting);
  });

  test("foreign credentials: they open nothing, and the right ones take their place", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    const foreign = {
      accessKeyId: "ASIAFOREIGNFOREIGN12",
      secretAccessKey: "f".repeat(40),
      sessionToken: "foreign",
    };
    assert.equal(codeOf(await lab.sendCredentials(foreign, "2099-01-01T00:00:00Z")), "taken");
    assert.equal(codeOf(await lab.send(7101, await lab.identity())), "ORDER");
    assert.equal(
      codeOf(await lab.sendCredentials(undefined, new Date(Date.now() + 3e6).toISOString())),
      "taken",
    );
    await expectHonestEnd(lab, starting);
  });

  test("replay: what was taken in one boot opens no port of it again, and PCR16 tells what is in", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    await lab.sendCredentials();
    const [identity, shares] = [await lab.identity(), await lab.shares()];
    assert.equal(codeOf(await lab.send(7101, identity)), "taken");
    assert.equal(codeOf(await lab.send(7102, shares)), "taken");
    await starting;
    const before = await new NsmClient(lab.simulator.nsm).describePcr(16);
    assert.deepEqual(
      [codeOf(await lab.send(7101, identity)), codeOf(await lab.send(7102, shares))],
      ["TAKEN", "TAKEN"],
    );
    assert.deepEqual(await new NsmClient(lab.simulator.nsm).describePcr(16), before);
  });

  test("replay: older credentials are refused while newer ones are in force", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    const [old, current] = [lab.simulator.credentials, lab.simulator.rotateCredentials()];
    const at = (hours: number) => new Date(Date.now() + hours * 3.6e6).toISOString();
    assert.equal(codeOf(await lab.sendCredentials(current, at(2))), "taken");
    assert.equal(codeOf(await lab.sendCredentials(old, at(1))), "CREDENTIALS_OLDER");
    assert.equal(codeOf(await lab.send(7101, await lab.identity())), "taken");
    assert.equal(codeOf(await lab.send(7102, await lab.shares())), "taken");
    await starting;
    assert.equal(codeOf(await lab.sendCredentials(current, at(3))), "taken", "7100 stays open for rotation");
  });

  test("garbage without end: it does not fill the log", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    for (let i = 0; i < 200; i++) assert.equal(codeOf(await lab.send(7102, Uint8Array.of(1))), "SIGNATURE");
    const lines = lab.lines.filter((line) => line.includes("refused a secret"));
    assert.equal(lines.length, 65, "64 of their own, and the one with the number 128");
    await expectHonestEnd(lab, starting);
  });

  test("garbage: on every port, and the log and the receipts repeat nothing of it", async () => {
    await using lab = await SecretsLab.create();
    const starting = lab.start();
    const marker = "HUSHHUSHHUSH";
    for (const text of ["", marker, `{"AccessKeyId":"${marker}"}`, `{"SecretAccessKey":"${marker}"`]) {
      for (const port of [7100, 7101, 7102]) {
        const receipt = await lab.send(port, new TextEncoder().encode(text));
        assert.equal(receipt.ok, false);
        assert.ok(!JSON.stringify(receipt).includes(marker));
      }
    }
    await expectHonestEnd(lab, starting);
    assert.ok(!lab.lines.join("\n").includes(marker));
    const secretText = new TextDecoder().decode(SECRET);
    assert.ok(
      !lab.lines.join("\n").includes(secretText) && !lab.lines.join("\n").includes(lab.pair.identity),
    );
  });
});
