// The entry that bin/signalpost executes. It promises one thing: the exit code of the command that was
// asked for; everything else is in run-command.ts.
import { runCommand } from "./run-command.ts";
import { commandLine, createSystemTerminal, setExitCode } from "./terminal.adapter.ts";

setExitCode(await runCommand(commandLine(), createSystemTerminal()));
