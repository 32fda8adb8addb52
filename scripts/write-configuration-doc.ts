// Writes docs/configuration.md from the schema. With --check it writes nothing and exits 1 when the
// page is behind, for the check before a commit.
import { readFileSync, writeFileSync } from "node:fs";
import { configurationDoc } from "../src/config/configuration-doc.ts";

const page = new URL("../docs/configuration.md", import.meta.url);
if (process.argv.includes("--check")) {
  if (readFileSync(page, "utf8") !== configurationDoc()) {
    process.stderr.write("docs/configuration.md is behind src/config; run `npm run docs`\n");
    process.exitCode = 1;
  }
} else {
  writeFileSync(page, configurationDoc());
}
