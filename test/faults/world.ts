/**
 * Surroundings of the client that meets the faults: a simulated KMS and NSM, and a relay between client and
 * KMS.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { AttestationError, type EngineName } from "../../mod.ts";
import type { TcpEndpoint } from "../../lib/core/endpoint.ts";
import type { NsmTransport } from "../../lib/nsm/mod.ts";
import { SUPERVISED_VARIABLE } from "../../sim/instruments.ts";
import {
  attestedKeyPolicy,
  type SimulatedCredentials,
  type Simulator,
  startSimulator,
} from "../../sim/mod.ts";
import { disguiseBytes } from "../support/disguise.ts";
import { corruptRecord, Relay, type RelayPlan, splitRecords } from "../support/relay.ts";
import type { Ask, CredentialsFeed, FaultySubject } from "./client.ts";
import { isTimeout } from "./outcome.ts";
import type { CredentialsFault, FaultRow, Making, ProxyFault } from "./matrix.ts";

/** For calls that are to end: nothing is asserted about how long they take. */
export const PATIENT_MS = 60_000;

/** For calls that can only time out. */
export const IMPATIENT_MS = 150;

const PLAINTEXT_BYTES = 48;

/** More than the waits between three attempts. */
const ABSENCE_MS = 200;

/** Longer than what follows a handshake or an answer, and shorter than an answer. */
const MIN_ANSWER_BYTES = 600;

const NOWHERE: TcpEndpoint = { transport: "tcp", host: "127.0.0.1", port: 1 };

/** A fault in force. */
export interface Fault {
  /** Call to make. */
  readonly ask: Ask;
  /** Runs once the provider was asked for the credentials of the request. */
  readonly onceAsked?: (() => Promise<void>) | undefined;
  /** Puts everything right again. */
  readonly end: () => Promise<void>;
}

/** Length of one exchange over a new connection, in each direction, in bytes and in TLS records. */
interface Exchange {
  readonly toServer: number;
  readonly toClient: number;
  /** Which record to the client holds the answer. */
  readonly answer: number;
}

/** See the module. */
export class World implements AsyncDisposable {
  readonly simulator: Simulator;
  readonly relay: Relay;
  readonly plaintext: Uint8Array<ArrayBuffer>;
  readonly ask: Ask;
  /** The software NSM in this process, for a client that is here as well. */
  readonly nsm: NsmTransport;
  readonly #engine: EngineName;
  #device: AsyncDisposable | undefined;
  #hasNsm = true;
  #isDisposed = false;
  #exchange: Exchange | undefined;
  /** Every secret access key that was given out. */
  readonly secretKeys: Uint8Array[] = [];
  readonly #sessionTokens: Uint8Array[] = [];

  private constructor(
    engine: EngineName,
    simulator: Simulator,
    relay: Relay,
    plaintext: Uint8Array<ArrayBuffer>,
    ask: Ask,
  ) {
    this.#engine = engine;
    this.simulator = simulator;
    this.relay = relay;
    this.plaintext = plaintext;
    this.ask = ask;
    this.nsm = {
      exchange: (request) => this.#hasNsm ? simulator.nsm.exchange(request) : Promise.reject(noNsm()),
      [Symbol.dispose]: () => {},
    };
  }

  /**
   * Starts the surroundings.
   *
   * @param engine Engine of the client: each row has an outcome for it
   * @param timeoutMs Deadline of calls that end
   */
  static async start(engine: EngineName, timeoutMs: number = PATIENT_MS): Promise<World> {
    const simulator = await startSimulator();
    const relay = await Relay.start(simulator.endpoint);
    const plaintext = new Uint8Array(randomBytes(PLAINTEXT_BYTES));
    // A document of debug mode is another enclave's.
    const policy = attestedKeyPolicy({ 0: simulator.nsm.pcr(0) });
    const { arn: keyId } = await simulator.createKey({ policy });
    const ciphertext = await simulator.encrypt({ keyId, plaintext });
    const ask: Ask = {
      ciphertext: Buffer.from(ciphertext).toString("base64"),
      keyId,
      timeoutMs,
    };
    const world = new World(engine, simulator, relay, plaintext, ask);
    await world.#connectDevice();
    return world;
  }

