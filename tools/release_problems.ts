/** Files that a release is made from, and its circumstances. */
export interface ReleaseParts {
  /** Content of package.json. */
  readonly manifest: string;
  /** Content of deno.json. */
  readonly denoManifest: string;
  /** Content of package-lock.json. */
  readonly lock: string;
  /** Content of CHANGELOG.md. */
  readonly changelog: string;
  /** Version in lib/core/version.ts. */
  readonly version: string;
  /** Content of the pages that say how to install, by path. */
  readonly pages: Readonly<Record<string, string>>;
  /** Day of the release, `2026-01-31`. */
  readonly today: string;
  /** Git tag of the release, such as `v0.1.0`. */
  readonly tag?: string | undefined;
  /** Repository that the workflow runs in, `OWNER/NAME`. */
  readonly runsIn?: string | undefined;
}

/** Text of the pages while nobody can install by name. */
const UNRELEASED = /in no registry|not owned yet/;

/**
 * Tells whether the package is marked private, so that nothing is released at all.
 *
 * @param manifest Content of package.json
 */
export function isPrivate(manifest: string): boolean {
  const { private: mark = false } = JSON.parse(manifest) as { readonly private?: unknown };
  return mark !== false;
}

/**
 * Finds what stands against a release. An empty list says that the files agree, not that the release is good.
 *
 * @param parts Files and circumstances
 * @returns A sentence for each problem
 */
export function problemsOfRelease(parts: ReleaseParts): readonly string[] {
  const manifest = JSON.parse(parts.manifest) as Readonly<Record<string, unknown>>;
  const version = String(manifest["version"]);
  return [
    ...(isPrivate(parts.manifest) ? ["package.json is private: its name is not owned yet"] : []),
    ...problemsOfVersion(version, parts),
    ...problemsOfAddress(manifest, parts.runsIn),
    ...problemsOfChangelog(version, parts),
    ...problemsOfPages(version, parts.pages),
  ];
}

function problemsOfVersion(version: string, parts: ReleaseParts): string[] {
  const lock = JSON.parse(parts.lock) as {
    readonly version?: unknown;
    readonly packages?: Readonly<Record<string, { readonly version?: unknown }>>;
  };
  const deno = JSON.parse(parts.denoManifest) as { readonly name?: unknown; readonly version?: unknown };
  const others: readonly (readonly [string, unknown])[] = [
    ["deno.json", deno.version],
    ["package-lock.json", lock.version],
    ['packages[""] of package-lock.json', lock.packages?.[""]?.version],
    ["lib/core/version.ts", parts.version],
  ];
  return [
    ...(/^(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}(?:-[\da-z]+(?:\.[\da-z]+)*)?$/.test(version)
      ? []
      : [`package.json has the version ${version}, which is none of semantic versioning`]),
    ...others.filter(([, other]) => other !== version)
      .map(([name, other]) => `${name} has the version ${other}, and package.json ${version}`),
    ...(/^@[\da-z-]+\/[\da-z-]+$/.test(String(deno.name)) ? [] : ["deno.json has no name with a scope"]),
    ...(parts.tag === undefined || parts.tag === `v${version}`
      ? []
      : [`the tag is ${parts.tag}, and must be v${version}`]),
  ];
}

/** Checks that users find the sources: npm's provenance demands that `repository` is the one that the workflow runs in. */
function problemsOfAddress(
  manifest: Readonly<Record<string, unknown>>,
  runsIn: string | undefined,
): string[] {
  const { repository, bugs, homepage } = manifest as {
    readonly repository?: { readonly type?: unknown; readonly url?: unknown };
    readonly bugs?: { readonly url?: unknown };
    readonly homepage?: unknown;
  };
  const found = /^git\+https:\/\/[\w.-]+\/([\w.-]+\/[\w.-]+)\.git$/.exec(String(repository?.url))?.[1];
  return [
    ...(repository?.type === "git" && found !== undefined
      ? []
      : ["package.json has no repository { type: git, url: git+https://…/OWNER/NAME.git }"]),
    ...(isHttps(bugs?.url) ? [] : ["package.json has no bugs { url: https://… }"]),
    ...(isHttps(homepage) ? [] : ["package.json has no homepage https://…"]),
    ...(found === undefined || runsIn === undefined || found === runsIn
      ? []
      : [`repository of package.json is ${found}, and the workflow runs in ${runsIn}`]),
  ];
}

function isHttps(url: unknown): boolean {
  return typeof url === "string" && URL.canParse(url) && new URL(url).protocol === "https:";
}

function problemsOfChangelog(version: string, { changelog, today }: ReleaseParts): string[] {
  const [section = "", ...older] = changelog.split(/^(?=## )/m).slice(1);
  const [, first, date] = /^## \[([^\]]+)\] - (.+)$/m.exec(section) ?? [];
  const dated = [section, ...older].some((text) => text.startsWith(`## [${version}] - `));
  if (!dated) return [`CHANGELOG.md has no section [${version}]`];
  return [
    ...(first === version ? [] : [`the first section of CHANGELOG.md is not [${version}]`]),
    ...(first !== version || isDay(date) ? [] : [`CHANGELOG.md has no date for ${version}: it says ${date}`]),
    ...(isDay(date) && String(date) > today ? [`CHANGELOG.md dates ${version} after today`] : []),
    ...(first === version && !/^- /m.test(section) ? [`CHANGELOG.md says nothing about ${version}`] : []),
  ];
}

function isDay(text: string | undefined): boolean {
  if (text === undefined || !/^\d{4}-\d\d-\d\d$/.test(text)) return false;
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

function problemsOfPages(version: string, pages: ReleaseParts["pages"]): string[] {
  return Object.entries(pages).flatMap(([path, text]) => {
    const tarballs = Array.from(text.matchAll(/enclave-kms-(\d[\w.-]*)\.tgz/g), ([, named = ""]) => named);
    return [
      ...(UNRELEASED.test(text.replaceAll(/\s+/g, " "))
        ? [`${path} still says that the package is in no registry`]
        : []),
      ...[...new Set(tarballs)].filter((named) => named !== version)
        .map((named) => `${path} names enclave-kms-${named}.tgz`),
    ];
  });
}
