/** The faults of the matrix that an application can meet, from its callers' side: in the clear, and sealed. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { afterAll, beforeAll, describe } from "#test";
import { FaultyApplication, WAYS } from "./application.ts";
import { FAULT_MATRIX, type FaultRow } from "./matrix.ts";
import { PATIENT_MS, World } from "./world.ts";
import { divideTests } from "../support/share.ts";

const test = divideTests();

/**
 * For requests that can only time out: nothing is asserted about how long they take. A busy machine makes a key pair in
 * it, without which no request is served.
 */
const IMPATIENT_MS = 2000;

const CONNECTION = [502, "ERR_CONNECTION"] as const;
/** The proxy may come back: connecting is tried again until the deadline. */
const AWAY = [502, "ERR_CONNECTION"] as const;
const CERTIFICATE = [502, "ERR_CERTIFICATE"] as const;
const PROTOCOL = [502, "ERR_PROTOCOL"] as const;
const TIMEOUT = [504, "ERR_TIMEOUT"] as const;
const CREDENTIALS = [503, "ERR_CREDENTIALS"] as const;
const refused = (status: number) => [status, "ERR_KMS"] as const;

/** Status and code of the answer under each fault; a plaintext where the fault does not matter. */
const DECRYPTS: Readonly<Record<string, readonly [number, string] | "plaintext">> = {
  "KMS refuses connections": AWAY,
  "the proxy cannot reach KMS": AWAY,
  "the proxy accepts and passes nothing on": TIMEOUT,
  "the proxy stalls in the handshake": TIMEOUT,
  "the proxy stalls in the request": TIMEOUT,
  "the proxy stalls in the answer": TIMEOUT,
  "a reset at the first byte": AWAY,
  "a reset in the handshake": AWAY,
  "a reset in the request": CONNECTION,
  "a reset in the answer": CONNECTION,
  "the proxy breaks idle connections": "plaintext",
  "a certificate for another name": CERTIFICATE,
  "an expired certificate": CERTIFICATE,
  "a certificate of an unknown authority": CERTIFICATE,
  "KMS never speaks TLS": TIMEOUT,
  "something else than TLS answers": CONNECTION,
  "a bit changes in the handshake": CONNECTION,
  "a bit changes in the answer": CONNECTION,
  "KMS never answers": TIMEOUT,
  "KMS breaks off in the body": CONNECTION,
  "KMS ends the connection in the headers": CONNECTION,
  "KMS answers what is not HTTP": PROTOCOL,
  "KMS answers 8 MB": PROTOCOL,
  "a redirect": refused(502),
  "400 InvalidCiphertextException": refused(400),
  "400 NotFoundException": refused(404),
  "400 AccessDeniedException": refused(403),
  "400 ThrottlingException": refused(503),
  "500 KMSInternalException": refused(502),
  "400 ThrottlingException, once": "plaintext",
  "503 in plain words": refused(502),
  "a web page": PROTOCOL,
  "an empty object": PROTOCOL,
  "another key's answer": PROTOCOL,
  "the plaintext instead of the envelope": PROTOCOL,
  "the plaintext beside the envelope": PROTOCOL,
  "no envelope": PROTOCOL,
  "an envelope for another key pair": PROTOCOL,
  "an envelope with two recipients": PROTOCOL,
  "noise for an envelope": PROTOCOL,
  "they expired, for KMS": CREDENTIALS,
  "they were revoked": CREDENTIALS,
  "the secret is another's": CREDENTIALS,
  "the session token is missing": CREDENTIALS,
};

/** The same for a document of the NSM's. */
const DOCUMENTS: Readonly<Record<string, readonly [number, string]>> = {
  "it is gone when it is asked": [503, "ERR_ATTESTATION_UNAVAILABLE"],
  "it refuses the operation": [503, "ERR_ATTESTATION_REFUSED"],
  "it fails": [503, "ERR_ATTESTATION_REFUSED"],
  "it answers what is not CBOR": [503, "ERR_ATTESTATION_ANSWER"],
  "it answers after the deadline": TIMEOUT,
};

