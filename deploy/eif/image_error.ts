import { ImageError } from "../../lib/core/errors.ts";

/**
 * Makes the error of an image file that is not as it must be.
 *
 * @param why Reason, such as `section 2 is of type 9, which is none`
 * @returns The error
 */
export function malformedImage(why: string): ImageError {
  return new ImageError(`Cannot read the image: ${why}`, {
    hint: "Is it an EIF file of version 4, and whole? Compare its SHA-384 with the one of its build summary",
  });
}

/**
 * Makes the error of a file that is not the one that a manifest names.
 *
 * @param name Its place in the image, such as `usr/bin/node`
 * @param why Reason
 * @returns The error
 */
export function changedFile(name: string, why: string): ImageError {
  return new ImageError(`Cannot write ${name} into the image: ${why}`, {
    hint: "Did the file change since the manifest was written? sha256sum prints what it is now",
  });
}

/**
 * Makes the error of a file with another hash.
 *
 * @param name Its place in the image
 * @param hash File, hash that was found, and hash that was expected
 * @returns The error
 */
export function otherHash(name: string, hash: { from: string; found: string; expected: string }): ImageError {
  const { from, found, expected } = hash;
  return changedFile(name, `the SHA-256 of ${from} is ${found}, and ${expected} was expected`);
}
