/**
 * Builds an image of many files for a test that leaves it few descriptors: `node many_files_child.ts FOLDER`.
 *
 * @module
 */
import process from "node:process";
import { buildImage } from "../../deploy/eif/build_image.ts";

const [folder = ""] = process.argv.slice(2);
const { image } = await buildImage({ manifest: `${folder}/image.json`, output: `${folder}/out` });
console.log(image.bytes);
