/** Example of draft-ietf-ohai-chunked-ohttp-08, in its section of that name. */
export const DRAFT = {
  secretKey: "1c190d72acdbe4dbc69e680503bb781a932c70a12c8f3754434c67d8640d8698",
  publicKey: "668eb21aace159803974a4c67f08b4152d29bed10735fd08f98ccdd6fe095708",
  keyConfig: "010020668eb21aace159803974a4c67f08b4152d29bed10735fd08f98ccdd6fe09570800080001000100010003",
  request: "00034745540568747470730b6578616d706c652e636f6d012f",
  ephemeralSecret: "b26d565f3f875ed480d1abced3d665159650c99174fd0b124ac4bda0c64ae324",
  ephemeralPublic: "8811eb457e100811c40a0aa71340a1b81d804bb986f736f2f566a7199761a032",
  /** Head, encapsulated key, and three chunks. */
  sealedRequest: [
    "01002000010001",
    "8811eb457e100811c40a0aa71340a1b81d804bb986f736f2f566a7199761a032",
    "1c2ad24942d4d692563012f2980c8fef437a336b9b2fc938ef77a5834f",
    "1d2e33d8fd25577afe31bd1c79d094f76b6250ae6549b473ecd950501311",
    "001c6c1395d0ef7c1022297966307b8a7f",
  ],
  response: "0140c8",
  responseNonce: "bcce7f4cb921309ba5d62edf1769ef09",
  /** Three chunks. */
  sealedResponse: [
    "1179bf1cc87fa0e2c02de4546945aa3d1e48",
    "12b348b5bd4c594c16b6170b07b475845d1f32",
    "00ed9d8a796617a5b27265f4d73247f639",
  ],
} as const;
