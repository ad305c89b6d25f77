/**
 * Form of the signed payload: a map of open length, as AWS has written since the middle of 2025, or one of
 * nine fields, as it wrote before.
 */
export type DocumentForm = "indefinite" | "definite";
