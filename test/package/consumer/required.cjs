/** A CommonJS program: no module of the package awaits outside functions, so it can be required. */
const assert = require("node:assert/strict");
const { KmsClient } = require("enclave-kms");

assert.equal(typeof KmsClient.open, "function");
require("./program.mjs");
