import { MAX_S3_ERROR_BYTES, parseS3Error, refusalError } from "../../../parent/artefacts/s3_refusal.ts";
import { dictionary, expect, expectSame, type FuzzTarget, utf8 } from "../target.ts";

const REASONS = ["region", "unavailable", "clock", "credentials", "denied", "missing", "redirect", "refused"];

/** An error answer of S3, or of what answers in its place. The first byte chooses the status. */
export const s3: FuzzTarget = {
  name: "s3",
  maxLength: MAX_S3_ERROR_BYTES + 100,
  covers: ["parent/artefacts/s3_refusal.ts"],
  dictionary: dictionary(
    '<?xml version="1.0" encoding="UTF-8"?>',
    ...["<Error>", "</Error>", "<Code>", "</Code>", "<Region>", "</Region>", "<ServerTime>", "</ServerTime>"],
    ...["<Message/>", "<!DOCTYPE x>", "<!--", "&lt;", "<![CDATA[", "NoSuchKey", "SlowDown", "eu-central-1"],
    ...["AccessDenied", "RequestTimeTooSkewed", "ExpiredToken", "2026-01-01T00:00:00Z"],
  ),
  seeds: () => Promise.resolve(SEEDS.map((text) => utf8(`\x01${text}`))),
  run(input) {
    const status = [301, 400, 403, 404, 429, 500, 412][(input[0] ?? 0) % 7] ?? 400;
    const body = input.subarray(1);
    const parts = parseS3Error(body);
    const answer = { status, requestId: undefined, bucketRegion: undefined, parts };
    const error = refusalError(answer, { name: "s3://b/k", region: "eu-central-1" }, 0);
    expect(REASONS.includes(error.reason), "another reason than there are");
    expect(/^[\x20-\x7e]{1,400}$/.test(error.message + error.hint), "text of S3's came into the error");
    if (parts === undefined) return `none ${error.reason}`;
    checkParts(parts, new TextDecoder().decode(body));
    return `${error.reason} ${parts.region === undefined} ${parts.serverTime === undefined}`;
  },
};

/** Finds the code by another way, and that nothing of XML beyond the form was taken. */
function checkParts({ code, region }: { code: string; region: string | undefined }, text: string): void {
  expectSame(text.split("<Code>").length, 2, "the number of codes");
  expectSame(text.slice(text.indexOf("<Code>") + 6, text.indexOf("</Code>")), code, "the code");
  expect(
    !/<!|<\?(?!xml)|&lt;Code/.test(text.replaceAll(/>[^<]*</g, "><")),
    "more of XML than elements was taken",
  );
  if (region !== undefined) {
    expect(text.includes(`<Region>${region}</Region>`), "the region is not the text's");
  }
}

const error = (inner: string) => `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${inner}</Error>`;

const SEEDS: readonly string[] = [
  error(
    "<Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>a</Key><RequestId>4</RequestId>",
  ),
  error("<Code>AuthorizationHeaderMalformed</Code><Message/><Region>eu-west-1</Region><HostId>x=</HostId>"),
  error("<Code>RequestTimeTooSkewed</Code><ServerTime>2026-01-01T00:00:00Z</ServerTime>"),
  error("<Code>SlowDown</Code>"),
  error("<Code>AccessDenied</Code><Message>Access Denied</Message>"),
  "<html><body>502</body></html>",
];
