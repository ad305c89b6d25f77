import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Enclave of the {@link FakeNitroCli}, as it is listed. */
export interface FakeEnclave {
  readonly EnclaveName?: string;
  readonly EnclaveID: string;
  readonly ProcessID: number;
  readonly EnclaveCID: number;
  readonly NumberOfCPUs: number;
  readonly CPUIDs: readonly number[];
  readonly MemoryMiB: number;
  readonly State: string;
  readonly Flags: string;
  readonly Measurements?: Readonly<Record<string, string>>;
}

type NitroCommand = "run-enclave" | "describe-enclaves" | "terminate-enclave" | "console";

/** Id of the enclave that the fake runs first. */
export const FIRST_ID = "i-0000000000000000-enc1";

/**
 * Program that stands for nitro-cli: it keeps enclaves as files, and prints what nitro-cli prints. A command can be
 * replaced by a script, which may fall back to what the command does otherwise by ending with `standard`.
 */
export class FakeNitroCli implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "enclave-kms-nitro-"));
  /** Path of the program. */
  readonly path: string = join(this.folder, "nitro-cli");
  /** Path of an image of 10 MiB and a byte. */
  readonly eifPath: string = join(this.folder, "image.eif");

  constructor() {
    mkdirSync(join(this.folder, "enclaves"));
    writeFileSync(this.path, SCRIPT.replaceAll("FOLDER", this.folder));
    chmodSync(this.path, 0o700);
    writeFileSync(this.eifPath, new Uint8Array((10 << 20) + 1));
  }

  /** Command lines that it was run with, words separated by spaces. */
  get calls(): readonly string[] {
    const path = join(this.folder, "calls");
    return existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n") : [];
  }

  /** Ids of the enclaves that there are. */
  get ids(): readonly string[] {
    return readdirSync(join(this.folder, "enclaves"));
  }

  /** Replaces a command by lines of sh; undefined takes the replacement back. */
  replace(command: NitroCommand, script: string = STANDARD): void {
    this.#put(`${command}.sh`, script);
  }

  /** Lets each enclave be a process, which it ends with, and which ends with it. Its output is {@link output}. */
  startProcesses(command: readonly string[], variables: Readonly<Record<string, string>>): void {
    const env = Object.entries(variables).map(([name, value]) => `${name}=${quote(value)}`).join(" ");
    const run = command.map(quote).join(" ");
    const isGone = `[ ! -d /proc/$(cat pid) ] || grep -q '^State:.Z' /proc/$(cat pid)/status`;
    // The enclave is listed once its process is known: whoever asks in between would find that it has ended.
    this.replace(
      "run-enclave",
      `${env} ${run} </dev/null >>application.log 2>&1 &\necho $! > pid.new\nmv pid.new pid\n${STANDARD}`,
    );
    this.replace(
      "terminate-enclave",
      `kill $(cat pid) 2>/dev/null\nwhile ! { ${isGone}; }; do sleep 0.1; done\n${STANDARD}`,
    );
    this.replace(
      "describe-enclaves",
      `if [ -f pid ] && { ${isGone}; }; then rm -f enclaves/*; fi\n${STANDARD}`,
    );
  }

  /** Output of the processes. */
  get output(): string {
    const path = join(this.folder, "application.log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** Process of the enclave that was run last. */
  get pid(): number {
    return Number(readFileSync(join(this.folder, "pid"), "utf8"));
  }

  /** Adds an enclave that runs already. */
  add(enclave: Partial<FakeEnclave>): void {
    const whole: FakeEnclave = {
      EnclaveName: "other",
      EnclaveID: "i-0000000000000000-encff",
      ProcessID: 1,
      EnclaveCID: 20,
      NumberOfCPUs: 2,
      CPUIDs: [1, 3],
      MemoryMiB: 512,
      State: "RUNNING",
      Flags: "NONE",
      ...enclave,
    };
    this.#put(join("enclaves", whole.EnclaveID), JSON.stringify(whole, undefined, 2));
  }

  /** Ends an enclave as if by itself. */
  kill(id: string = FIRST_ID): void {
    rmSync(join(this.folder, "enclaves", id), { force: true });
  }

  /** Writes a file at one stroke: a program that runs meanwhile reads the old one or the new one, and never a part. */
  #put(name: string, content: string): void {
    const unfinished = join(this.folder, "unfinished");
    writeFileSync(unfinished, content);
    renameSync(unfinished, join(this.folder, name));
  }

  /** Removes the folder, though a call that was broken off just now may still write into it. */
  [Symbol.dispose](): void {
    for (let tries = 0;; tries++) {
      try {
        return rmSync(this.folder, { recursive: true, force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOTEMPTY" || tries === 100) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
      }
    }
  }
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Script that does what the command does otherwise. */
const STANDARD = 'standard "$@"\n';

const SCRIPT = `#!/bin/sh
cd FOLDER || exit 99
echo "$*" >> calls
command=$1
describe_enclaves() {
  printf '['
  separator=
  for file in enclaves/*; do
    enclave=$(cat "$file" 2>/dev/null) || continue
    printf '%s\\n%s\\n' "$separator" "$enclave"
    separator=,
  done
  printf ']\\n'
}
run_enclave() {
  flags=NONE
  while [ $# -gt 0 ]; do
    case $1 in
      --enclave-name) name=$2; shift ;;
      --enclave-cid) cid=$2; shift ;;
      --cpu-count) cpus=$2; shift ;;
      --memory) memory=$2; shift ;;
      --debug-mode) flags=DEBUG_MODE ;;
    esac
    shift
  done
  number=$(($(cat number 2>/dev/null || echo 0) + 1))
  echo $number > number
  id=i-0000000000000000-enc$number
  grep -qs "\\"EnclaveName\\": \\"$name\\"" enclaves/* && name=\${name}_1
  cat > unfinished-$id <<END
{
  "EnclaveName": "$name",
  "EnclaveID": "$id",
  "ProcessID": 1,
  "EnclaveCID": $cid,
  "NumberOfCPUs": $cpus,
  "CPUIDs": [1, 3],
  "MemoryMiB": $memory,
  "State": "\${state:-RUNNING}",
  "Flags": "\${forced:-$flags}"
}
END
  enclave=$(cat unfinished-$id)
  mv unfinished-$id enclaves/$id
  echo "Start allocating memory..." >&2
  echo "Started enclave with enclave-cid: $cid, memory: $memory MiB, cpu-ids: [1, 3]" >&2
  echo "$enclave"
}
terminate_enclave() {
  id=$3
  [ -f "enclaves/$id" ] || fail E40 40
  rm "enclaves/$id"
  echo "Successfully terminated $id." >&2
  printf '{\\n  "EnclaveName": "some",\\n  "EnclaveID": "%s",\\n  "Terminated": true\\n}\\n' "$id"
}
fail() {
  echo "[ $1 ] What it is." >&2
  echo "For more details, please visit https://docs.aws.amazon.com/enclaves" >&2
  exit $2
}
standard() {
  shift
  case $command in
    describe-enclaves) describe_enclaves "$@" ;;
    run-enclave) run_enclave "$@" ;;
    terminate-enclave) terminate_enclave "$command" "$@" ;;
    console) echo "Connecting to the console for enclave 16..."; echo "Booting"; sleep 3600 ;;
  esac
}
if [ -f "$command.sh" ]; then . "./$command.sh"; else standard "$@"; fi
`;
