/**
 * @param caller The CID of good callers and attackers alike
 * @returns Policies in Cedar: a caller may decrypt, unless the encryption context has the tag `denied`,
 *   attest, and set credentials
 */
export function attackPolicy(caller: number): string {
  return `@id("own")
permit(principal == Caller::"${caller}", action == Action::"Decrypt", resource)
unless { context.encryptionContext.hasTag("denied") };
permit(principal == Caller::"${caller}", action == Action::"GetAttestation", resource);
permit(principal == Caller::"${caller}", action in [Action::"SetCredentials", Action::"SetOwnCredentials"], resource);
`;
}
