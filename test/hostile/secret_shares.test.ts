/**
 * A hostile parent together with the holder of one share, who knows the id of the split. What they forge is refused, and
 * the honest shares are taken afterwards.
 *
 * @module
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Decrypter } from "age-encryption";
import { describe, test } from "#test";
import { ageSecret, sharesOf } from "../../enclave/mod.ts";
import { toHex } from "../../lib/core/bytes.ts";
import { encodeSecretShare, parseSecretShares, type SecretShare } from "../../lib/wire/secret_shares.ts";
import { sealWithAge, splitSecret } from "../../operator/mod.ts";
import { codeOf, SecretsLab } from "../enclave/secrets/secrets_lab.ts";

/** An enclave that has its identity and waits for two of three shares, and what the holder of the first one sees. */
class Splitting implements AsyncDisposable {
  readonly lab: SecretsLab;
  readonly starting: ReturnType<SecretsLab["start"]>;
  readonly secret: Uint8Array;
  readonly shares: readonly Uint8Array[];
  readonly held: SecretShare;

  private constructor(
    lab: SecretsLab,
    starting: ReturnType<SecretsLab["start"]>,
    secret: Uint8Array,
    shares: readonly Uint8Array[],
    held: SecretShare,
  ) {
    this.lab = lab;
    this.starting = starting;
    this.secret = secret;
    this.shares = shares;
    this.held = held;
  }

  static async begin(): Promise<Splitting> {
    const lab = await SecretsLab.create();
    const { identity, recipient } = lab.pair;
    const secret = new Uint8Array(randomBytes(32));
    const recipients = [recipient, recipient, recipient];
    const { shares, sha256 } = await splitSecret({ secret, threshold: 2, recipients });
    const from = sharesOf({
      from: ageSecret({ identity: "age-key", recipient }),
      threshold: 2,
      sha256: toHex(sha256),
    });
    const starting = lab.start([lab.recipe[0], { name: "key-shares", from }]);
    await lab.sendCredentials();
    assert.equal(codeOf(await lab.send(7101, await lab.identity())), "taken");
    const holder = new Decrypter();
    holder.addIdentity(identity);
    const [held] = parseSecretShares(await holder.decrypt(shares[0]!));
    return new Splitting(lab, starting, secret, shares, held!);
  }

  /** Sends a share as whoever knows the enclave's recipient can. */
  async forge(share: SecretShare): Promise<string> {
    const sealed = await sealWithAge(encodeSecretShare(share), [this.lab.pair.recipient]);
    return codeOf(await this.lab.send(7102, sealed));
  }

  /** Sends the honest shares that nobody hostile holds. */
  async expectHonestEnd(): Promise<void> {
    for (const share of this.shares.slice(1)) {
      assert.equal(codeOf(await this.lab.send(7102, share)), "taken");
    }
    const enclave = await this.starting;
    assert.deepEqual([...enclave.secrets.get("key-shares")!.bytes], [...this.secret]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
  }
}

/** Puts another coordinate behind a share. */
function at(coordinate: number, bytes: Uint8Array): Uint8Array {
  return Uint8Array.of(...bytes.subarray(0, -1), coordinate);
}

describe("a hostile parent with the holder of a share", () => {
  test("cannot choose the secret by a share at coordinate zero", async () => {
    await using splitting = await Splitting.begin();
    const { held } = splitting;
    const chosen = { ...held, share: at(0, new Uint8Array(held.share.length).fill(9)) };
    assert.equal(await splitting.forge(chosen), "taken", "it is one of two");
    assert.equal(await splitting.forge(held), "OPEN");
    await splitting.expectHonestEnd();
  });

  test("cannot choose it by a share at any other place, or by both", async () => {
    await using splitting = await Splitting.begin();
    const { held } = splitting;
    const coordinate = (held.share.at(-1)! % 255) + 1;
    const forged = { ...held, share: at(coordinate, new Uint8Array(held.share.length).fill(9)) };
    assert.equal(await splitting.forge(forged), "taken");
    assert.equal(await splitting.forge(held), "HASH");
    const other = { ...held, splitId: new Uint8Array(8) };
    assert.equal(await splitting.forge(other), "taken");
    assert.equal(await splitting.forge({ ...forged, splitId: other.splitId }), "HASH");
    await splitting.expectHonestEnd();
  });

  test("cannot lower the threshold, or join shares of two lengths", async () => {
    await using splitting = await Splitting.begin();
    const { held } = splitting;
    assert.equal(await splitting.forge({ ...held, threshold: 3 }), "OPEN");
    assert.equal(await splitting.forge(held), "taken");
    const short = at((held.share.at(-1)! % 255) + 1, held.share.subarray(1));
    assert.equal(await splitting.forge({ ...held, share: short }), "OPEN");
    await splitting.expectHonestEnd();
  });

  test("cannot fill the memory, or push out shares that come together, by splits of their own", async () => {
    await using splitting = await Splitting.begin();
    const { held } = splitting;
    for (let index = 0; index < 20; index++) {
      const splitId = new Uint8Array(randomBytes(8));
      assert.equal(await splitting.forge({ ...held, splitId }), "taken");
    }
    await splitting.expectHonestEnd();
  });
});
