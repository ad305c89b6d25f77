/** The start in an enclave: the file of the pins is part of the image, and so of PCR0. */
import { readFileSync } from "node:fs";
import { declareSettings, startEnclave } from "enclave-kms/enclave";
import { app, declareSecrets, type Pins } from "./app.ts";

const settings = declareSettings({
  pinsFile: {
    type: "string",
    pattern: "^/",
    default: "/etc/pins.json",
    description: "File of the pins: key ARN, recipient, publisher",
  },
});

const pins = JSON.parse(readFileSync(settings.read().pinsFile, "utf8")) as Pins;
await startEnclave(app, { name: "boot-secrets", secrets: declareSecrets(pins), settings });