describe("faults in an application", () => {
  let world: World;
  let patient: FaultyApplication;
  let impatient: FaultyApplication;

  beforeAll(async () => {
    world = await World.start("direct");
    patient = await FaultyApplication.start(world, PATIENT_MS);
    impatient = await FaultyApplication.start(world, IMPATIENT_MS);
    for (const subject of [patient, impatient]) await assertServed(subject);
  });
  afterAll(async () => {
    await patient[Symbol.asyncDispose]();
    await impatient[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  /** A caller with a short deadline asks again: on a busy machine the time may be up. */
  async function assertServed(subject: FaultyApplication): Promise<void> {
    for (const way of WAYS) {
      let { status, text } = await subject.ask(way);
      while (status === 504 && subject === impatient) ({ status, text } = await subject.ask(way));
      assert.equal(status, 200, text);
      const { plaintext } = JSON.parse(text) as { plaintext: string };
      assert.deepEqual(new Uint8Array(Buffer.from(plaintext, "base64")), world.plaintext);
    }
  }

  function assertProblem(seen: { readonly status: number; readonly text: string }, expected: object): void {
    const { status, code, type, title } = JSON.parse(seen.text) as Record<string, unknown>;
    assert.deepEqual([seen.status, code], expected, seen.text);
    assert.deepEqual([status, type, typeof title], [seen.status, "about:blank", "string"]);
  }

  /** Looks for secrets in what was said outside: the answers of failures, and the log. */
  function assertNoSecret(texts: readonly string[]): void {
    const [plaintext = new Uint8Array(), ...credentials] = world.secrets;
    const secrets = [
      Buffer.from(plaintext).toString("base64"),
      ...credentials.map((bytes) => new TextDecoder().decode(bytes)),
    ];
    for (const secret of secrets) {
      assert.ok(!texts.some((text) => text.includes(secret)), "a secret is shown");
    }
  }

  function rowOf(name: string): FaultRow {
    const row = FAULT_MATRIX.find((one) => one.name === name);
    assert.ok(row !== undefined, `no fault is called ${name}`);
    const isLate = row.made.by === "nsm" && row.made.fault.kind === "latency";
    return isLate ? { ...row, made: { by: "nsm", fault: { kind: "latency", ms: 2 * IMPATIENT_MS } } } : row;
  }

  for (const [name, expected] of Object.entries(DECRYPTS)) {
    test(`${name}: ${expected === "plaintext" ? expected : expected[1]}; the next call is served`, async () => {
      const subject = expected === TIMEOUT || expected === AWAY ? impatient : patient;
      const fault = await world.make(rowOf(name), subject);
      try {
        if (expected === "plaintext") return await assertServed(subject);
        const answers = await Promise.all(WAYS.map((way) => subject.ask(way)));
        for (const seen of answers) assertProblem(seen, expected);
        assertNoSecret(answers.map(({ text }) => text));
      } finally {
        await fault.end();
      }
      await assertServed(subject);
    });
  }

  for (const [name, expected] of Object.entries(DOCUMENTS)) {
    test(`the NSM, when ${name}: ${expected[1]}; the next call is served`, async () => {
      const subject = expected === TIMEOUT ? impatient : patient;
      const fault = await world.make(rowOf(name), subject);
      try {
        for (const way of WAYS) assertProblem(await subject.ask(way, "/v1/document"), expected);
      } finally {
        await fault.end();
      }
      for (const way of WAYS) {
        let seen = await subject.ask(way, "/v1/document");
        while (seen.status === 504 && subject === impatient) seen = await subject.ask(way, "/v1/document");
        assert.deepEqual([seen.status, seen.text], [200, "made"]);
      }
      await assertServed(subject);
    });
  }

  test("a policy that forbids or fails denies, and the next call is served", async () => {
    const fails =
      `permit(principal, action, resource) when { context.recentCount == 1 || context.recentCount + 9223372036854775807 > 0 };`;
    for (const cedar of ["forbid(principal, action, resource);", fails]) {
      patient.usePolicy(cedar);
      for (const way of WAYS) assertProblem(await patient.ask(way), [403, "ERR_POLICY_DENIED"]);
      patient.usePolicy();
      await assertServed(patient);
    }
  });

  test("a policy that does not load leaves the old one in force", async () => {
    patient.usePolicy("permit(");
    await assertServed(patient);
    assert.ok(patient.lines.some((line) => line.includes("the old policy stays in force")));
    patient.usePolicy();
    await assertServed(patient);
  });

  test.onBoth("the log has shown no secret", () => {
    assert.ok(patient.lines.length > 40 && impatient.lines.length > 4);
    assertNoSecret([...patient.lines, ...impatient.lines]);
  });
});
