// A private Dovecot on free loopback ports, for tests, benches and corpus runs that want a real mail
// server. It promises to own everything it starts (temporary directory, processes) and to give it
// back at `stop`; any user name logs in with the one password. Needs root and the packages
// dovecot-imapd and openssl.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { setImmediate as yieldToOthers, setTimeout as sleep } from "node:timers/promises";
import iconv from "iconv-lite";

/** The uid and gid of Debian's user `mail`, which owns the mailboxes. */
const MAIL_ID = 8;

/** Files and directories that Dovecot keeps beside the messages of a folder. */
const INDEX_FILES = /^dovecot(?:-uidlist|\.index|\.list\.index)/;

/** Where to deliver, and what INTERNALDATE the messages get (each one millisecond later). */
export interface Delivery {
  folder?: string;
  internalDateMs?: number;
}

/** A running server. */
export interface Dovecot extends AsyncDisposable {
  readonly host: string;
  /** Plain text and STARTTLS. */
  readonly port: number;
  /** Implicit TLS. */
  readonly tlsPort: number;
  /** The certificate authority, for NODE_EXTRA_CA_CERTS. */
  readonly caFile: string;
  readonly password: string;
  readonly logFile: string;
  /** The master process; it leads a process group of its own. */
  readonly pid: number;
  /** Puts messages into a folder in the order given; UIDs follow that order. */
  deliver(user: string, messages: readonly Uint8Array[], options?: Delivery): Promise<void>;
  /** Throws the UIDs of a folder away, as a restored backup does: the next SELECT numbers anew. */
  resetUidvalidity(user: string, folder?: string): void;
  /** The Maildir of a user. */
  mailDir(user: string): string;
  /** SIGSTOP and SIGCONT to the whole process group. */
  pause(): void;
  continue(): void;
  /** Ends the processes and keeps mail and ports; `start` brings them back. */
  shutDown(): Promise<void>;
  start(): Promise<void>;
  /** Ends the processes and removes every trace. */
  stop(): Promise<void>;
}

const freePorts = async (count: number): Promise<number[]> => {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address !== null && typeof address === "object") ports.push(address.port);
  }
  for (const server of servers) {
    server.close();
    await once(server, "close");
  }
  return ports;
};

