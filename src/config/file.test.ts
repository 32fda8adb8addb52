// The configuration file before the schema sees it: YAML faults with key and line, variables inside
// texts, and secrets in files of their own. No message repeats what the file says.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ConfigFileState } from "./config-file.ts";
import { readDocument, readSecretFiles } from "./file.ts";
import { dotted, type Path, valueAt } from "./keys.ts";

const problemsOf = (text: string, env = {}) => readDocument(text, env).problems;

const treeOf = (text: string, env = {}): unknown => {
  const { tree, problems } = readDocument(text, env);
  expect(problems).toEqual([]);
  return tree;
};

describe("YAML", () => {
  test.each([
    ["nothing", "", 1, "the file is empty"],
    ["blanks", "  \n\n", 1, "the file is empty"],
    ["comments alone", "# a\n# b\n", 1, "the file is empty"],
    ["a document mark alone", "---\n", 1, "the file is empty"],
    ["a text", "hello", 1, "write keys and values"],
    ["a list", "- a\n", 1, "write keys and values"],
    ["a tab as indent", "polling:\n\ttimezone: UTC\n", 2, "indent with spaces"],
    ["an open quote", 'data_dir: "canary\n', 2, "correct the YAML here (missing char)"],
    ["two documents", "a: 1\n---\nb: 2\n", 2, "write one document"],
    ["an alias without anchor", "a: 1\nb: *canary\n", 2, "write an anchor"],
    ["a tag", "a: !canary 1\n", 1, "write plain values, without tags"],
    ["a variable without quotes in braces", "http: { port: ${PORT} }\n", 1, "needs quotes"],
    ["a nested key on one line", "a: b: canary\n", 1, "correct the YAML here"],
  ])("with %s is told by line", (...[, text, line, message]) => {
    const problems = problemsOf(text);
    expect(problems[0]).toMatchObject({ line, message: expect.stringContaining(message) });
    expect(JSON.stringify(problems.map((problem) => problem.message))).not.toContain("canary");
  });

  test("with a key twice names the key and the second line", () => {
    const text = "webhook:\n  url: https://canary\n  secret: x\n  url: https://canary2\n";
    expect(problemsOf(text)).toEqual([
      { key: "webhook.url", line: 4, message: "the key stands twice; keep one of them" },
    ]);
  });

  test("with aliases that multiply is refused", () => {
    const rows = ["a: &a [x, x, x, x, x, x, x, x, x, x]"];
    for (const [of, from] of ["ba", "cb", "dc", "ed"].map((pair) => [pair[0], pair[1]]))
      rows.push(`${of}: &${of} [${Array.from({ length: 10 }, () => `*${from}`).join(", ")}]`);
    expect(problemsOf(rows.join("\n"))).toEqual([
      { key: "", line: 1, message: "use fewer aliases (*name)" },
    ]);
  });

  test("may share values by anchor and alias", () => {
    const text = 'a: &imap { host: h, password: "${P}" }\nb: *imap\n';
    expect(treeOf(text, { P: "p" })).toEqual({
      a: { host: "h", password: "p" },
      b: { host: "h", password: "p" },
    });
  });

  test("keeps days as texts and a key named __proto__ as a key", () => {
    expect(
      valueAt(treeOf("polling: { vacation_start: 2026-12-20 }"), ["polling", "vacation_start"]),
    ).toBe("2026-12-20");
    expect(Object.keys(treeOf("__proto__: { a: 1 }\n") as object)).toEqual(["__proto__"]);
  });

  test("never throws and never leaves a problem without a line", () => {
    const piece = fc.constantFrom(
      "a",
      ":",
      " ",
      "\n",
      "- ",
      "{",
      "}",
      "[",
      "]",
      '"',
      "'",
      "${A}",
      "&x ",
      "*x",
      "|",
      "%",
      "!t ",
      "? ",
      "#",
      "\t",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 25 }), (pieces) => {
        const { problems } = readDocument(pieces.join(""), {});
        expect(problems.every(({ line }) => line !== null && line > 0)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe("the line of a path", () => {
  const { lineOf } = readDocument("# top\na:\n  b: 1\n  c:\n    - x\n    - d: 2\n", {});

  test.each<[Path, number | null]>([
    [["a"], 2],
    [["a", "b"], 3],
    [["a", "c", 0], 5],
    [["a", "c", 1, "d"], 6],
    [["a", "c", 1, "missing", "deep"], 6],
    [["a", "missing"], 2],
    [["elsewhere"], null],
  ])("%j is %j", (path, line) => {
    expect(lineOf(path)).toBe(line);
  });
});

describe("a variable inside a text", () => {
  const env = {
    HOST: "h",
    PORT: "993",
    ON: "yes",
    DAYS: "0, 2",
    EMPTY: "",
    A: "${B}",
    LEVEL: "WARN",
  };
  const at = (text: string, path: Path): unknown => valueAt(treeOf(text, env), path);

  test("is replaced, several times, and not looked into again", () => {
    expect(at('data_dir: "/${HOST}/${HOST}-x"', ["data_dir"])).toBe("/h/h-x");
    expect(at("data_dir: ${A}", ["data_dir"])).toBe("${B}");
  });

  test("takes the type of its key", () => {
    expect(at("http:\n  port: ${PORT}\n", ["http", "port"])).toBe(993);
    expect(at('mailboxes: [{ imap: { port: "${PORT}" } }]', ["mailboxes", 0, "imap", "port"])).toBe(
      993,
    );
    expect(at("enable_background_tasks: ${ON}", ["enable_background_tasks"])).toBe(true);
    expect(at("polling: { active_days: '${DAYS}' }", ["polling", "active_days"])).toEqual([0, 2]);
    expect(at("log_level: ${LEVEL}", ["log_level"])).toBe("warn");
    expect(at("data_dir: ${PORT}", ["data_dir"])).toBe("993");
  });

  test("is literal after a dollar", () => {
    expect(at('data_dir: "$${HOST}-$${"', ["data_dir"])).toBe("${HOST}-${");
    expect(at("data_dir: $HOST$", ["data_dir"])).toBe("$HOST$");
  });

  test.each([
    ["data_dir: ${GONE}", "set the variable GONE, which is missing or empty"],
    ["data_dir: ${EMPTY}", "set the variable EMPTY, which is missing or empty"],
    ["data_dir: ${}", "write ${NAME} with the name of a variable, or $${ for the two characters"],
    [
      "data_dir: ${HOST",
      "write ${NAME} with the name of a variable, or $${ for the two characters",
    ],
    [
      "data_dir: ${HO ST}",
      "write ${NAME} with the name of a variable, or $${ for the two characters",
    ],
  ])("%s is told by key and line", (text, message) => {
    expect(problemsOf(`log_level: info\n${text}`, env)).toEqual([
      { key: "data_dir", line: 2, message },
    ]);
  });

  test("that does not fit its key is told by key and line, without its value", () => {
    expect(problemsOf("http:\n  port: ${HOST}\n", { HOST: "canary" })).toEqual([
      { key: "http.port", line: 2, message: "write a number" },
    ]);
  });

  test("is told in a rule by its place", () => {
    const text = "rules:\n  - id: a\n    actions: { webhook_url: '${GONE}' }\n";
    expect(problemsOf(text)).toMatchObject([{ key: "rules[0].actions.webhook_url", line: 3 }]);
  });
});

describe("a secret in a file of its own", () => {
  const read = (tree: unknown, contents: Readonly<Record<string, string>>) => {
    const problems: string[] = [];
    const result = readSecretFiles(tree, {
      readConfigFile: (path): ConfigFileState | null => {
        if (path === "/etc/unreadable")
          throw Object.assign(new Error("canary"), { code: "EACCES" });
        const text = contents[path];
        return text === undefined ? null : { stamp: "", text };
      },
      locate: (_, name) => `/etc/${name}`,
      complain: (path, message) => problems.push(`${dotted(path)}: ${message}`),
    });
    return { result, problems };
  };

  test("takes the place of its key, one newline dropped", () => {
    const tree = {
      http: { token_file: "t" },
      webhook: { secret_file: "s" },
      mailboxes: [{ id: "a" }, { imap: { host: "h", password_file: "p" } }],
    };
    const contents = { "/etc/t": "tok\r\n", "/etc/s": "one\ntwo\n", "/etc/p": " pass \n\n" };
    expect(read(tree, contents)).toEqual({
      problems: [],
      result: {
        http: { token: "tok" },
        webhook: { secret: ["one", "two"] },
        mailboxes: [{ id: "a" }, { imap: { host: "h", password: " pass \n" } }],
      },
    });
  });

  test.each([
    [{ token_file: "gone" }, "http.token_file: name a file that exists"],
    [{ token_file: "unreadable" }, "http.token_file: make the file readable (EACCES)"],
    [{ token_file: "empty" }, "http.token_file: name a file that is not empty"],
    [
      { token: "a", token_file: "t" },
      "http.token_file: write http.token or http.token_file, not both",
    ],
  ])("%j is told by its key", (http, problem) => {
    expect(read({ http }, { "/etc/empty": "\n", "/etc/t": "x" }).problems).toEqual([problem]);
  });
});
