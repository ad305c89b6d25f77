/** Bundles program.mjs of one folder into webpack.cjs of another, as a user of webpack does. */
import process from "node:process";
import { inspect } from "node:util";
import webpack from "webpack";

const [from, to] = process.argv.slice(2);
const compiler = webpack({
  mode: "production",
  target: "node22",
  context: from,
  entry: "./program.mjs",
  output: { path: to, filename: "webpack.cjs", library: { type: "commonjs2" } },
});

compiler.run((error, stats) => {
  const problems = error ? [error] : [...stats.compilation.errors, ...stats.compilation.warnings];
  for (const problem of problems) console.error(inspect(problem.message));
  process.exitCode = problems.length === 0 ? 0 : 1;
});