const makeCertificates = (directory: string): void => {
  const openssl = (...args: string[]): void => {
    execFileSync("openssl", args, { cwd: directory, stdio: "ignore" });
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const authority = ["-addext", "basicConstraints=critical,CA:TRUE"];
  writeFileSync(path.join(directory, "san"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  openssl(
    ...["req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"],
    ...["-subj", "/CN=Signalpost test CA", ...authority],
  );
  openssl("req", ...key, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=localhost");
  openssl(
    ...["x509", "-req", "-in", "tls.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
    ...["-days", "2", "-extfile", "san", "-out", "tls.pem"],
  );
};

const configuration = (directory: string, ports: readonly number[], password: string): string => `
base_dir = ${directory}/run
protocols = imap
listen = 127.0.0.1
log_path = ${directory}/dovecot.log
ssl = yes
ssl_cert = <${directory}/tls.pem
ssl_key = <${directory}/tls.key
mail_location = maildir:${directory}/mail/%u
mail_uid = ${MAIL_ID}
mail_gid = ${MAIL_ID}
first_valid_uid = ${MAIL_ID}
first_valid_gid = ${MAIL_ID}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0 secs
mail_max_userip_connections = 2000
maildir_very_dirty_syncs = no
default_process_limit = 2000
default_client_limit = 5000
passdb {
  driver = static
  args = password=${password}
}
userdb {
  driver = static
  args = uid=${MAIL_ID} gid=${MAIL_ID} home=${directory}/mail/%u
}
namespace inbox {
  inbox = yes
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  service_count = 0
  inet_listener imap {
    port = ${ports[0]}
  }
  inet_listener imaps {
    port = ${ports[1]}
    ssl = yes
  }
}
`;

const listens = async (port: number): Promise<boolean> => {
  const client = await rawClient({ host: "127.0.0.1", port }).catch(() => null);
  client?.close();
  return client !== null;
};

const launch = async (configFile: string, port: number): Promise<ChildProcess> => {
  // Detached: a process group of its own, so that a signal reaches every worker and nothing else.
  const child = spawn("/usr/sbin/dovecot", ["-F", "-c", configFile], {
    detached: true,
    stdio: "ignore",
  });
  for (let tries = 0; tries < 200; tries += 1) {
    if (child.exitCode !== null) throw new Error("dovecot ended at once; read its log");
    if (await listens(port)) return child;
    await sleep(25);
  }
  child.kill("SIGKILL");
  throw new Error("dovecot does not answer");
};

/** Sends to the whole process group; false when none of it lives. */
const signalGroup = (child: ChildProcess, signal: NodeJS.Signals): boolean => {
  if (child.pid === undefined) return false;
  try {
    return process.kill(-child.pid, signal);
  } catch {
    return false;
  }
};

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode === null && child.signalCode === null) {
    const gone = once(child, "exit");
    signalGroup(child, "SIGCONT");
    child.kill("SIGTERM");
    const late = sleep(5000, "late", { ref: false });
    if ((await Promise.race([gone, late])) === "late") signalGroup(child, "SIGKILL");
    await gone;
  }
  // Workers that were about to idle outlive their master by ten seconds.
  signalGroup(child, "SIGKILL");
};

const ownedDirectory = (directory: string): void => {
  mkdirSync(directory, { recursive: true });
  chownSync(directory, MAIL_ID, MAIL_ID);
};

const folderDirectory = (mailDir: string, folder: string): string =>
  folder.toUpperCase() === "INBOX"
    ? mailDir
    : path.join(mailDir, `.${iconv.encode(folder, "utf-7-imap").toString("latin1")}`);

const createFolder = (mailDir: string, folder: string): string => {
  const directory = folderDirectory(mailDir, folder);
  if (existsSync(path.join(directory, "new"))) return directory;
  for (const made of [mailDir, directory]) ownedDirectory(made);
  for (const name of ["cur", "new", "tmp"]) ownedDirectory(path.join(directory, name));
  return directory;
};

const createDelivery = (mailDir: (user: string) => string): Dovecot["deliver"] => {
  let serial = 0;
  return async (user, messages, { folder = "INBOX", internalDateMs = Date.now() } = {}) => {
    const directory = createFolder(mailDir(user), folder);
    for (const [index, message] of messages.entries()) {
      serial += 1;
      // Dovecot numbers new files by the time in their names; the serial keeps our order.
      const name = `${1_700_000_000 + serial}.M1P1Q${serial}.signalpost,S=${message.length}`;
      const written = path.join(directory, "tmp", name);
      writeFileSync(written, message);
      chownSync(written, MAIL_ID, MAIL_ID);
      const seconds = (internalDateMs + index) / 1000;
      utimesSync(written, seconds, seconds);
      renameSync(written, path.join(directory, "new", name));
      if (index % 200 === 199) await yieldToOthers();
    }
  };
};

/** Starts a server; see {@link Dovecot}. Throws when Dovecot does not come up within 5 seconds. */
export const startDovecot = async (): Promise<Dovecot> => {
  const directory = mkdtempSync(path.join(tmpdir(), "signalpost-dovecot-"));
  chmodSync(directory, 0o755);
  const password = "correct-horse";
  const ports = await freePorts(2);
  const [port = 0, tlsPort = 0] = ports;
  makeCertificates(directory);
  ownedDirectory(path.join(directory, "mail"));
  const configFile = path.join(directory, "dovecot.conf");
  writeFileSync(configFile, configuration(directory, ports, password));
  let child = await launch(configFile, port);
  const endHard = (): void => void signalGroup(child, "SIGKILL");
  process.once("exit", endHard);
  const mailDir = (user: string): string => path.join(directory, "mail", user);
  const stop = async (): Promise<void> => {
    await end(child);
    process.off("exit", endHard);
    rmSync(directory, { recursive: true, force: true });
  };
  return {
    host: "localhost",
    port,
    tlsPort,
    caFile: path.join(directory, "ca.pem"),
    password,
    logFile: path.join(directory, "dovecot.log"),
    get pid() {
      return child.pid ?? 0;
    },
    deliver: createDelivery(mailDir),
    resetUidvalidity: (user, folder = "INBOX") => {
      const place = folderDirectory(mailDir(user), folder);
      const names = readdirSync(place).filter((name) => INDEX_FILES.test(name));
      for (const name of names) rmSync(path.join(place, name), { recursive: true });
    },
    mailDir,
    pause: () => void signalGroup(child, "SIGSTOP"),
    continue: () => void signalGroup(child, "SIGCONT"),
    shutDown: () => end(child),
    start: async () => {
      child = await launch(configFile, port);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
};

/** A line as it came, without CRLF, and when (milliseconds of `performance.now`). */
export interface RawLine {
  text: string;
  atMs: number;
}

/** The smallest IMAP client there is: for what a test wants to see on the wire. */
export interface RawClient {
  /** Sends `text` under a new tag; resolves with every line up to the tagged one. */
  command(text: string): Promise<string[]>;
  /** Sends a line as it is (`DONE`, a continuation). */
  send(text: string): void;
  /** The next line; waits for it. Rejects when the connection ends. */
  readLine(): Promise<RawLine>;
  close(): void;
}

const createLineReader = (socket: Socket): RawClient["readLine"] => {
  const lines: RawLine[] = [];
  let rest = "";
  let ended = false;
  let wake = (): void => {};
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    const parts = (rest + chunk).split("\r\n");
    rest = parts.pop() ?? "";
    lines.push(...parts.map((text) => ({ text, atMs: performance.now() })));
    wake();
  });
  for (const event of ["error", "close"]) {
    socket.on(event, () => {
      ended = true;
      wake();
    });
  }
  return async () => {
    for (;;) {
      const line = lines.shift();
      if (line !== undefined) return line;
      if (ended) throw new Error("the connection has ended");
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
};

/** Connects in plain text and waits for the greeting; logs in and selects when `login` is given. */
export const rawClient = async (options: {
  host: string;
  port: number;
  login?: { user: string; password: string; folder?: string };
}): Promise<RawClient> => {
  const socket = connect(options.port, options.host);
  const readLine = createLineReader(socket);
  let serial = 0;
  const send = (text: string): void => {
    socket.write(`${text}\r\n`, "latin1");
  };
  const command = async (text: string): Promise<string[]> => {
    serial += 1;
    const tag = `r${serial}`;
    send(`${tag} ${text}`);
    const lines: string[] = [];
    do lines.push((await readLine()).text);
    while (lines.at(-1)?.startsWith(`${tag} `) !== true);
    return lines;
  };
  await readLine();
  if (options.login !== undefined) {
    const { user, password, folder = "INBOX" } = options.login;
    await command(`LOGIN "${user}" "${password}"`);
    await command(`SELECT "${folder}"`);
  }
  return { command, send, readLine, close: () => void socket.destroy() };
};
