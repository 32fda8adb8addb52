// The quick check before a commit: types, lint, format, unused code, drift of the generated page and
// the unit tests, side by side. Prints one line a part and the output of those that failed; exits 1
// then. `npm run check -- types lint` runs only the parts named.
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";

const PARTS: Readonly<Record<string, readonly [program: string, ...args: string[]]>> = {
  unit: ["vitest", "run", "--project", "unit", "--reporter", "dot"],
  types: ["tsc", "-p", "."],
  lint: ["oxlint", "--type-aware", "--deny-warnings", "src", "test", "scripts"],
  format: ["oxfmt", "--check", "."],
  knip: ["knip"],
  docs: ["node", "scripts/write-configuration-doc.ts", "--check"],
};

interface Result {
  ok: boolean;
  output: string;
}

const runPart = (name: string): Promise<Result> => {
  const [program, ...args] = PARTS[name] ?? [];
  if (program === undefined) throw new Error(`no such part: ${name}`);
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.on("error", (error) => resolve({ ok: false, output: error.message }));
    child.on("close", (code) =>
      resolve({ ok: code === 0, output: Buffer.concat(chunks).toString() }),
    );
  });
};

const runAll = async (names: readonly string[]): Promise<boolean> => {
  const waiting = [...names];
  let allOk = true;
  const worker = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const started = performance.now();
      const { ok, output } = await runPart(name);
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      process.stdout.write(`${ok ? "ok  " : "FAIL"} ${name} (${seconds} s)\n`);
      if (!ok) process.stdout.write(`${output.trimEnd()}\n\n`);
      allOk &&= ok;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return allOk;
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in PARTS));
if (unknown.length > 0) {
  process.stderr.write(
    `no part ${unknown.join(", ")}; there are ${Object.keys(PARTS).join(" ")}\n`,
  );
  process.exitCode = 64;
} else {
  process.exitCode = (await runAll(asked.length > 0 ? asked : Object.keys(PARTS))) ? 0 : 1;
}