  /** The plaintext, then every secret access key and session token that was given out. */
  get secrets(): readonly Uint8Array[] {
    return [this.plaintext, ...this.secretKeys, ...this.#sessionTokens];
  }

  /** Gives the subject valid credentials. */
  async giveCredentials(subject: FaultySubject): Promise<void> {
    await subject.useCredentials(this.#feed(this.simulator.credentials));
  }

  /**
   * @param fault A row of the table
   * @param subject Client that it hits
   * @param patience Deadline of a call that times out, in multiples of {@link IMPATIENT_MS}
   */
  async make(
    { made, ownClient, expected }: FaultRow,
    subject: FaultySubject,
    patience: number = 1,
  ): Promise<Fault> {
    const ask: Ask = {
      ...this.ask,
      ...(isTimeout(expected[this.#engine]) ? { timeoutMs: IMPATIENT_MS * patience } : {}),
      ...(ownClient === "as ever" ? { own: true } : {}),
      ...(ownClient !== undefined && ownClient !== "as ever" ? { has: ownClient } : {}),
      ...(made.by === "options" ? { has: made.has } : {}),
      ...(made.by === "no NSM" && made.when === "opening" ? { has: "no NSM" } : {}),
      ...(made.by === "process" ? { meanwhile: made.does } : {}),
    };
    const onceAsked = await this.#begin(made, subject).catch(async (error) => {
      await this.#end(made, subject).catch(() => {});
      throw error;
    });
    return { ask, onceAsked, end: () => this.#end(made, subject) };
  }

  /** Disposing twice is harmless. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    await this.#disconnectDevice();
    await this.relay[Symbol.asyncDispose]();
    await this.simulator.close();
  }

  async #begin(made: Making, subject: FaultySubject): Promise<Fault["onceAsked"]> {
    const { kms, nsm } = this.simulator;
    switch (made.by) {
      case "kms":
        if (made.fault.kind === "certificate" || made.fault.kind === "tlsSilence") {
          await this.relay.breakOpen();
        }
        await kms.injectFault(made.fault, made.times === undefined ? {} : { times: made.times });
        // The connection of the call before is what ends, and the client hears of it before it is asked again.
        if (made.fault.kind === "closeWhenIdle") {
          await subject.decrypt(this.ask).seen;
          await this.relay.closedByClients();
        }
        return;
      case "members":
        kms.tamper((members) => changed(members, made.change));
        return;
      case "cut": {
        const { [made.direction]: length } = await this.#measure(subject);
        const atByte = Math.floor(length * made.part);
        return await this.#plan({ cut: { direction: made.direction, atByte, how: made.how } });
      }
      case "proxy":
        return await this.#beginProxy(made.does, subject);
      case "nsm":
        nsm.injectFault(made.fault);
        return;
      case "no NSM":
        await this.#disconnectDevice();
        return;
      case "credentials":
        return await this.#beginCredentials(made.are, subject);
      case "clock":
        kms.clockOffsetMs = made.offsetMs;
        return;
      case "process":
        if (made.does === "closes the client") {
          await kms.injectFault({ kind: "latency", ms: 200 }, { times: 1 });
        }
        if (made.does !== "ends a worker") return;
        await kms.injectFault({ kind: "hang" });
        return () => kms.clearFaults();
      case "options":
        return;
    }
  }

  async #beginProxy(does: ProxyFault, subject: FaultySubject): Promise<Fault["onceAsked"]> {
    switch (does) {
      case "cannot reach KMS":
        this.relay.redirect(NOWHERE);
        return await this.#plan({});
      case "comes back":
        this.relay.redirect(NOWHERE);
        await this.#plan({});
        return async () => {
          await sleep(ABSENCE_MS);
          this.relay.redirect(this.simulator.endpoint);
        };
      case "breaks idle connections":
        await subject.decrypt(this.ask).seen;
        await this.relay.breakOpen();
        return;
      case "answers in plain HTTP":
        return await this.#plan({ replay: { toServer: new Uint8Array(), toClient: PLAIN_ANSWER } });
      case "corrupts the handshake":
        return await this.#plan({ records: { toClient: corruptRecord(0) } });
      case "corrupts the answer": {
        const { answer } = await this.#measure(subject);
        return await this.#plan({ records: { toClient: corruptRecord(answer) } });
      }
    }
  }

  async #beginCredentials(are: CredentialsFault, subject: FaultySubject): Promise<Fault["onceAsked"]> {
    const { kms } = this.simulator;
    const issued = kms.issueCredentials();
    const use = async (feed: CredentialsFeed) => {
      await subject.useCredentials(feed);
      return undefined;
    };
    switch (are) {
      case "expired by their own date":
      case "expired by their own date, and to be refused":
        return await use({ ...this.#feed(issued), expiration: Date.now() - 1000 });
      case "expired for KMS":
        kms.expireCredentials(issued);
        return await use(this.#feed(issued));
      case "expired for KMS, and the provider throws from then on":
        kms.expireCredentials(issued);
        return await use({ ...this.#feed(issued), then: { gives: "thrown" } });
      case "revoked, and others are there":
        kms.revokeCredentials(issued);
        return await use({ ...this.#feed(issued), then: this.#feed(kms.issueCredentials()) });
      case "of a wrong secret, and others are there": {
        const { secretAccessKey } = kms.issueCredentials();
        return await use({ ...this.#feed({ ...issued, secretAccessKey }), then: this.#feed(issued) });
      }
      case "revoked":
        kms.revokeCredentials(issued);
        return await use(this.#feed(issued));
      case "of a wrong secret":
        return await use(this.#feed({ ...issued, secretAccessKey: kms.issueCredentials().secretAccessKey }));
      case "without their token": {
        const { sessionToken: _, ...feed } = this.#feed(issued);
        return await use(feed);
      }
      case "malformed":
      case "nothing":
      case "thrown":
      case "never given":
        return await use({ gives: are });
      case "replaced on the way":
      case "expired on the way, and others are there":
      case "revoked on the way, and others are there":
        await use(this.#feed(issued));
        return await this.#replaceOnTheWay(are, issued, subject);
    }
  }

  /** Ends credentials while their request is under way: KMS answers late. */
  async #replaceOnTheWay(are: CredentialsFault, issued: SimulatedCredentials, subject: FaultySubject) {
    const { kms } = this.simulator;
    await kms.injectFault({ kind: "latency", ms: 100 }, { times: 1 });
    return async () => {
      await this.giveCredentials(subject);
      if (are === "revoked on the way, and others are there") kms.revokeCredentials(issued);
      if (are === "expired on the way, and others are there") kms.expireCredentials(issued);
    };
  }

  async #end(made: Making, subject: FaultySubject): Promise<void> {
    const { kms, nsm } = this.simulator;
    nsm.clearFaults();
    await kms.clearFaults();
    kms.clockOffsetMs = 0;
    this.relay.redirect(this.simulator.endpoint);
    this.relay.clear();
    // What waits on a connection that was cut or left without an answer, waits no longer.
    if (made.by !== "nsm" && made.by !== "credentials") await this.relay.breakOpen();
    if (made.by === "credentials") await this.giveCredentials(subject);
    if (made.by === "no NSM") await this.#connectDevice();
    if (made.by === "nsm" && made.fault.kind === "silent") {
      await this.#disconnectDevice();
      await this.#connectDevice();
    }
  }

  /** Plans faults for new connections, and closes the old ones. */
  async #plan(plan: RelayPlan): Promise<undefined> {
    this.relay.planForNew(plan);
    await this.relay.breakOpen();
  }

  async #measure(subject: FaultySubject): Promise<Exchange> {
    if (this.#exchange !== undefined) return this.#exchange;
    await this.relay.breakOpen();
    await subject.decrypt(this.ask).seen;
    const { toServer, toClient } = this.relay.recordings.at(-1)!;
    const answer = splitRecords(toClient).findLastIndex(({ bytes }) => bytes.length >= MIN_ANSWER_BYTES);
    return this.#exchange = { toServer: toServer.length, toClient: toClient.length, answer };
  }

  #feed({ accessKeyId, secretAccessKey, sessionToken }: SimulatedCredentials) {
    const secretKey = new TextEncoder().encode(secretAccessKey);
    const token = new TextEncoder().encode(sessionToken);
    this.secretKeys.push(secretKey);
    this.#sessionTokens.push(token);
    return {
      gives: "values",
      accessKeyId,
      secretAccessKey: disguiseBytes(secretKey),
      sessionToken: disguiseBytes(token),
    } as const;
  }

  /** Lets the software NSM answer at /dev/nsm as well, in a supervised process. */
  async #connectDevice(): Promise<void> {
    this.#hasNsm = true;
    const sockets = process.env[SUPERVISED_VARIABLE];
    if (sockets === undefined) return;
    this.#device = await this.simulator.nsm.listen(join(sockets, `nsm-${process.pid}.sock`));
  }

  async #disconnectDevice(): Promise<void> {
    this.#hasNsm = false;
    await this.#device?.[Symbol.asyncDispose]();
    this.#device = undefined;
  }
}

const PLAIN_ANSWER = new Uint8Array(Buffer.from("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"));

/** Makes the error of a transport that finds no module. */
function noNsm(): AttestationError {
  return new AttestationError("UNAVAILABLE", "Cannot ask the NSM: it is gone", {
    hint: "Was it here before?",
  });
}

function changed(
  members: Readonly<Record<string, unknown>>,
  change: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const entries = Object.entries({ ...members, ...change }).filter(([, value]) => value !== null);
  return Object.fromEntries(entries);
}
